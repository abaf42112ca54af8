"""``ancestra logs``: what happened on a farm, and what happens now."""

import datetime as dt
import json
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ancestra_farm.cli.failures import FAILED, CommandFailed
from ancestra_farm.cli.happenings import Happening, happening, is_detail
from ancestra_farm.cli.listing import json_keys
from ancestra_farm.cli.options import BatchOption, StoreOption
from ancestra_farm.cli.submit import HeadOption, InsecureOption

if TYPE_CHECKING:
    from ancestra_farm.api.afar import Place
    from ancestra_farm.api.client import Client

EPILOG = json_keys(Happening) + " One object a line."

#: Lines shown where nobody says how many.
LAST = 40
#: Commits that the door is asked to look back over: it remembers some tens of thousands of events.
LOOK_BACK = (2000, 200, 20)
#: Seconds that the door waits for news, and between two looks at a log where nobody is at work.
WAIT_S = 20
LOOK_S = 1.0


def logs(
    store: StoreOption,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen, until Ctrl-C.")] = False,
    batch: BatchOption = None,
    shot: Annotated[str | None, typer.Option("--shot", help="Only of this shot.", show_default=False)] = None,
    last: Annotated[int, typer.Option("--last", "-n", help="Begin with so many lines of the past.", min=0)] = LAST,
    everything: Annotated[
        bool, typer.Option("--all", help="Every event: single candidates, waves, host clocks.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, one object a line.")] = False,
    job: Annotated[bool, typer.Option("--job", help="What the farm's job on the cluster at --address said.")] = False,
    address: HeadOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Print what happened, oldest first: submissions, orders, waves, failures, deliveries, hosts and nodes.

    Each line: when (UTC), the commit of the log, the batch, and what.
    """
    from ancestra_farm.api.afar import farm_at

    opened = farm_at(store)
    if job:
        _job_log(opened, address, last, follow=follow, insecure=insecure)
        return
    wanted = Wanted(batch, shot, everything)
    lines: deque[Happening] = deque(maxlen=last)
    stream = Stream(opened, everything=everything)
    for told in stream.past():
        lines.extend(_told([told], wanted))
    for line in lines:
        _print(line, as_json=as_json)
    try:
        while follow:
            for line in _told(stream.news(), wanted):
                _print(line, as_json=as_json)
    except KeyboardInterrupt:  # how a person stops following
        return


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of what happened. ``everything``: single candidates, too."""

    batch: str | None
    shot: str | None
    everything: bool

    def takes(self, line: Happening) -> bool:
        """Whether it is one of them. What is of no batch is of all of them, but of no shot."""
        return (self.batch is None or line.batch in {"", self.batch}) and self.shot in {None, line.shot}


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it came. ``at``: of its commit, 0 where that is not told."""

    commit: int
    at: float
    kind: str
    fields: dict[str, Any]


class Stream:
    """The events of a store in order, each once: from the controller that is at work, else from the log.

    The door tells somebody with a role on some shows of those only; the log tells whoever reads the store everything.
    """

    def __init__(self, store: "Place", *, everything: bool) -> None:
        from ancestra_farm.cli.live import live

        self._store = store
        self._everything = everything
        self._through = 0
        found = live(store.url)
        self._client: Client | None = None if found is None else found.client
        self._last = 0 if found is None else found.status.commit
        self._log = self._commits()

    def past(self) -> Iterator[Told]:
        """What happened before now; of a live farm as far back as it remembers."""
        if self._client is None or not (yield from self._remembered()):
            self._client = None
            yield from next(self._log)

    def news(self) -> Iterable[Told]:
        """What has happened since; waits for it a while."""
        from ancestra_farm.api.client import EndpointGone
        from ancestra_farm.api.people import NotAllowed
        from ancestra_farm.ledger.store import Store
        from ancestra_farm.scheduler.world import OrderRefused

        if self._client is not None:
            try:
                answer = self._client.events(self._through, wait_s=WAIT_S)
            except (EndpointGone, NotAllowed, OrderRefused):
                if not isinstance(self._store, Store):
                    raise
                self._client = None  # it has ended, or has forgotten how to go on: the log has not
            else:
                self._through = answer.through
                return [Told(one.commit, 0.0, one.kind, one.event) for one in answer.events]
        found = next(self._log)
        if not found:
            time.sleep(LOOK_S)
        return found

    def _remembered(self) -> Generator[Told, None, bool]:
        """From the door; comes to False where it remembers too little to begin with."""
        from ancestra_farm.api.client import EndpointGone
        from ancestra_farm.scheduler.world import OrderRefused

        assert self._client is not None
        for back in LOOK_BACK:
            through = max(self._through, self._last - back)
            try:
                while (answer := self._client.events(through, limit=1000)).through > through:
                    yield from (Told(one.commit, 0.0, one.kind, one.event) for one in answer.events)
                    self._through = through = answer.through
            except OrderRefused:  # it does not remember as much
                continue
            except EndpointGone:
                return False
            self._through = through
            return True
        return False

    def _commits(self) -> Iterator[list[Told]]:
        """Whatever the log has more than was told, each time it is asked."""
        from ancestra_farm.ledger.store import Store
        from ancestra_farm.ledger.tail import Tail
        from ancestra_farm.plan.codec import encode_event

        if not isinstance(self._store, Store):
            raise CommandFailed(f"{self._store.url}: nobody answers behind this door any more", FAILED)
        tail = Tail(self._store)
        while True:
            found = []
            for commit in tail.poll():
                if commit.number > self._through:
                    for event in commit.events:
                        if self._everything or not is_detail(type(event).__name__, getattr(event, "cause", None)):
                            kind, body = encode_event(event)
                            found.append(Told(commit.number, commit.at, kind, json.loads(body)))
            self._through = max(self._through, tail.number)
            yield found


def _told(events: Iterable[Told], wanted: Wanted) -> Iterator[Happening]:
    for one in events:
        line = happening(one.commit, one.at, one.kind, one.fields, everything=wanted.everything)
        if line is not None and wanted.takes(line):
            yield line


def _print(line: Happening, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(line), ensure_ascii=False))
        return
    at = dt.datetime.fromtimestamp(line.at, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ") if line.at else "–".ljust(20)
    of = f"{line.batch}  " if line.batch else ""
    typer.echo(f"{at}  {line.commit:>6}  {of}{line.says}")


def _job_log(store: "Place", address: str | None, last: int, *, follow: bool, insecure: bool) -> None:
    """What the newest job of a store said on its cluster: where a farm did not come up, or broke."""
    from ancestra_farm.farm.head import Head
    from ancestra_farm.farm.job import jobs_of

    if address is None:
        raise CommandFailed("--job: say on which cluster with --address http://HOST:8265")
    with Head(address, insecure=insecure) as head:
        ours = jobs_of(head, store.id, store.url)
        if not ours:
            raise CommandFailed(f"no job of {store.url} has been submitted to {head.address}")
        newest = ours[-1]
        log = head.log(newest.submission_id)
        lines = log.splitlines()
        for line in lines[len(lines) - min(last, len(lines)) :]:
            typer.echo(line)
        shown = len(log)
        try:
            while follow and not newest.ended:
                time.sleep(LOOK_S)
                newest = head.job(newest.submission_id) or newest
                log = head.log(newest.submission_id)
                typer.echo(log[shown:], nl=False)
                shown = max(shown, len(log))
        except KeyboardInterrupt:
            return
        if newest.ended:
            typer.echo(f"the job {newest.submission_id} has ended: {newest.status.lower()}", err=True)
