"""YAML read as plain values with a line for every node, and nothing more than plain values.

The reader works on the parser's events, so it builds what it allows and nothing else: mappings with text keys, lists,
and scalars by the rules of YAML 1.2 (``no`` is a word, not false). It refuses tags, merge keys, duplicate keys and
invisible characters, and bounds what a small file can expand to. It knows nothing of batches.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ancestra_farm.batch.base import Scalar
from ancestra_farm.batch.problems import BatchRefused, DocumentPath, Problem, path_text

#: Enough for the 100,000 shots that the schema allows; a parser given more is being attacked or misused.
MAX_BYTES = 32 * 2**20
#: Nodes after aliases are expanded. Ten nodes for each of 100,000 shots, and as many again.
MAX_NODES = 2_000_000
#: The schema is eight deep.
MAX_DEPTH = 32
#: An alias for each shot of a large show.
MAX_ALIASES = 10_000
#: int() of longer texts is refused by Python itself; nothing in a batch needs more than 19 digits.
MAX_DIGITS = 40

MERGE_KEY = "<<"

Value = Scalar | None | list[Any] | dict[str, Any]

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Without leading zeros, unlike YAML's: ``shot: 010`` is the name somebody wrote.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
#: Control characters but tab and line feed; surrogates, which no UTF-8 file can hold; direction overrides, which
#: make a text read differently from what it says.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(slots=True)
class Lines:
    """Where a node stands: its line, from 1, and those of what is in it (of a mapping: the lines of the keys)."""

    line: int
    inside: dict[str | int, "Lines"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document: its plain ``value``, where everything stands, and the faults that did not stop the reading."""

    file: str
    value: Value
    lines: Lines
    problems: tuple[Problem, ...]

    def line(self, path: DocumentPath) -> int:
        """The line of the node at ``path``; of its nearest ancestor that is there, where it is missing."""
        node = self.lines
        for part in path:
            found = node.inside.get(part)
            if found is None:
                break
            node = found
        return node.line

    def problem(self, path: DocumentPath, message: str, hint: str = "") -> Problem:
        """A problem at ``path`` of this document."""
        return Problem(self.file, self.line(path), path_text(path), message, hint)


def read_file(path: Path) -> Document:
    """`read_bytes` of a file. Raises BatchRefused also where the file cannot be opened."""
    return read_bytes(bytes_of(path), str(path))


