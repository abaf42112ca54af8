"""The command line: ``ancestra COMMAND``.

Each command lives in a module of its own and imports what it needs when it runs. So ``--help``, completion in the shell
and ``check`` answer at once: neither ray nor torch nor numpy is loaded for them.
"""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ancestra_farm import __version__
from ancestra_farm.cli import (
    check,
    dash,
    doctor,
    explain,
    failures,
    gc,
    hosts,
    log,
    logs,
    look,
    ls,
    manifest,
    models,
    ordered,
    orders,
    plan,
    repair,
    run,
    schema,
    settings,
    sheet,
    simulate,
    status,
    steer,
    stitch,
    stop,
    submit,
    sync,
    token,
    watch,
    why,
)
from ancestra_farm.cli import verify as verify_command
from ancestra_farm.cli.contents import CONTENTS


class Commands(TyperGroup):
    """The group of all commands: takes ``--debug`` anywhere, and turns exceptions into a sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - as the parser has it
        """Take ``--debug`` out of the arguments, wherever it stands before a ``--``."""
        own, rest = (args[: args.index("--")], args[args.index("--") :]) if "--" in args else (args, [])
        ctx.meta["ancestra.debug"] = "--debug" in own
        return super().parse_args(ctx, [word for word in own if word != "--debug"] + rest)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - as the parser has it
        """List the commands under their headings."""
        widest = max(len(name) for names in CONTENTS.values() for name in names)
        for heading, commands in CONTENTS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(widest), says) for name, says in commands.items()])

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as the parser has it
        """Run the command; end with the exit code of whatever goes wrong."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(failures.FAILED) from None
        except Exception as error:
            if _is_usage_error(error):
                raise
            raise typer.Exit(failures.report(error, debug=ctx.meta["ancestra.debug"])) from None


def _is_usage_error(error: Exception) -> bool:
    """Whether it is the parser's own complaint, which it prints with the usage and exit code 2."""
    return any(kind.__name__ == "ClickException" for kind in type(error).__mro__)


app = typer.Typer(
    cls=Commands,
    name="ancestra",
    help="Ancestra Farm: a render farm for generated film. A batch file in, finished clips out.",
    epilog="Exit codes: 0 done, 1 something failed, 2 bad input, 3 timed out. Lists and orders take --json.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ancestra {__version__}")
        raise typer.Exit


@app.callback()
def _ancestra(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and no more.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from (anywhere in the line).")
    ] = False,
) -> None:
    """Ancestra Farm: a render farm for generated film. A batch file in, finished clips out."""


def _add(name: str, command: Callable[..., None], *, epilog: str | None = None) -> None:
    app.command(name, epilog=epilog)(command)


_add("check", check.check, epilog=check.EPILOG)
_add("plan", plan.plan, epilog=plan.EPILOG)
_add("run", run.run)
_add("resume", run.resume)
_add("submit", submit.submit)
_add("up", submit.up)
_add("ls", ls.ls, epilog=ls.EPILOG)
_add("show", ls.show, epilog=ls.SHOW_EPILOG)
_add("sync", sync.sync, epilog=sync.EPILOG)
_add("logs", logs.logs, epilog=logs.EPILOG)
_add("status", status.status, epilog=status.EPILOG)
_add("watch", watch.watch)
_add("explain", explain.explain, epilog=explain.EPILOG)
_add("why", why.why)
_add("sheet", sheet.sheet)
_add("pick", orders.pick, epilog=ordered.EPILOG)
_add("unpick", orders.unpick, epilog=ordered.EPILOG)
_add("restore", orders.restore, epilog=ordered.EPILOG)
_add("close", orders.close, epilog=ordered.EPILOG)
_add("more", steer.more, epilog=ordered.EPILOG)
_add("retry", steer.retry, epilog=ordered.EPILOG)
_add("pause", steer.pause, epilog=ordered.EPILOG)
_add("unpause", steer.unpause, epilog=ordered.EPILOG)
_add("cancel", steer.cancel, epilog=ordered.EPILOG)
_add("priority", steer.priority, epilog=ordered.EPILOG)
_add("dash", dash.dash)
_add("hosts", hosts.hosts, epilog=hosts.EPILOG)
_add("stop", stop.stop)
app.add_typer(settings.app, rich_help_panel=None)
app.add_typer(log.app, rich_help_panel=None)
app.add_typer(token.app, rich_help_panel=None)
app.add_typer(look.app, rich_help_panel=None)
_add("stitch", stitch.stitch, epilog=stitch.EPILOG)
_add("manifest", manifest.manifest)
_add("verify", verify_command.verify)
_add("repair", repair.repair, epilog=repair.EPILOG)
_add("gc", gc.gc, epilog=gc.EPILOG)
_add("models", models.models, epilog=models.EPILOG)
_add("schema", schema.schema)
_add("simulate", simulate.simulate, epilog=simulate.EPILOG)
_add("doctor", doctor.doctor, epilog=doctor.EPILOG)


def main() -> None:
    """The ``ancestra`` program."""
    try:
        app()
    except BrokenPipeError:
        # The reader of a list (head, less) went away: nothing is wrong. Keep the interpreter from flushing into it.
        sys.stderr.close()
        sys.exit(failures.DONE)


if __name__ == "__main__":
    main()
