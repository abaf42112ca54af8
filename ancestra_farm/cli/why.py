"""``ancestra why``: one candidate's whole story."""

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from ancestra_farm.cli.listing import number, print_json
from ancestra_farm.cli.options import BatchOption, JsonOption, StoreOption

if TYPE_CHECKING:
    from ancestra_farm.plan.events import AttemptEnded
    from ancestra_farm.plan.recipe import Recipe


def why(
    candidate_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.", show_default=False)],
    store: StoreOption,
    batch: BatchOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell one candidate's whole story: recipe, attempts, verdict, the wave's decision, picks, where it was used.

    JSON keys: batch, branch, position, recipe (the fields of a recipe), scores, reasons, media, thumbnail,
    story (at, commit, event, says).
    """
    from ancestra_farm.cli.lookup import locate
    from ancestra_farm.cli.telling import Teller
    from ancestra_farm.ledger.store import Store
    from ancestra_farm.ledger.tail import read_commits
    from ancestra_farm.plan.events import AttemptEnded

    opened = Store.open(store)
    located = locate(opened, candidate_id, batch)
    recipe = located.space.recipe(located.position, located.rung)
    commits = list(read_commits(opened))
    story = list(Teller(located.batch, recipe).tell(commits))
    judged: AttemptEnded | None = None
    for commit in commits:
        for event in commit.events:
            if (
                isinstance(event, AttemptEnded)
                and event.cause == "judged"
                and event.candidate_id == recipe.candidate_id
            ):
                judged = event
    if as_json:
        answer: dict[str, object] = {
            "batch": located.batch,
            "branch": located.branch,
            "position": located.position,
            "recipe": _recipe_fields(recipe),
            "scores": judged.scores if judged else {},
            "reasons": list(judged.reasons) if judged else [],
            "media": judged.media if judged else None,
            "thumbnail": judged.thumbnail if judged else None,
            "story": [dataclasses.asdict(line) for line in story],
        }
        print_json(answer)
        return
    for name, text in _head(located.batch, recipe, judged):
        typer.echo(f"{name:<10} {text}")
    typer.echo()
    for line in story:
        at = dt.datetime.fromtimestamp(line.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        typer.echo(f"{at}  {line.says}")


def _head(batch: str, recipe: "Recipe", judged: "AttemptEnded | None") -> list[tuple[str, str]]:
    length = "a still" if recipe.frames == 1 else f"{number(recipe.frames)} frames at {recipe.rate} per second"
    head = [
        ("candidate", recipe.candidate_id),
        ("made for", f"{batch}: {recipe.shot} {recipe.stage}, segment {recipe.segment}, {recipe.rung}"),
        ("prompt", recipe.prompt),
        ("negative", recipe.negative),
        ("model", f"{recipe.model} ({recipe.model_digest[:12]})"),
        ("settings", ", ".join(f"{name}={value}" for name, value in sorted(recipe.parameters.items()))),
        ("makes", f"{recipe.size[0]} × {recipe.size[1]}, {length}"),
        ("seed", f"{recipe.seed} (variant {recipe.variant}, index {recipe.index})"),
        ("parents", ", ".join(recipe.parents)),
    ]
    if judged is not None:
        head += [
            ("scores", ", ".join(f"{name} {value:.4g}" for name, value in sorted(judged.scores.items()))),
            ("media", judged.media or "not kept"),
        ]
    return [(name, text) for name, text in head if text]


def _recipe_fields(recipe: "Recipe") -> dict[str, object]:
    fields = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    reading = recipe.reading
    read = None if reading is None else {"first": str(reading.first), "step": str(reading.step)}
    return fields | {"parameters": dict(recipe.parameters), "rate": str(recipe.rate), "reading": read}