def bytes_of(path: Path) -> bytes:
    """What is in a file, and no more than shows that it is too large. Raises BatchRefused where it cannot be opened."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        why = (
            "there is no such file"
            if isinstance(error, FileNotFoundError)
            else f"the file cannot be read: {error.strerror}"
        )
        raise BatchRefused([Problem(str(path), None, "", why)]) from None


def read_bytes(data: bytes, file: str) -> Document:
    """`read_text` of UTF-8 bytes. Raises BatchRefused also for other encodings, with the line of the first bad byte."""
    if len(data) > MAX_BYTES:
        raise BatchRefused([Problem(file, None, "", f"the file is larger than {MAX_BYTES:,} bytes", "split the batch")])
    try:
        return read_text(data.decode("utf-8-sig"), file)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"the file is not UTF-8 (byte 0x{data[error.start]:02x})"
        raise BatchRefused([Problem(file, line, "", message, "save it as UTF-8")]) from None


def read_text(text: str, file: str) -> Document:
    """The one YAML document in ``text``, located.

    Faults that leave the rest readable are collected in `Document.problems`. Raises BatchRefused, with those and the
    fault that ended the reading, for a syntax error, an empty or second document, and whatever crosses a limit.
    """
    if len(text) > MAX_BYTES:
        raise BatchRefused(
            [Problem(file, None, "", f"the text is longer than {MAX_BYTES:,} characters", "split the batch")]
        )
    builder = _Builder(file)
    hidden = _INVISIBLE.search(text.replace("\r\n", "\n"))
    if hidden:
        line = text.count("\n", 0, hidden.start()) + 1
        builder.refuse(
            line, f"an invisible character, U+{ord(hidden.group()):04X}", "delete it, or save the file as plain text"
        )
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        builder.refuse(*_said(error, text))
    except yaml.YAMLError as error:
        builder.refuse(None, f"the file cannot be read as YAML: {error}", "")
    if not builder.roots or builder.roots[0][0] is None:
        builder.refuse(1, "the file is empty", "a batch begins with `schema: ancestra/v1`")
    value, lines, _ = builder.roots[0]
    return Document(file, value, lines, tuple(builder.problems))


@dataclass(slots=True)
class _Open:
    """A collection that is being read. ``count``: nodes in it so far, aliases expanded."""

    value: list[Any] | dict[str, Any]
    lines: Lines
    anchor: str | None
    count: int = 1
    key: str | None = None
    ignored: bool = False


class _Builder:
    """Takes the parser's events and builds values, lines and problems; raises BatchRefused where it must stop."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.roots: list[tuple[Value, Lines, int]] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Value, Lines, int]] = {}
        self._aliases = 0
        self._nodes = 0

    def refuse(self, line: int | None, message: str, hint: str) -> NoReturn:
        """Stop reading. Where it stopped is said by the line alone: after a syntax error the path would mislead."""
        raise BatchRefused([*self.problems, Problem(self.file, line, "", message, hint)])

    def take(self, event: yaml.Event) -> None:
        """One event of the parser."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:  # the commonest first
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.MappingStartEvent():
                self._begin(event, {}, line)
            case yaml.SequenceStartEvent():
                self._begin(event, [], line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                done = self._open.pop()
                self._add(done.value, done.lines, done.count, done.anchor, fresh=False)
            case yaml.AliasEvent():
                self._alias(str(event.anchor), line)
            case yaml.DocumentStartEvent():
                self._begin_document(event, line)

    def _begin_document(self, event: yaml.DocumentStartEvent, line: int) -> None:
        if self.roots:
            self.refuse(line, "a second document begins here (---)", "one file is one document")
        if event.tags:
            self.refuse(line, "a %TAG directive", "remove it; the farm reads plain YAML without tags")

    def _begin(self, event: yaml.CollectionStartEvent, value: list[Any] | dict[str, Any], line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            self.refuse(line, f"the document is nested more than {MAX_DEPTH} deep", "a batch is at most eight deep")
        if self._expects_key():
            self.refuse(
                line, "a mapping or list stands where a key should be", "text that begins with { or [ needs quotes"
            )
        self._refuse_tag(event.tag, line)
        self._open.append(_Open(value, Lines(line), event.anchor))

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        self._refuse_tag(event.tag, line)
        hidden = _INVISIBLE.search(event.value)
        if hidden:
            self._note(line, f"the text has an invisible character, U+{ord(hidden.group()):04X}", "leave it out")
            event.value = _INVISIBLE.sub("", event.value)
        if self._expects_key():
            self._key(event, line)
            return
        value: Value = event.value
        if event.implicit[0] and not event.style:
            value = self._plain(event.value, line)
        self._add(value, Lines(line), 1, event.anchor, fresh=True)

    def _key(self, event: yaml.ScalarEvent, line: int) -> None:
        top = self._open[-1]
        assert isinstance(top.value, dict)
        top.key = event.value
        top.ignored = True
        if event.value == MERGE_KEY and not event.style:
            self._note(line, "merge keys (<<) are not read", "write the keys out, or alias a whole value: key: *name")
        elif event.value in top.value:
            first = top.lines.inside[event.value].line
            self._note(
                line, f"the key {event.value!r} stands here a second time", f"it is first on line {first}; keep one"
            )
        else:
            top.ignored = False
            top.lines.inside[event.value] = Lines(line)

    def _alias(self, anchor: str, line: int) -> None:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self.refuse(line, f"more than {MAX_ALIASES:,} aliases", "write the values out, or use fewer")
        if self._expects_key():
            self.refuse(line, f"the alias *{anchor} stands where a key should be", "write the key out")
        if any(above.anchor == anchor for above in self._open):
            self.refuse(line, f"the alias *{anchor} stands inside what it names", "a document cannot contain itself")
        if anchor not in self._anchors:
            self.refuse(line, f"the alias *{anchor} names nothing above it", f"mark the value with &{anchor} first")
        value, lines, count = self._anchors[anchor]
        self._add(value, Lines(line, lines.inside), count, None, fresh=True)

    def _add(self, value: Value, lines: Lines, count: int, anchor: str | None, *, fresh: bool) -> None:
        """Put a finished node where it belongs. ``fresh``: its nodes are not yet counted for the whole document."""
        self._nodes += count if fresh else 1
        if self._nodes > MAX_NODES:
            self.refuse(
                lines.line, f"the document expands to more than {MAX_NODES:,} values", "aliases multiply; use fewer"
            )
        if anchor is not None:
            self._anchors[anchor] = (value, lines, count)
        if not self._open:
            self.roots.append((value, lines, count))
            return
        top = self._open[-1]
        top.count += count
        if isinstance(top.value, list):
            top.lines.inside[len(top.value)] = lines
            top.value.append(value)
            return
        assert top.key is not None
        if not top.ignored:
            top.value[top.key] = value
            top.lines.inside[top.key].inside = lines.inside
        top.key = None

    def _plain(self, text: str, line: int) -> Value:
        """A scalar without quotes, by the core rules of YAML 1.2."""
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text) or _BASED_INT.fullmatch(text):
            if len(text) > MAX_DIGITS:
                self._note(line, f"a number of {len(text):,} digits", "quote it if it is text")
                return 0
            return int(text) if _INT.fullmatch(text) else int(text, 0)
        if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
            if not math.isfinite(number):
                self._note(line, f"{text} is not a finite number", "write a number, or quote it if it is text")
                return 0.0
            return number
        return text

    def _refuse_tag(self, tag: str | None, line: int) -> None:
        if tag is not None:
            self._note(line, f"the tag {tag} is not read", "remove it; quotes make a value text")

    def _note(self, line: int, message: str, hint: str) -> None:
        self.problems.append(Problem(self.file, line, path_text(self._path()), message, hint))

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _path(self) -> DocumentPath:
        return tuple(self._parts())

    def _parts(self) -> Iterator[str | int]:
        for level in self._open:
            if isinstance(level.value, list):
                yield len(level.value)
            elif level.key is not None:
                yield level.key


#: What PyYAML and libyaml say, and what that means to the person at the keyboard.
_SYNTAX = (
    (r"cannot start any token", "\t", "a tab stands where blanks should be", "indent with spaces"),
    (r"cannot start any token", "", "this text cannot begin without quotes", "put quotes around the text"),
    (r"mapping values are not allowed", "", "a colon and a blank inside text, or a line indented too far",
     "put quotes around text that has ': ' in it; check the indentation"),
    (r"unexpected end of stream|unexpected document", "", "a quote is opened and never closed", "close it"),
    (r"expected ',' or", "", "a list or mapping in brackets is not closed, or a comma is missing",
     "close the bracket; text that begins with { or [ needs quotes"),
    (r"expected <block end>|did not find expected key", "", "this line does not fit the ones above it",
     "check the indentation, and quotes around text that goes on after a closing quote or bracket"),
    (r"could not find expected ':'", "", "a key without its colon, or a line indented too little",
     "write `key: value`; check the indentation"),
    (r"expected '-' indicator", "", "this line does not belong to the list above it",
     "begin it with '- ' or indent it"),
    (r"unknown escape|hexadecimal", "", "a backslash in double quotes begins an escape that does not exist",
     "use single quotes, or write \\\\"),
    (r"undefined alias", "", "an alias names nothing above it", "mark the value with &name first"),
)  # fmt: skip


def _said(error: yaml.MarkedYAMLError, text: str) -> tuple[int | None, str, str]:
    """(line, message, hint) for a syntax error."""
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    problem = error.problem or "the YAML is malformed"
    rows = text.split("\n")
    row = rows[line - 1] if line is not None and line <= len(rows) else ""
    if "quoted scalar" in (error.context or "") and error.context_mark:
        line = error.context_mark.line + 1
    for pattern, needs, message, hint in _SYNTAX:
        if re.search(pattern, problem) and needs in row:
            return line, f"{message} (YAML: {problem})", hint
    return line, f"the YAML is malformed here: {problem}", "check indentation, quotes and brackets"
