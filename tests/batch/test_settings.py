"""farm.yaml and show.yaml: what may stand in them, and what is said of the rest, with its line."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ancestra_farm.batch.document import read_file, read_text
from ancestra_farm.batch.farm_settings import (
    NO_FARM_SETTINGS,
    FarmSettings,
    NodeType,
    farm_settings_of,
    load_farm_settings,
)
from ancestra_farm.batch.jsonschema import farm_json_schema, show_json_schema
from ancestra_farm.batch.load import accepted, canonical
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.show_settings import (
    Recipient,
    ShowSettings,
    is_metadata_address,
    load_show_settings,
    matches,
    show_settings_of,
)

JOBS = Path(__file__).parents[2] / "jobs"
FARM = "schema: ancestra/farm/v1\n"
SHOW = "schema: ancestra/show/v1\nshow: ancestra\n"
NODE = "{gpus: 1, cpus: 8, memory_gib: 32, vram_gib: 24, max_nodes: 4, price_per_hour: 1.2}"


def farm(text: str) -> FarmSettings:
    return accepted(read_text(FARM + text, "farm.yaml"), FarmSettings)


def show(text: str) -> ShowSettings:
    return accepted(read_text(SHOW + text, "show.yaml"), ShowSettings)


def test_the_examples_are_good_and_name_their_schemas():
    for name, load, schema in (
        ("farm", load_farm_settings, farm_json_schema()),
        ("show", load_show_settings, show_json_schema()),
    ):
        file = JOBS / "settings" / f"{name}.yaml"
        load(file)
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(read_file(file).value, schema)
        in_tree = JOBS / f"ancestra.{name}.v1.schema.json"
        assert file.read_text().startswith(f"# yaml-language-server: $schema=../{in_tree.name}\n")
        assert json.loads(in_tree.read_text()) == schema, f"write it anew: ancestra schema {name}"


def test_settings_survive_being_written_down():
    for file in (JOBS / "settings" / "farm.yaml",):
        settings = load_farm_settings(file)
        assert farm_settings_of(canonical(settings)) == settings
    of_show = load_show_settings(JOBS / "settings" / "show.yaml")
    assert show_settings_of(canonical(of_show)) == of_show
    assert farm_settings_of(canonical(NO_FARM_SETTINGS)) == NO_FARM_SETTINGS


def test_settings_of_a_store_are_read_with_what_once_stood_in_them():
    of_before = json.loads(canonical(NO_FARM_SETTINGS)) | {"scaling": {"idle_s": 60.0, "preemption_notice_s": 30.0}}
    assert farm_settings_of(json.dumps(of_before)).scaling.idle_s == 60
    with pytest.raises(ValueError, match="unheard_of"):
        farm_settings_of(json.dumps(of_before | {"unheard_of": 1}))


def test_a_node_carries_its_own_labels_and_those_of_the_farm():
    kind = farm(f"node_types:\n  l4: {NODE[:-1]}, market: spot, labels: {{zone: a}}}}\n").node_types["l4"]
    assert kind.labels_as("l4") == {"zone": "a", "ancestra/node-type": "l4", "ancestra/market": "spot"}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("node_types:\n  l4: {gpus: 1, cpus: 8, memory_gib: 32, max_nodes: 4}\n", 3, "how much memory each has"),
        ("node_types:\n  c: {cpus: 8, memory_gib: 32, max_nodes: 4, vram_gib: 24}\n", 3, "without GPUs"),
        ("node_types:\n  c: {cpus: 8, memory_gib: 32, max_nodes: 4, min_nodes: 5}\n", 3, "more than max_nodes"),
        ("node_types:\n  c: {cpus: 8, memory_gib: 32, max_nodes: 4, labels: {ray.io/x: y}}\n", 3, "given by the farm"),
        ("node_types:\n  c: {cpus: 8, memory_gib: 32, max_nodes: 4, labels: {a b: y}}\n", 3, "is no label"),
        ("node_types:\n  c: {cpus: 8, memory_gib: 32, max_nodes: 4, labels: {a: 'b c'}}\n", 3, "no label's value"),
        (f"node_types:\n  l4: {NODE}\n  c: {{cpus: 8, memory_gib: 32, max_nodes: 4}}\n", 1, "c cost nothing"),
        ("classes: {dailies: 2, backfill: 1}\n", 2, "two that follow each other"),
        ("classes: {shot: 2}\n", 2, "two that follow each other"),
        ("show_caps: {x: {}}\n", 2, "max_slots, max_money, max_class or max_weight"),
        ("show_caps: {x: {max_class: shots}}\n", 2, "backfill"),
        ("submitting: {max_weight: 0}\n", 2, "max_weight"),
        ("show_caps: {x: {max_money: 5}}\n", 1, "needs node types with a price_per_hour"),
        ("currency: euros\n", 2, "currency"),
        ("scaling: {idle_s: 0}\n", 2, "idle_s"),
        ("node_type: {}\n", 2, "node_types"),
    ],
)
def test_what_is_wrong_in_a_farm_is_said_with_its_line(text: str, line: int, says: str):
    with pytest.raises(BatchRefused) as refused:
        farm(text)
    (problem,) = refused.value.problems
    assert problem.line == line
    assert says in str(problem)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("rates: [23.976]\n", 3, "24000/1001"),
        ("people: {ana: boss}\n", 3, "supervisor"),
        ("naming: {shot: 'anc/..'}\n", 3, "template"),
        ("naming: {shot: '*a*b*c*d*'}\n", 3, "at most four"),
        ("notify: [{on: [delivered]}]\n", 3, "either a webhook or a command"),
        ("notify: [{webhook: 'https://a.example/'}]\n", 3, "name its secret"),
        ("notify: [{command: ../../bin/sh}]\n", 3, "name"),
        ("notify: [{webhook: 'https://a.example/', secret: s, on: [lunch]}]\n", 3, "lunch"),
        ("weights: {shot: 0}\n", 3, "shot"),
    ],
)
def test_what_is_wrong_in_a_show_is_said_with_its_line(text: str, line: int, says: str):
    with pytest.raises(BatchRefused) as refused:
        show(text)
    assert refused.value.problems[0].line == line
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/latest",
        "http://100.100.100.200/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://METADATA.google.internal./",
        "http://0.0.0.0:8265/",
        "file:///etc/passwd",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com/#x",
        "https:///nowhere",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com/ä",
        "chain::https://hooks.example.com/",
    ],
)
def test_a_webhook_that_could_be_turned_against_the_farm_is_refused(url: str):
    with pytest.raises(ValidationError):
        Recipient(webhook=url, secret="studio")


def test_addresses_of_a_studio_may_be_called():
    for url in ("https://hooks.example.com/a?b=c", "http://10.0.0.7:8080/", "http://127.0.0.1:9/", "http://[::1]/"):
        assert Recipient(webhook=url, secret="studio").to == url
    assert not is_metadata_address("10.0.0.7")
    assert is_metadata_address("169.254.1.1%eth0")


def test_a_webhook_is_shown_without_what_may_be_secret_in_it():
    assert Recipient(webhook="https://hooks.example.com/T0/B1/xyz", secret="s").shown == "hooks.example.com"
    assert Recipient(command="page-wrangler").shown == "command:page-wrangler"


@pytest.mark.parametrize(
    ("template", "good", "bad"),
    [
        ("anc_###_####", ["anc_010_0020"], ["anc_01_0020", "anc_010_00200", "xanc_010_0020", "anc_abc_0020"]),
        ("@@@_*", ["abc_", "abc_x.y"], ["ab_", "ab1_x"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_templates_of_names(template: str, good: list[str], bad: list[str]):
    assert all(matches(template, name) for name in good)
    assert not any(matches(template, name) for name in bad)


@given(st.text(alphabet="ab01._-", min_size=1, max_size=20))
def test_a_name_matches_itself_and_a_star(name: str):
    assert matches(name, name)
    assert matches("*", name)


def test_settings_of_another_show_are_not_taken_for_ones_own(tmp_path: Path):
    file = tmp_path / "show.yaml"
    file.write_text(SHOW)
    assert load_show_settings(file, "ancestra").show == "ancestra"
    with pytest.raises(BatchRefused, match=r"show\.yaml:2: show: these are the settings of ancestra, not of trailer"):
        load_show_settings(file, "trailer")


def test_a_node_type_needs_no_more_than_its_size():
    assert NodeType(cpus=4, memory_gib=8, max_nodes=1).market == "on_demand"
