"""What can happen to a farm, as records: its machines and hosts, its settings, and who may do and is told what.

Part of the vocabulary of the log; its conventions, and what can happen to a batch, are in `events`.
"""

from dataclasses import dataclass
from typing import Literal

#: What happens to hosts that people will ask for.
HostChange = Literal["ready", "lost", "drained", "killed", "failed_to_start"]
#: What people order of machines and hosts.
NodeOrderKind = Literal["drain", "block", "forgive"]


@dataclass(frozen=True, slots=True)
class HostTimed:
    """A host's clock for one stretch: the four parts add up to ``wall_s``.

    ``host``: empty where it is the sum of several hosts of the pool that return no tickets.
    ``busy``: generating. ``loading``: setup, warm-up. ``starved``: no input though the pool had work or the host's own
    judging and writing held it up. ``idle``: nothing to do.
    """

    batch: str
    pool: str
    host: str
    wall_s: float
    busy_s: float
    loading_s: float
    starved_s: float
    idle_s: float
    at: float


@dataclass(frozen=True, slots=True)
class HostNoted:
    """Something about a host that people will ask for: it came up, was lost, or was ended and why.

    ``node_type``: of the machine it came up on; empty where none is stated. ``node``: Ray's id of a machine that is
    gone with it and gave no notice; told of the first of its hosts only, and empty of the others.
    """

    pool: str
    host: str
    what: HostChange
    message: str
    at: float
    node_type: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class SettingsGiven:
    """The settings of the farm, or of one show, were given anew: the whole document, in place of any before.

    ``name``: the show's; empty for the farm. ``document``: canonical JSON of ``ancestra/farm/v1`` or
    ``ancestra/show/v1``. ``order``: the giver's own id of it, as `OrderGiven.order_id`.
    """

    kind: Literal["farm", "show"]
    name: str
    document: str
    who: str
    at: float
    order: str = ""


@dataclass(frozen=True, slots=True)
class NodeNoticed:
    """A machine with hosts on it is to go away. ``leaves_at``: Unix seconds; None: once it is empty.

    ``node``: Ray's id of it, in hex. ``why``: what its cloud, its cluster or a person said. ``hosts``: those that were
    on it; what ends there from now on is nobody's failure.
    """

    node: str
    why: str
    hosts: tuple[str, ...]
    leaves_at: float | None
    at: float


@dataclass(frozen=True, slots=True)
class NodesPaid:
    """Time that the nodes of one type were up for, since this was last told. ``nodes``: so many are up from here on.

    ``node_s``: node-seconds, one for each node and second. ``cost``: what they come to in ``currency``, at the price of
    that moment. ``ids``: Ray's ids of the nodes that are up, in hex; None: the same as were told last.
    """

    node_type: str
    nodes: int
    node_s: float
    cost: float
    currency: str
    at: float
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NodeOrdered:
    """A person's order about a machine (``node``, Ray's id in hex), a ``host``, or the hosts of a ``model``.

    ``drain``: a machine gets nothing more and is given back once it is empty; a host makes room for another.
    ``block``: no host is placed on the machine, until somebody's ``forgive``. ``forgive`` of a model: its hosts that
    failed to start no longer count. ``order_id``: as of `OrderGiven`.
    """

    order: NodeOrderKind
    who: str
    at: float
    node: str = ""
    host: str = ""
    model: str = ""
    note: str = ""
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class TokenNoted:
    """Somebody has a token, has it in another role, or has it no more. The token itself stands nowhere.

    ``token_id``: the first 16 hex digits of its digest. ``who`` did it, by their own word, as whoever does it writes
    the store; empty: a record went, or was put there, and nobody said who did that. ``until``: when it stops to count
    by itself (``ended``), in seconds since the Unix epoch; None: it does not.
    """

    what: Literal["issued", "changed", "revoked", "ended"]
    name: str
    role: str
    token_id: str
    who: str
    at: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class StopOrdered:
    """A person had the farm end cleanly."""

    who: str
    at: float


@dataclass(frozen=True, slots=True)
class NoticeDelivered:
    """Somebody was told something. ``key``: of this notice to this recipient; ``event_id``: of the notice.

    ``to``: the host of a webhook, or ``command:NAME``. ``batch`` and ``shot``: empty where it is not about one.
    """

    key: str
    event_id: str
    occasion: str
    show: str
    batch: str
    shot: str
    to: str
    at: float
