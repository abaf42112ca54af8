"""The Look training board: how far looks are, and whether they still learn."""

from ancestra_farm.telemetry.boards.asked import FARM, OF_FARM, OF_LOOK, number, over, total
from ancestra_farm.telemetry.boards.board import Board, Panel, Query, Row

_LOOK = f'{FARM}, look=~"$look"'

_FAR = Row(
    "How far",
    (
        number(
            "Looks in training",
            "Processes of `ancestra look train --metrics-port` that Prometheus reaches.",
            f"count(ancestra_look_steps{{{_LOOK}}})",
            width=6,
            empty="none",
        ),
        number(
            "Steps done",
            "Of all steps of all chosen looks.",
            over(total("ancestra_look_steps", _LOOK), total("ancestra_look_steps_wanted", _LOOK)),
            unit="percentunit",
            high=1.0,
            width=6,
            empty="none",
        ),
        number(
            "Time to go",
            "Of the slowest look: the steps that are left, at the time a step takes of late.",
            f"max((ancestra_look_steps_wanted{{{_LOOK}}} - ancestra_look_steps{{{_LOOK}}}) * "
            f"ancestra_look_step_seconds{{{_LOOK}}})",
            unit="dtdurations",
            width=6,
            empty="none",
        ),
        number(
            "Samples",
            "Pictures drawn with the looks so far, beside their files.",
            total("ancestra_look_samples", _LOOK),
            width=6,
            empty="none",
        ),
    ),
)

_LEARNING = Row(
    "Learning",
    (
        Panel(
            "Loss",
            "Mean over the last tenth of the steps. Flat from the start: too few photographs, or too small a rate; "
            "rising: too large a rate.",
            "lines",
            (Query(f"ancestra_look_loss{{{_LOOK}}}", "{{look}}"),),
            decimals=4,
            low=None,
        ),
        Panel(
            "Steps",
            "Done, of those wanted.",
            "lines",
            (
                Query(
                    over(
                        total("ancestra_look_steps", _LOOK, "look"), total("ancestra_look_steps_wanted", _LOOK, "look")
                    ),
                    "{{look}}",
                ),
            ),
            unit="percentunit",
            high=1.0,
        ),
        Panel(
            "Time for a step",
            "Of late. It jumps where another process shares the device.",
            "lines",
            (Query(f"ancestra_look_step_seconds{{{_LOOK}}}", "{{look}}"),),
            unit="s",
            decimals=2,
        ),
        Panel(
            "Samples, by look",
            "Pictures drawn with each look so far.",
            "lines",
            (Query(total("ancestra_look_samples", _LOOK, "look"), "{{look}}"),),
            decimals=0,
        ),
    ),
)

LOOK_BOARD = Board(
    uid="ancestra-look",
    title="Ancestra · Look training",
    about="How far looks in training are, and whether they still learn.",
    variables=(OF_FARM, OF_LOOK),
    rows=(_FAR, _LEARNING),
    since="now-1h",
)
