"""Questions to the scheduler, answered by the controller's loop between two turns: they read, and are quick."""

import json
from collections.abc import Collection, Iterator
from typing import Literal

from ancestra_farm.api import wire
from ancestra_farm.batch.show_settings import ShowRole
from ancestra_farm.scheduler.progress import shot_status
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.state import BatchState
from ancestra_farm.scheduler.versions import version_of

#: So many candidates are named for one beginning of an id; more of it are wanted then.
MOST_CANDIDATES = 16


def explained(
    scheduler: Scheduler, batch: str | None, shot: str | None, shows: Collection[str] | None = None
) -> list[wire.Explained]:
    """Sentences for every shot, or for those that were asked about. ``shows``: only of these, None: of all."""
    return [
        wire.Explained(
            batch=state.name,
            shot=name,
            state=shot_status(found, scheduler.tunables),
            says=list(scheduler.explain(state.name, name, shows)),
        )
        for state in scheduler.state.batches.values()
        if batch in {None, state.name} and (shows is None or state.show in shows)
        for name, found in state.shots.items()
        if shot in {None, name}
    ]


def batches(scheduler: Scheduler) -> list[wire.BatchStanding]:
    """Every batch, in the order of submission."""
    return [_standing(batch) for batch in scheduler.state.batches.values()]


def _standing(batch: BatchState) -> wire.BatchStanding:
    return wire.BatchStanding(
        batch=batch.name,
        show=batch.plan.batch.show,
        priority=batch.priority,
        weight=batch.weight,
        paused=batch.paused,
        revision=batch.revision,
        digest=batch.submitted.digest,
        shots=len(batch.shots),
        device_s=batch.device_s,
        device_hours=batch.plan.batch.budget.device_hours,
        who=batch.submitted.who,
        at=batch.submitted.at,
    )


def on_shows(scheduler: Scheduler, name: str) -> tuple[dict[str, ShowRole], dict[str, str]]:
    """(the role of a person on each show whose settings name them, the show of each batch)."""
    state = scheduler.state
    roles = {show: settings.people[name] for show, settings in state.settings.shows.items() if name in settings.people}
    return roles, {batch.name: batch.plan.batch.show for batch in state.batches.values()}


def farm_settings(scheduler: Scheduler) -> wire.SettingsStanding:
    """The settings of the farm."""
    return _settings(scheduler, "farm", "")


def show_settings(scheduler: Scheduler, shows: Collection[str] | None = None) -> list[wire.SettingsStanding]:
    """The settings of shows, by name. ``shows``: of these that have any; None: of all."""
    known = sorted(scheduler.state.settings.shows)
    return [_settings(scheduler, "show", show) for show in known if shows is None or show in shows]


def _settings(scheduler: Scheduler, kind: Literal["farm", "show"], name: str) -> wire.SettingsStanding:
    settings = scheduler.state.settings
    given = settings.given.get("farm" if kind == "farm" else f"show/{name}")
    return wire.SettingsStanding(
        kind=kind,
        name=name,
        document=None if given is None else json.loads(given.document),
        who="" if given is None else given.who,
        at=0.0 if given is None else given.at,
        spent=sum(settings.spent.values()) if kind == "farm" else settings.spent.get(name, 0.0),
        currency=settings.farm.currency,
        version=version_of(given),
    )


def hosts(scheduler: Scheduler) -> list[wire.HostStanding]:
    """Every host, pool by pool."""
    return [
        wire.HostStanding(
            host=host.name,
            model=pool.card.id,
            ready=host.ready,
            stopping=host.stopping,
            working=any(lease.started_at is not None for lease in host.leases),
            tickets=[lease.ticket.ticket for lease in host.leases],
            node=host.node,
            why=host.why,
        )
        for pool in scheduler.dispatcher.fleet.pools.values()
        for host in pool.hosts.values()
    ]


def candidates(
    scheduler: Scheduler, prefix: str, batch: str | None, shows: Collection[str] | None = None
) -> wire.Candidates:
    """Candidates that were released and whose ids begin so, each in its newest place. ``shows``: None: of all."""
    found: dict[tuple[str, str], wire.Candidate] = {}
    for one in _beginning_with(scheduler, prefix, batch, shows):
        found[one.batch, one.candidate_id] = one
        if len(found) > MOST_CANDIDATES:
            break
    return wire.Candidates(candidates=list(found.values())[:MOST_CANDIDATES], more=len(found) > MOST_CANDIDATES)


def _beginning_with(
    scheduler: Scheduler, prefix: str, batch: str | None, shows: Collection[str] | None
) -> Iterator[wire.Candidate]:
    for state in scheduler.state.batches.values():
        if batch not in {None, state.name} or (shows is not None and state.plan.batch.show not in shows):
            continue
        for branch in state.branches.values():
            for rung, results in branch.results.items():
                for position in results.positions_of(prefix):
                    if (result := results.look(position)) is not None:
                        yield wire.Candidate(
                            candidate_id=result.candidate_id,
                            batch=state.name,
                            branch=branch.key,
                            shot=branch.stage.shot.plan.name,
                            stage=branch.stage.plan.name,
                            position=position,
                            rung=rung,
                            outcome=result.outcome,
                        )
