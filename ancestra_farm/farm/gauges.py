"""A glance at the farm as metrics: which series show what the scheduler tells."""

from ancestra_farm.scheduler.glance import Glance


def live_values(glance: Glance, *, stays: bool = False) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by metric and labels, in the order of the catalogue's labels. Series that are not here are to end.

    ``stays``: the farm does not end by itself when its work is done, so that it is missed where it is gone before.
    """
    running = sum(batch.shots.get("running", 0) for batch in glance.batches)
    named = [((batch.show, batch.priority, batch.batch), batch) for batch in glance.batches]
    return {
        "ancestra_slots": {(device,): there_are for device, (there_are, _) in glance.slots.items()},
        "ancestra_slots_held": {(device,): held for device, (_, held) in glance.slots.items()},
        "ancestra_slots_planned": {(device,): planned for device, planned in glance.planned.items()},
        "ancestra_nodes": {of: float(number) for of, number in glance.nodes.items()},
        "ancestra_nodes_least": {of: float(number) for of, number in glance.nodes_least.items()},
        "ancestra_class_queue_candidates": {of: float(number) for of, number in glance.queues.items()},
        "ancestra_shots": {
            (*labels, state): float(number) for labels, batch in named for state, number in batch.shots.items()
        },
        "ancestra_shots_running": {(): float(running if stays else 0)},
        "ancestra_device_seconds_to_go": {labels: batch.to_go_s for labels, batch in named},
        "ancestra_budget_left_ratio": {
            (*labels, budget): left for labels, batch in named for budget, left in batch.budgets_left.items()
        },
    }


def live_totals(glance: Glance) -> dict[str, dict[tuple[str, ...], float]]:
    """Totals that only grow and are kept in the state of the farm, by metric and labels."""
    return {"ancestra_spent_money_total": {(show, glance.currency): paid for show, paid in glance.spent.items()}}
