"""A glance at the farm as metrics: which series show what the scheduler tells."""

from collections import defaultdict

from ancestra_farm.scheduler.glance import Glance


def live_values(glance: Glance) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by metric and labels, in the order of the catalogue's labels. Series that are not here are to end."""
    named = [((batch.show, batch.priority, batch.batch), batch) for batch in glance.batches]
    return {
        "ancestra_slots": {(device,): there_are for device, (there_are, _) in glance.slots.items()},
        "ancestra_slots_held": {(device,): held for device, (_, held) in glance.slots.items()},
        "ancestra_nodes": {of: float(number) for of, (number, _) in glance.nodes.items()},
        "ancestra_class_queue_candidates": {of: float(number) for of, number in glance.queues.items()},
        "ancestra_shots": {
            (*labels, state): float(number) for labels, batch in named for state, number in batch.shots.items()
        },
        "ancestra_device_seconds_to_go": {labels: batch.to_go_s for labels, batch in named},
        "ancestra_budget_left_ratio": {
            (*labels, budget): left for labels, batch in named for budget, left in batch.budgets_left.items()
        },
    }


def live_totals(glance: Glance) -> dict[str, dict[tuple[str, ...], float]]:
    """Totals that only grow and are kept in the state of the farm, by metric and labels."""
    return {"ancestra_spent_money_total": {(show, glance.currency): paid for show, paid in glance.spent.items()}}


class NodeMeter:
    """What machines have cost while this process looked: node-seconds, and money at the prices of the moment."""

    def __init__(self) -> None:
        self._seen: tuple[float, Glance] | None = None
        self._seconds: dict[tuple[str, ...], float] = defaultdict(float)
        self._money: dict[tuple[str, ...], float] = defaultdict(float)

    def read(self, glance: Glance, now_s: float) -> dict[str, dict[tuple[str, ...], float]]:
        """Totals by metric and labels. What was there at the last reading counts as there until ``now_s``.

        ``now_s``: seconds of any clock that only goes forward.
        """
        if self._seen is not None:
            before_s, before = self._seen
            for of, (number, price_per_hour) in before.nodes.items():
                spent_s = number * (now_s - before_s)
                self._seconds[of] += spent_s
                if price_per_hour:
                    self._money[(*of, before.currency)] += spent_s * price_per_hour / 3600
        self._seen = (now_s, glance)
        return {"ancestra_node_seconds_total": dict(self._seconds), "ancestra_node_money_total": dict(self._money)}
