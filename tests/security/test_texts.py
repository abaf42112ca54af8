"""What people write: batches, settings and cards reach no attribute, no other file, no network, and end in time."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.card import ModelCard, Parameter
from ancestra_farm.batch.load import read_batch
from ancestra_farm.batch.problems import BatchRefused
from ancestra_farm.batch.prompts import fill, wordings
from ancestra_farm.batch.schema import Prompt
from ancestra_farm.batch.show_settings import ShowSettings, is_metadata_address, matches
from ancestra_farm.batch.sources import FolderSource, HubSource, source_of
from ancestra_farm.batch.urls import SCHEMES, check_source_url, check_store_url, on_loopback, safe_join
from ancestra_farm.ledger.errors import StoreRefused
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.catalog import load_catalog
from tests.farm.batches import batch_document

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "metadata.google.internal",
    "metadata.google.internal.",
    "METADATA.google.internal",
    "100.100.100.200",
)


# ---- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "simplecache::s3://bucket/x",
        "filecache::http://169.254.169.254/latest/meta-data/",
        "zip://model_index.json::file:///etc/x.zip",
        "tar://x::s3://bucket/y.tar",
        "reference::s3://bucket/x",
        "blockcache::file:///etc/shadow",
        "s3://bucket/x::file:///etc/shadow",
        "http://169.254.169.254/latest/meta-data/",
        "https://example.com/x.safetensors",
        "HTTP://example.com",
        "ftp://example.com/x",
        "sftp://host/x",
        "ssh://host/x",
        "smb://host/share",
        "hdfs://host/x",
        "github://owner:repo@main/x",
        "git://x",
        "hf://owner/name",
        "data:text/plain,x",
        "jar:file:///x!/y",
        "dask://x",
        "libarchive://x",
        "python://os.system",
        "gopher://127.0.0.1:6379/_x",
        "file://host/share/x",
        "file:etc/passwd",
        "file:///../etc/passwd",
        "file:///data/../etc/passwd",
        "s3://key:secret@bucket/x",
        "s3://bucket:9000/x",
        "s3://bucket/x?endpoint_url=http://169.254.169.254",
        "s3://bucket/%2e%2e/x",
        "s3://bucket/a/../../other/x",
        "az://container@account.blob.core.windows.net/x",
        "..",
        "../../etc/passwd",
        "looks/../../secret",
        "a\\..\\b",
        "s3://bucket/x\nHost: y",
        " s3://bucket/x",
        "s3://bucket/x\x00.safetensors",
        "~nobody-of-this-name/x",
        "s3:/bucket/x",
        "s3:bucket/x",
        "s3://",
        "gs://../x",
        *(f"{scheme}://{host}/x" for scheme in ("s3", "gs", "az") for host in METADATA if "." in host or ":" in host),
        "s3://2852039166/x",
        "s3://localhost/x",
        "s3://127.0.0.1/x",
    ],
)
def test_a_source_outside_the_allowlist_is_refused(url: str) -> None:
    for check in (check_source_url, check_store_url):
        with pytest.raises(ValueError):
            check(url)
    with pytest.raises(StoreRefused):
        Store.open(url)


PROTOCOLS = (
    "http",
    "https",
    "ftp",
    "sftp",
    "zip",
    "tar",
    "simplecache",
    "filecache",
    "github",
    "hf",
    "data",
    "jar",
    "abfs",
    "s3a",
    "dir",
)


@given(
    st.lists(st.sampled_from((*PROTOCOLS, *SCHEMES)), min_size=1, max_size=3),
    st.sampled_from(("::", "://", ":", ":/", ":///", "::/", "://../")),
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20),
)
def test_whatever_is_let_through_has_one_allowed_scheme_and_no_way_up(chain: list[str], joint: str, rest: str) -> None:
    url = joint.join([*chain, rest])
    try:
        normal = check_store_url(url)
    except ValueError:
        return
    scheme, _, place = normal.partition("://")
    assert scheme in SCHEMES
    assert "::" not in place
    assert ".." not in place.split("/")
    assert scheme in {"file", "memory"} or not ({"@", "?", "#", "%"} & set(place))


@given(st.text(max_size=40))
def test_no_path_leaves_the_folder_it_is_joined_to(text: str) -> None:
    try:
        joined = safe_join("/farm/store", text)
    except ValueError:
        return
    assert Path(joined).resolve().is_relative_to("/farm/store")
    assert Path(joined) == Path(joined).absolute()


@pytest.mark.parametrize("host", [one for one in METADATA if "." in one or ":" in one])
def test_no_webhook_goes_to_where_machines_get_their_credentials(host: str) -> None:
    with pytest.raises(ValueError, match=r"webhook|URL"):
        settings(notify=[{"webhook": f"http://{host}/x", "secret": "studio"}])


@pytest.mark.parametrize(
    "notice",
    [
        {"webhook": "file:///etc/passwd", "secret": "studio"},
        {"webhook": "gopher://127.0.0.1/x", "secret": "studio"},
        {"webhook": "http://user:word@studio.example/x", "secret": "studio"},
        {"webhook": "http://studio.example/x"},
        {"webhook": "http://studio.example/x y", "secret": "studio"},
        {"webhook": "http://studio.example/x", "secret": "../../etc/passwd"},
        {"command": "../../bin/sh"},
        {"command": "/bin/sh"},
        {"command": "sh -c reboot"},
        {"command": "..", "on": ["delivered"]},
        {"command": "tell", "webhook": "http://studio.example/x", "secret": "studio"},
        {"command": ["sh", "-c", "reboot"]},
    ],
)
def test_a_show_names_no_program_and_no_file_of_its_own_choosing(notice: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        settings(notify=[notice])


def settings(**more: Any) -> ShowSettings:
    return ShowSettings.model_validate(
        {"schema": "ancestra/show/v1", "show": "anc", **more}, by_alias=True, by_name=False
    )


@pytest.mark.parametrize(
    ("address", "is_one"),
    [("169.254.169.254", True), ("fe80::1%eth0", True), ("::ffff:169.254.169.254", True), ("10.0.0.1", False)],
)
def test_addresses_of_metadata_services_are_known_in_all_their_spellings(address: str, is_one: bool) -> None:
    assert is_metadata_address(address) is is_one


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.8.8.8", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://127.evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1@evil.example", False),
        ("http://evil.example/127.0.0.1", False),
        ("http://evil.example#@127.0.0.1", False),
        ("http://0.0.0.0", False),
        ("nonsense", False),
        ("http://[::1", False),
    ],
)
def test_only_loopback_counts_as_loopback(url: str, is_one: bool) -> None:
    assert on_loopback(url) is is_one


# ---- templates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{light.__class__}",
        "{light.__class__.__mro__[1].__subclasses__}",
        "{light[0]}",
        "{0}",
        "{}",
        "{light!r}",
        "{light!s}",
        "{light:>999999999999}",
        "{light:{light}}",
        "{ light }",
        "{__import__('os').system('id')}",
        "{self}",
        "{light",
        "light}",
        "{{light}",
        "${light.x}",
        "{light.upper()}",
        "{%import os%}",
    ],
)
def test_a_template_reaches_nothing_but_the_values_of_its_axes(template: str) -> None:
    with pytest.raises(ValueError):
        fill(template, {"light": "dawn"})
    document = batch_document()
    document["shots"][0]["prompt"] = {"text": template, "axes": {"light": ["dawn"]}}
    with pytest.raises(BatchRefused):
        read_and_check(document)


def read_and_check(document: dict[str, Any]) -> None:
    from ancestra_farm.batch.check import checked_text
    from ancestra_farm.filters.settings import default_settings, ranking_scores
    from ancestra_farm.models.build import stage_faults

    text = yaml.safe_dump(document)
    checked_text(text, "x.yaml", load_catalog(None), default_settings(), ranking_scores(), stage_faults)


@given(st.lists(st.sampled_from(("{light}", "{{", "}}", "sea", ".x", "[0]", "!r", ":9", " "))), st.text(max_size=10))
def test_what_a_template_gives_is_its_own_text_and_the_values(pieces: list[str], value: str) -> None:
    meant = {"{light}": value, "{{": "{", "}}": "}"}
    assert fill("".join(pieces), {"light": value}) == "".join(meant.get(piece, piece) for piece in pieces)


def test_a_value_is_put_in_as_it_is_and_not_filled_again() -> None:
    prompt = Prompt(text="{light}", axes={"light": ("{shot.__class__}", "{light}")})
    assert [text for text, _ in wordings(prompt)] == ["{shot.__class__}", "{light}"]


# ---- documents -----------------------------------------------------------------------------------------------------

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['id']",
        "batch: !!python/object/new:os.system [id]",
        "batch: !!python/name:os.system",
        "batch: !!python/module:os",
        "batch: !include /etc/passwd",
        "batch: !!binary aGk=",
        "<<: {batch: x}",
        BOMB,
        "a: &a [*a]",
        "[" * 10_000,
        "{a: " * 10_000,
        "batch: x\nbatch: y",
        "batch: \x00",
        "--- 1\n--- 2",
        "%TAG ! tag:yaml.org,2002:python/\n---\nbatch: !object/apply:os.system [id]",
    ],
)
def test_a_batch_file_is_plain_values_of_a_bounded_size(text: str) -> None:
    with pytest.raises(BatchRefused):
        read_batch(text, "x.yaml")


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", ".", "", "a\\b", "a b", "a\n", "-rf\n", "a;b", "$(id)", "a\x00", "é", "x" * 81]
)
@pytest.mark.parametrize("place", ["batch", "show", "shot", "stage"])
def test_a_name_that_is_no_plain_name_of_a_folder_is_refused(name: str, place: str) -> None:
    document = batch_document()
    if place in {"batch", "show"}:
        document[place] = name
    elif place == "shot":
        document["shots"][0]["shot"] = name
    else:
        document["stages"] = {name: document["stages"]["still"]}
    with pytest.raises(BatchRefused):
        read_batch(json.dumps(document), "x.yaml")


def test_words_of_a_prompt_cannot_steer_a_terminal() -> None:
    for bad in ("\x1b[2J", "\x07", "\u202e", "\u009b31m", "\r"):
        document = batch_document()
        document["shots"][0]["prompt"]["text"] = f"the sea {bad}"
        with pytest.raises(BatchRefused, match="invisible"):
            read_batch(json.dumps(document), "x.yaml")


# ---- cards ---------------------------------------------------------------------------------------------------------


@cache
def known() -> dict[str, Any]:
    return load_catalog(None)["procedural/stills"].model_dump()


def card(**more: Any) -> ModelCard:
    return ModelCard.model_validate({**known(), **more})


@pytest.mark.parametrize(
    ("source", "revision"),
    [
        ("../weights", None),
        ("package:../../etc", None),
        ("package:/etc", None),
        ("http://evil.example/x", None),
        ("simplecache::s3://bucket/x", None),
        ("s3://bucket/x", None),
        ("file:///data/../../etc", None),
        ("owner/name", "main"),
        ("owner/name", None),
        ("owner/../name", "0" * 40),
        ("owner--x/name", "0" * 40),
        ("owner/name/more", "0" * 40),
        ("owner/name@main", "0" * 40),
    ],
)
def test_a_card_names_no_place_that_moves_or_leads_astray(source: str, revision: str | None) -> None:
    with pytest.raises(ValueError):
        source_of(card(source=source, revision=revision))


@given(st.text(max_size=30))
def test_a_source_is_an_absolute_folder_a_part_of_this_package_or_a_pinned_revision(text: str) -> None:
    try:
        found = source_of(card(source=text, revision="0" * 40))
    except ValueError:
        return
    if isinstance(found, FolderSource):
        assert Path(found.path).is_absolute()
        assert ".." not in Path(found.path).parts
    elif isinstance(found, HubSource):
        assert ".." not in found.repository
    else:
        assert not found.path.startswith(("/", ".."))


@pytest.mark.parametrize(
    "fields",
    [
        {"pipeline": "os.system"},
        {"pipeline": "__import__('os')"},
        {"pipeline": "Wan Pipeline"},
        {"scheduler": "../x"},
        {"draft_scheduler": "a.b"},
        {"variant": "../../../tmp/x"},
        {"variant": "fp16/../.."},
        {"runtime": {"attention": "x.y"}},
        {"id": "../x"},
        {"trust_remote_code": True},
    ],
)
def test_the_names_in_a_card_are_names(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        card(**fields)


def test_no_pattern_of_a_card_holds_the_controller_up() -> None:
    knob = Parameter(type="str", default="aaa", pattern="(a+)+(a+)+")
    assert knob.fault("a" * 100_000 + "!") is not None
    assert knob.fault("aaaa") is None
    assert knob.fault("aaaa\n") is not None
    for wrong in ("(", "(a{1000}){1000}", "(?=a)a"):
        with pytest.raises(ValueError, match="regular expression"):
            Parameter(type="str", default="a", pattern=wrong)


def test_no_template_of_names_holds_the_controller_up() -> None:
    assert not matches("*a*a*a*b", "a" * 80)
