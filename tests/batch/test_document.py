import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ancestra_farm.batch.document import MAX_ALIASES, MAX_BYTES, read_bytes, read_file, read_text
from ancestra_farm.batch.problems import BatchRefused

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co"]), max_size=30)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


def faults(reading):
    """What is wrong with a document, whether or not that ended the reading."""
    try:
        return reading().problems
    except BatchRefused as refused:
        return refused.problems


@given(VALUES)
def test_json_is_read_as_json_reads_it(value):
    document = read_text(json.dumps([value], ensure_ascii=False), "a.yaml")

    assert document.value == [value]
    assert document.problems == ()


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.lists(st.integers(), min_size=1, max_size=5)))
def test_every_node_knows_its_line(value):
    text, lines = "# one line\n---\n", {}
    for key, numbers in value.items():
        lines[key,] = text.count("\n") + 1
        text += f'"{key}":\n'
        for index, number in enumerate(numbers):
            lines[key, index] = text.count("\n") + 1
            text += f"  - {number}\n"

    document = read_text(text if value else "{}", "a.yaml")

    assert {path: document.line(path) for path in lines} == lines


@settings(max_examples=300)
@given(st.text(max_size=200) | st.text("{}[]&*!|>'\"%@`:-?,# \n\tab0.", max_size=60))
@example("? [a]\n: b")
@example("*a : 1")
@example("&a a: *a")
@example("!<x> a")
@example("%YAML 1.1\n---\na: b")
@example("- - - -")
@example("\ufeffa: 1")
def test_no_text_can_do_anything_but_be_read_or_refused(text):
    problems = faults(lambda: read_text(text, "a.yaml"))

    assert all(problem.file == "a.yaml" and problem.message for problem in problems)


@given(st.binary(max_size=60))
def test_no_bytes_can_do_anything_but_be_read_or_refused(data):
    problems = faults(lambda: read_bytes(data, "a.yaml"))

    assert all(problem.file == "a.yaml" and problem.message for problem in problems)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("010", "010"),
        ("1e3", 1000.0),
        ("0x10", 16),
        ("0o17", 15),
        ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("~", None),
        ("TRUE", True),
        ("-.5", -0.5),
        ("24000/1001", "24000/1001"),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(written, meant):
    value = read_text(f"a: {written}", "a.yaml").value

    assert value == {"a": meant}
    assert type(value["a"]) is type(meant)


def test_keys_are_text_whatever_they_look_like():
    assert read_text("{010: 1, on: 2, null: 3, 1.5: 4}", "a.yaml").value == {"010": 1, "on": 2, "null": 3, "1.5": 4}


def test_an_alias_is_the_value_it_names_and_its_line_is_where_it_stands():
    document = read_text("a: &x\n  b: 1\nc: *x\n", "a.yaml")

    assert document.value == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.line(("c",)) == 3
    assert document.line(("c", "b")) == 2


def test_a_missing_node_has_the_line_of_what_it_is_missing_from():
    assert read_text("a:\n  b: 1\n", "a.yaml").line(("a", "c", 3)) == 1


def test_many_small_aliases_are_refused():
    text = "a: &a 1\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]"

    with pytest.raises(BatchRefused, match="aliases"):
        read_text(text, "a.yaml")


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)

    with pytest.raises(BatchRefused, match="larger than"):
        read_file(file)


@pytest.mark.parametrize(("name", "words"), [("none.yaml", "no such file"), (".", "cannot be read")])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name, words):
    with pytest.raises(BatchRefused, match=words) as refused:
        read_file(tmp_path / name)

    assert refused.value.problems[0].file == str(tmp_path / name)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n..."])
def test_an_empty_file_says_so(text):
    with pytest.raises(BatchRefused, match="the file is empty"):
        read_text(text, "a.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert read_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "a.yaml").value == {"a": 1, "b": 2}


def test_escapes_cannot_smuggle_in_what_cannot_be_seen():
    document = read_text('a: "\\e[31mred"\nb: "two\\nlines\\tand a tab"\n', "a.yaml")

    assert [str(problem) for problem in document.problems] == [
        "a.yaml:1: a: the text has an invisible character, U+001B (leave it out)"
    ]
    assert document.value == {"a": "[31mred", "b": "two\nlines\tand a tab"}
