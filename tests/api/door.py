"""A door with everything real behind it but Ray: the loop, the scheduler, the log, and hosts on threads."""

import json
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import urllib3

from ancestra_farm.api.allowance import MOST_BYTES
from ancestra_farm.api.app import LOOPBACK_NAMES, build_app
from ancestra_farm.api.people import issue
from ancestra_farm.api.register import Register
from ancestra_farm.api.server import endpoint_of, listening, serve_app
from ancestra_farm.api.tls import Shown
from ancestra_farm.api.uploads import Uploads
from ancestra_farm.farm.control import ControlLoop
from ancestra_farm.farm.desk import LoopDesk, Recent
from ancestra_farm.farm.news import Asked, Inbox
from ancestra_farm.farm.upkeep import Upkeep
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.log import Writer
from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.tail import read_commits
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.scheduler.scheduler import Scheduler
from ancestra_farm.scheduler.world import StopRequested, Submit
from ancestra_farm.telemetry.metrics import Metrics
from tests.farm.processes import wait_for
from tests.farm.threads import ThreadHands


class OpenDoor:
    """A controller's loop in a thread and its door. ``ending``: how the loop ended, or the exception it ended by.

    ``census``: the log is told who has a token, as the controller has it. ``most_lying``: bytes of files that one
    person may leave lying.
    """

    def __init__(
        self,
        store: Store,
        *first: Submit,
        cpus: int = 2,
        stay: bool = True,
        shown: Shown | None = None,
        hands: Callable[[Inbox, Store, int], ThreadHands] = ThreadHands,
        listen: str = "127.0.0.1:0",
        census: bool = False,
        most_lying: int = MOST_BYTES,
    ) -> None:
        self.store = store
        self.writer = Writer.begin(store, "tester", "run")
        self.epoch = self.writer.epoch
        self.inbox = Inbox()
        self.scheduler = Scheduler(self.epoch)
        self.hands = hands(self.inbox, store, cpus)
        recent = self.recent = Recent()
        metrics = Metrics()
        listener = listening(listen)
        self.endpoint = endpoint_of(listener, tls=shown is not None)
        fingerprint = "" if shown is None else shown.fingerprint
        self.presence = Presence.here("tester", self.epoch, self.endpoint, fingerprint)
        self.upkeep = Upkeep(store, self.presence, metrics, recent.add)
        self.register = Register(store)
        if census:
            self.register.tell(lambda seen: self.inbox.put(lambda: seen))
        look = self.register.look if census else None
        self.loop = ControlLoop(
            self.scheduler, self.writer, self.hands, self.inbox, self.upkeep, stay=stay, census=look
        )
        self.desk = LoopDesk(
            store, self.epoch, self.scheduler, self.inbox, metrics, recent, lambda: self.upkeep.picture, self.register
        )
        self.desk.uploads = Uploads(store, most_lying)
        self.server = serve_app(build_app(self.desk, names=LOOPBACK_NAMES), listener, shown)
        self.pool = urllib3.PoolManager(retries=False, timeout=60)
        self.tokens: dict[str, str] = {}
        self.ending: Any = None
        self.thread = threading.Thread(target=self._run, args=([Asked(one) for one in first],))
        self.thread.start()

    def _run(self, first: list[Asked]) -> None:
        try:
            self.ending = self.loop.run(first)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.ending = error
        finally:
            self.upkeep.leave()
            self.inbox.close()
            self.server.close()

    def token(self, role: str, name: str = "") -> str:
        """A token of somebody with this role, made once."""
        name = name or role
        if name not in self.tokens:
            self.tokens[name] = issue(self.store, name, role, by="tester")
        return self.tokens[name]

    def ask(
        self, method: str, path: str, body: Any = None, *, role: str = "operator", headers: dict[str, str] | None = None
    ) -> "Said":
        """One request; ``role`` empty: without a token."""
        sent = {"content-type": "application/json"} if body is not None else {}
        if role:
            sent["authorization"] = f"Bearer {self.token(role)}"
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        answer = self.pool.request(method, self.endpoint + path, body=data, headers=sent | (headers or {}))
        return Said(answer.status, dict(answer.headers), answer.data)

    def until(self, holds: Callable[[Any], Any], within_s: float = 60.0) -> Any:
        """Look at the status until it is so, and return it."""
        return wait_for(lambda: (status := self.ask("GET", "/v1/status").json) and holds(status) and status, within_s)

    def survivors(self) -> list[str]:
        """Ids of what survived so far, of everything."""
        branches = [b for batch in self.scheduler.state.batches.values() for b in batch.branches.values()]
        return [candidate for branch in branches for candidate in branch.survivor_ids()]

    def of_still(self, kind: str, **more: Any) -> dict[str, Any]:
        """An order about the stills of the first shot."""
        return {"order": kind, "batch": "tiny", "shot": "anc_000", "stage": "still", **more}

    def give(self, *orders: dict[str, Any], role: str = "operator") -> "Said":
        """Give orders in one request."""
        return self.ask("POST", "/v1/orders", {"orders": list(orders)}, role=role)

    def version(self, show: str = "") -> str:
        """Of the settings in force: of a show, or of the farm."""
        if not show:
            return self.ask("GET", "/v1/farm_settings").json["version"]
        told = self.ask("GET", f"/v1/show_settings?show={show}").json["settings"]
        return told[0]["version"] if told else "none"

    def logged(self) -> list[OrderGiven]:
        """Every order in the log."""
        return [one for commit in read_commits(self.store) for one in commit.events if isinstance(one, OrderGiven)]

    def close(self, within_s: float = 60.0) -> None:
        """Stop, and wait for the loop to be over."""
        if self.thread.is_alive():
            self.inbox.ask(StopRequested())
        self.thread.join(within_s)
        self.pool.clear()
        assert not self.thread.is_alive()

    def __enter__(self) -> "OpenDoor":
        return self

    def __exit__(self, *_: object) -> None:
        with closing(self):
            pass


class Said:
    """An answer."""

    def __init__(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.data = data

    @property
    def json(self) -> Any:
        return json.loads(self.data)
