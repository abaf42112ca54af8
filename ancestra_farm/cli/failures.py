"""How a command ends when something is wrong: one sentence for the person, and an exit code for the script.

0 done, 1 something failed, 2 bad input, 3 timed out. What is not foreseen is one sentence too; ``--debug`` shows where
it came from.
"""

import sys
import traceback

import typer

DONE = 0
FAILED = 1
BAD_INPUT = 2
TIMED_OUT = 3

#: Exceptions that are the person's to act on, by the name of their class: they are raised by rooms that must not be
#: imported just to be named here. Each says in its message what was wrong and what would be right.
_BAD_INPUT = frozenset(
    {
        "AddressTaken",
        "BatchRefused",
        "CatalogRefused",
        "CertificateRefused",
        "LookRefused",
        "OrderRefused",
        "PlanRefused",
        "PlotUnavailable",
        "PortTaken",
        "ScenarioRefused",
        "StoreMissing",
        "StoreRefused",
        "WeightsRefused",
    }
)
_FAILED = frozenset(
    {
        "AlreadyAtWork",
        "ClusterOpen",
        "ClusterUnreachable",
        "DoorClosed",
        "EndpointGone",
        "HeadNotReady",
        "HeadRefused",
        "HeadUnreachable",
        "JobBroke",
        "LawBroken",
        "LogDamaged",
        "LookBroke",
        "NotAllowed",
        "NotThere",
        "RunBroke",
        "StoreBusy",
        "StoreError",
        "StoreUnavailable",
        "Superseded",
        "WeightsMissing",
    }
)
KNOWN = _BAD_INPUT | _FAILED


class CommandFailed(Exception):
    """A command cannot do what was asked; the message is the whole story. ``code``: the exit code."""

    def __init__(self, message: str, code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.code = code


def exit_code_of(error: BaseException) -> int | None:
    """The exit code of an error that explains itself; None for an unexpected one."""
    if isinstance(error, CommandFailed):
        return error.code
    for kind in type(error).__mro__:
        if not kind.__module__.startswith("ancestra_farm."):
            continue
        if kind.__name__ in _BAD_INPUT:
            return BAD_INPUT
        if kind.__name__ in _FAILED:
            return FAILED
    return None


def report(error: BaseException, *, debug: bool) -> int:
    """Say on stderr what went wrong; the exit code to end with."""
    code = exit_code_of(error)
    if debug:
        typer.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if code is not None:
        typer.echo(sentence(error), err=True)
        return code
    if isinstance(error, FileNotFoundError) and error.filename:
        typer.echo(f"{error.filename}: no such file", err=True)
        return BAD_INPUT
    more = "" if debug else " (--debug shows where)"
    typer.echo(f"unexpected {type(error).__name__}: {sentence(error) or 'no message'}{more}", err=True)
    return FAILED


def sentence(error: BaseException) -> str:
    """What an error says: every problem of a refused batch on its own line, otherwise the message on one."""
    if isinstance(getattr(error, "problems", None), tuple):
        return str(error)
    return " ".join(str(error).split())


def on_terminal() -> bool:
    """Whether a person is watching: progress bars and colours then, plain lines in a log otherwise."""
    return sys.stdout.isatty()
