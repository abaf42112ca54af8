"""What clouds say before they take a machine away, asked of endpoints that answer as theirs do."""

import json
import socket
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ancestra_farm.farm.notices import (
    AwsNotices,
    AzureNotices,
    GcpNotices,
    Metadata,
    MetadataUnreadable,
    Notice,
    notices_here,
)
from tests.farm.clouds import AWS, AZURE, GCP, endpoint

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC).timestamp()
PREEMPT = {
    "EventId": "A-1",
    "EventStatus": "Scheduled",
    "EventType": "Preempt",
    "ResourceType": "VirtualMachine",
    "Resources": ["gpu-7", "gpu-8"],
    "NotBefore": "Sun, 22 Nov 2026 12:00:30 GMT",
}


@pytest.fixture
def aws():
    with endpoint(AWS) as one:
        yield one


@pytest.fixture
def gcp():
    with endpoint(GCP) as one:
        yield one


@pytest.fixture
def azure():
    with endpoint(AZURE) as one:
        yield one


# ---- AWS -------------------------------------------------------------------------------------------------------------


def test_an_interruption_on_aws_is_told_with_its_time_and_what_is_done(aws):
    notices = AwsNotices(Metadata(aws.url))
    assert notices.look(NOW) is None
    aws.interrupt("2026-11-22T12:02:00Z")
    assert notices.look(NOW) == Notice(NOW + 120, "AWS: spot instance, terminate")
    aws.interrupt("2026-11-22T12:02:00Z", "hibernate")
    assert notices.look(NOW).why == "AWS: spot instance, hibernate"


def test_a_rebalance_recommendation_is_no_certainty_and_an_interruption_comes_before_it(aws):
    notices = AwsNotices(Metadata(aws.url))
    aws.recommend()
    found = notices.look(NOW)
    assert (found.at, found.sure) == (None, False)
    aws.interrupt("2026-11-22T12:02:00Z")
    assert notices.look(NOW).sure


def test_one_token_serves_many_questions_and_is_replaced_before_it_runs_out_or_when_it_is_refused(aws):
    notices = AwsNotices(Metadata(aws.url))
    puts = lambda: [path for method, path in aws.asked if method == "PUT"]  # noqa: E731
    for minute in range(20):
        notices.look(NOW + 60 * minute)
    assert len(puts()) == 1
    notices.look(NOW + 1801)
    assert len(puts()) == 2
    aws.tokens.clear()
    aws.interrupt("2026-11-22T12:02:00Z")
    assert notices.look(NOW + 1802) is not None
    assert len(puts()) == 3


def test_a_time_without_a_zone_is_utc(aws):
    aws.interrupt("2026-11-22T12:02:00")
    assert AwsNotices(Metadata(aws.url)).look(NOW).at == NOW + 120


# ---- Google Cloud ----------------------------------------------------------------------------------------------------


def test_a_preemption_on_google_cloud_ends_half_a_minute_after_it_was_first_seen(gcp):
    notices = GcpNotices(Metadata(gcp.url))
    assert notices.look(NOW) is None
    gcp.says["/computeMetadata/v1/instance/preempted"] = "TRUE"
    assert notices.look(NOW) == Notice(NOW + 30, "Google Cloud: preempted")
    assert notices.look(NOW + 10).at == NOW + 30


def test_maintenance_that_stops_the_machine_is_told_and_live_migration_is_not(gcp):
    notices = GcpNotices(Metadata(gcp.url))
    gcp.says["/computeMetadata/v1/instance/maintenance-event"] = "MIGRATE_ON_HOST_MAINTENANCE"
    assert notices.look(NOW) is None
    gcp.says["/computeMetadata/v1/instance/maintenance-event"] = "TERMINATE_ON_HOST_MAINTENANCE"
    assert notices.look(NOW).at == NOW + 60


def test_whoever_is_not_google_is_not_believed(aws):
    aws.cloud = "somebody"
    aws.says["/computeMetadata/v1/instance/preempted"] = "TRUE"
    with pytest.raises(MetadataUnreadable, match="not Google's"):
        GcpNotices(Metadata(aws.url)).look(NOW)


# ---- Azure -----------------------------------------------------------------------------------------------------------


def test_a_preemption_on_azure_is_told_with_its_time(azure):
    notices = AzureNotices(Metadata(azure.url))
    assert notices.look(NOW) is None
    azure.events(PREEMPT)
    assert notices.look(NOW) == Notice(NOW + 30, "Azure: Preempt")


def test_of_several_events_the_first_counts_and_only_those_that_end_this_machine(azure):
    reboot = PREEMPT | {"EventId": "B", "EventType": "Reboot", "NotBefore": "Sun, 22 Nov 2026 12:15:00 GMT"}
    freeze = PREEMPT | {"EventId": "C", "EventType": "Freeze", "NotBefore": "Sun, 22 Nov 2026 12:00:01 GMT"}
    others = PREEMPT | {"EventId": "D", "Resources": ["gpu-8"], "NotBefore": "Sun, 22 Nov 2026 12:00:02 GMT"}
    over = PREEMPT | {"EventId": "E", "EventStatus": "Completed", "NotBefore": "Sun, 22 Nov 2026 12:00:03 GMT"}
    azure.events(reboot, freeze, others, over, PREEMPT)
    assert AzureNotices(Metadata(azure.url)).look(NOW).at == NOW + 30
    azure.events(freeze, others, over)
    assert AzureNotices(Metadata(azure.url)).look(NOW) is None


