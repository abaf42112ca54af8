"""What is wrong with a document, said for the person who can put it right: file, line, place, fault, remedy."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: A place in a document: keys and list positions from the root, such as ``("shots", 0, "frames")``.
DocumentPath = tuple[str | int, ...]

#: `BatchRefused` prints so many problems and counts the rest; `BatchRefused.problems` always has all of them.
SHOWN_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one document.

    ``line`` counts from 1; None where the fault has no place in the text. ``path``: see `path_text`. ``hint`` says what
    would be right, empty where the message already does.
    """

    file: str
    line: int | None
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """``file:line: path: message (hint)``, each part only where there is one."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [place, *([self.path] if self.path else []), self.message]
        return ": ".join(parts) + (f" ({self.hint})" if self.hint else "")


class BatchRefused(Exception):
    """A document cannot be used as it is. ``problems`` has every fault found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """One line for each problem, the first `SHOWN_PROBLEMS` of them."""
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        hidden = len(self.problems) - len(lines)
        if hidden > 0:
            lines.append(f"… and {hidden:,} more")
        return "\n".join(lines)


def path_text(path: DocumentPath) -> str:
    """``shots[0].stages.still.keep``; empty for the whole document."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def holders(paths: Iterable[DocumentPath]) -> set[DocumentPath]:
    """The paths and everything that holds one of them, up to the whole document."""
    return {path[:length] for path in paths for length in range(len(path) + 1)}


def by_line(problems: Iterable[Problem]) -> list[Problem]:
    """The problems in the order of the file, each once; those without a line first."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line or 0))


def listed(words: Iterable[object], last: str = "or", limit: int = 12) -> str:
    """``a, b or c``; past ``limit`` words the rest is counted."""
    shown = [str(word) for word in words]
    if len(shown) > limit:
        return ", ".join(shown[:limit]) + f" … ({len(shown)} in all)"
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def did_you_mean(word: str, known: Iterable[str], what: str) -> str:
    """A hint for a misspelt ``word``: the nearest known one, or else the list of all ``what`` (a plural noun)."""
    names: Sequence[str] = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"{what}: {listed(names, 'and')}" if names else f"there are no {what}"


def shown(value: object, limit: int = 60) -> str:
    """A value as a person would write it in YAML, cut to ``limit`` characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if len(value) > 4 or any(isinstance(v, dict | list) for v in value) else f"{list(value)}"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