def test_an_event_that_has_begun_says_no_time_and_is_over_when_it_was_first_seen(azure):
    azure.events(PREEMPT | {"EventStatus": "Started", "NotBefore": ""})
    notices = AzureNotices(Metadata(azure.url))
    assert notices.look(NOW).at == notices.look(NOW + 20).at == NOW


def test_no_event_is_acknowledged(azure):
    azure.events(PREEMPT)
    AzureNotices(Metadata(azure.url)).look(NOW)
    assert {method for method, _ in azure.asked} == {"GET"}


# ---- what can go wrong -----------------------------------------------------------------------------------------------


def test_an_endpoint_that_does_not_answer_is_said_to(aws):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = AwsNotices(Metadata(f"http://127.0.0.1:{deaf.getsockname()[1]}", answer_s=0.2))
        with pytest.raises(MetadataUnreadable, match="timed out"):
            silent.look(NOW)
        port = deaf.getsockname()[1]
    gone = GcpNotices(Metadata(f"http://127.0.0.1:{port}"))
    with pytest.raises(MetadataUnreadable, match="refused"):
        gone.look(NOW)
    aws.silent = True
    with pytest.raises(MetadataUnreadable):
        AwsNotices(Metadata(aws.url)).look(NOW)


@pytest.mark.parametrize("status", [301, 403, 429, 500, 503])
def test_a_status_that_is_no_answer_is_no_notice_either(aws, gcp, azure, status):
    for one, kind in ((aws, AwsNotices), (gcp, GcpNotices), (azure, AzureNotices)):
        one.says = dict.fromkeys(
            [
                "/latest/meta-data/spot/instance-action",
                "/computeMetadata/v1/instance/preempted",
                "/metadata/scheduledevents",
            ],
            (status, "TRUE"),
        )
        with pytest.raises(MetadataUnreadable, match=f"status {status}"):
            kind(Metadata(one.url)).look(NOW)


def test_a_token_that_no_header_can_carry_is_said_not_to_be_understood(aws):
    aws.answer = lambda _method, _path, _headers: (200, "<html>\n<b>Log in to this network first</b>\n</html>")
    with pytest.raises(MetadataUnreadable, match="Invalid header"):
        AwsNotices(Metadata(aws.url)).look(NOW)


ANYTHING = st.one_of(
    st.text(max_size=40),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["action", "time", "Events", "EventType", "x"]), inner, max_size=3)
        ),
        max_leaves=6,
    ).map(json.dumps),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANYTHING)
def test_whatever_an_endpoint_says_is_a_notice_or_none_or_said_not_to_be_understood(aws, azure, text):
    aws.says["/latest/meta-data/spot/instance-action"] = text
    azure.says["/metadata/scheduledevents"] = text
    for one, kind in ((aws, AwsNotices), (azure, AzureNotices)):
        try:
            found = kind(Metadata(one.url)).look(NOW)
        except MetadataUnreadable:
            continue
        assert found is None or isinstance(found, Notice)


def test_no_proxy_is_asked(aws, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert AwsNotices(Metadata(aws.url)).look(NOW) is None


@pytest.mark.parametrize(
    "url", ["https://169.254.169.254", "169.254.169.254", "http://", "http://host/path", "file:///"]
)
def test_only_plain_http_to_a_host_is_an_endpoint(url):
    with pytest.raises(ValueError, match="no metadata endpoint"):
        Metadata(url)


# ---- which cloud this is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("firmware", "kind"),
    [
        ({"sys_vendor": "Amazon EC2", "product_name": "g5.xlarge"}, AwsNotices),
        ({"sys_vendor": "Google", "product_name": "Google Compute Engine"}, GcpNotices),
        ({"product_name": "Google Compute Engine"}, GcpNotices),
        (
            {"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77"},
            AzureNotices,
        ),
        ({"sys_vendor": "Microsoft Corporation", "chassis_asset_tag": "desk 4"}, None),
        ({"sys_vendor": "Dell Inc."}, None),
        ({}, None),
    ],
)
def test_the_firmware_says_whose_machine_this_is(tmp_path, firmware, kind):
    for name, said in firmware.items():
        (tmp_path / name).write_text(said + "\n")
    found = notices_here({}, tmp_path)
    assert found is None if kind is None else isinstance(found, kind)


def test_an_operator_can_say_which_cloud_it_is_and_where_it_answers(tmp_path, azure):
    (tmp_path / "sys_vendor").write_text("Amazon EC2\n")
    assert notices_here({"ANCESTRA_CLOUD": "none"}, tmp_path) is None
    azure.events(PREEMPT)
    there = notices_here({"ANCESTRA_CLOUD": "Azure", "ANCESTRA_METADATA_URL": azure.url}, tmp_path)
    assert there.look(NOW).at == NOW + 30
    with pytest.raises(ValueError, match="ANCESTRA_CLOUD is 'digital'"):
        notices_here({"ANCESTRA_CLOUD": "digital"}, tmp_path)
