"""What can happen to a batch, as records: the vocabulary of the log. What happens to the farm is in `farm_events`.

Each class is one kind of event. Events are facts and binding decisions; folding them in order gives the whole state of
a farm, and nothing is decided again. They live beside the plan because both the scheduler, which decides them, and the
ledger, which keeps them, speak this vocabulary and must not know each other.

Conventions: ``at`` is seconds since the Unix epoch, UTC. A *branch* is the candidates of one segment of one stage of
one shot that share a list of inputs; its key is unique within the batch (``anc_010_0010/still/0``). ``position`` counts
candidates within a branch. A position is made at rung ``draft`` and, if promoted, at rung ``full``.
"""

from dataclasses import dataclass, field
from typing import Literal

from ancestra_farm.plan.farm_events import (
    HostNoted,
    HostTimed,
    NodeNoticed,
    NodeOrdered,
    NodesPaid,
    NoticeDelivered,
    SettingsGiven,
    StopOrdered,
    TokenNoted,
)
from ancestra_farm.plan.recipe import Rung

#: How an attempt at a candidate ended. ``judged``: there is a verdict. The others are causes of failure; ``store``:
#: what was made could not be written, or what it is made from not be read, since the store was in trouble.
Cause = Literal["judged", "exception", "out_of_memory", "deadline", "crash", "host_lost", "aborted", "store"]
#: A released candidate's current state. ``promoted`` and ``not_promoted`` are the ends of passing drafts.
Outcome = Literal[
    "released", "survivor", "rejected", "failed", "quarantined", "lost", "skipped", "promoted", "not_promoted"
]


#: Why nothing more is released in a branch.
BranchEnd = Literal["kept_enough", "tried_all", "budget", "superseded", "closed", "cancelled"]
#: What people order. Of a candidate: ``pick``, ``unpick``, ``restore`` (a reject survives by a person's word).
#: Of a stage: ``close``, ``more`` (candidates), ``retry`` (what failed, or what a filter rejected). Of a shot, or of a
#: whole batch where no shot is named: ``pause``, ``unpause``, ``cancel``; of a batch: ``priority``.
OrderKind = Literal["pick", "unpick", "close", "restore", "more", "retry", "pause", "unpause", "cancel", "priority"]


@dataclass(frozen=True, slots=True)
class EpochTaken:
    """A controller or an order began to write under ``epoch``; lower epochs are void from here on."""

    epoch: int
    who: str
    purpose: str
    at: float


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    """A batch, or a newer revision of one of the same name, was accepted.

    ``document`` is the batch as canonical JSON and ``cards`` the model cards it names, by id, as canonical JSON: the
    plan can always be made again from the log alone. ``digest`` is over both. ``order_id``: as of `OrderGiven`.
    """

    batch: str
    digest: str
    document: str
    cards: dict[str, str]
    who: str
    at: float
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class SubmissionRepeated:
    """A batch was handed in just as it stands, under an id: nothing changed, and nothing will under this id."""

    batch: str
    digest: str
    who: str
    at: float
    order_id: str


@dataclass(frozen=True, slots=True)
class BranchOpened:
    """A segment of a stage has its inputs. ``inputs``: one tuple of parent ids for each input; ``((),)``: no inputs.

    ``generation`` counts rounds: later picks re-open a stage's roots under the next generation; branches of earlier
    generations are superseded. ``tail`` names the survivor a chained segment goes on from, None for a root.
    """

    batch: str
    branch: str
    shot: str
    stage: str
    segment: int
    generation: int
    inputs: tuple[tuple[str, ...], ...]
    tail: str | None
    at: float


@dataclass(frozen=True, slots=True)
class WaveReleased:
    """Positions [start, stop) of a branch will be tried; ``rung`` says how. ``filters``: the cascade's order.

    A wave with drafts is released at ``draft`` first; its ``full`` release (same wave number) names the promoted
    ``positions`` explicitly. So does a wave that is spent by yield, or that tries candidates again: their positions
    need not lie together. Otherwise ``positions`` is None. ``again``: the wave tries candidates that had an outcome
    already; ``by_word``: they survive by a person's word, whatever the filters say, and their media are kept.
    """

    batch: str
    branch: str
    wave: int
    rung: Rung
    start: int
    stop: int
    filters: tuple[str, ...]
    at: float
    positions: tuple[int, ...] | None = None
    again: bool = False
    by_word: bool = False


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """One attempt at one candidate ended, with a verdict (cause ``judged``) or without.

    ``phash``: 64-bit perceptual hash of the frame that stands for the candidate. ``scores`` by name; ``filter_s``:
    seconds by filter that ran. ``media``/``thumbnail``: store paths, the thumbnail with a ``#xywh=`` fragment.
    ``device_s``: seconds the device was held for this attempt. ``of``: how many unfinished candidates shared the
    fate of this one (a crash of a ticket of many charges nobody; it counts as a strike only when ``of`` is 1).
    """

    batch: str
    branch: str
    position: int
    rung: Rung
    candidate_id: str
    cause: Cause
    passed: bool
    at: float
    reasons: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    filter_s: dict[str, float] = field(default_factory=dict)
    judged_in_full: bool = False
    phash: int | None = None
    media: str | None = None
    thumbnail: str | None = None
    generate_s: float = 0.0
    judge_s: float = 0.0
    device_s: float = 0.0
    host: str = ""
    ticket: str = ""
    message: str = ""
    of: int = 1


@dataclass(frozen=True, slots=True)
class CandidateGivenUp:
    """No further attempt will be made: three strikes (``quarantined``) or too many unexplained losses (``lost``).

    ``skipped``: its turn never came, since the batch has spent its device-hours; its wave is decided without it.
    """

    batch: str
    branch: str
    position: int
    rung: Rung
    outcome: Literal["quarantined", "lost", "failed", "skipped"]
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class WaveClosed:
    """Every candidate of a wave (at this rung) has ended; the decision over the whole wave, in index order.

    For a draft wave ``promoted`` are made in full next. For a full wave ``survivors`` passed and are distinct from all
    earlier survivors of the branch; ``duplicates`` passed too but resemble (position → candidate id of the
    original). ``skipped`` positions were released but lie past a stop.
    """

    batch: str
    branch: str
    wave: int
    rung: Rung
    survivors: tuple[int, ...]
    duplicates: dict[int, str]
    promoted: tuple[int, ...]
    skipped: tuple[int, ...]
    at: float


@dataclass(frozen=True, slots=True)
class BranchClosed:
    """Nothing more is released in this branch. ``tails``: survivors the next segment goes on from, best first."""

    batch: str
    branch: str
    why: BranchEnd
    tails: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class StageClosed:
    """A stage of a shot has its result: ``chains`` of candidate ids, one id per segment, best first.

    ``selected``: chains that people picked; empty where nobody had to. ``by``: who closed it, empty for the farm.
    """

    batch: str
    shot: str
    stage: str
    generation: int
    chains: tuple[tuple[str, ...], ...]
    selected: tuple[tuple[str, ...], ...]
    why: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class OrderGiven:
    """A person's order, acknowledged once this is committed.

    ``shot``, ``stage`` and ``candidate_id`` say what it is of. ``candidates``: how many ``more``. ``cause``: what to
    ``retry``: an outcome (``failed``, ``quarantined``, ``lost``) or a cause of failure; ``filter``: rejects of this
    filter. ``priority`` and ``weight``: the new ones, empty and None to leave them. ``until``: when a ``pause`` ends by
    itself, in seconds since the Unix epoch; None: when it is ordered to. ``order_id``: the giver's own id
    of it; an order that comes a second time under the same id (its answer was lost) is acknowledged and changes
    nothing.
    """

    batch: str
    order: OrderKind
    who: str
    at: float
    shot: str = ""
    stage: str = ""
    candidate_id: str = ""
    note: str = ""
    candidates: int = 0
    cause: str = ""
    filter: str = ""
    priority: str = ""
    weight: float | None = None
    until: float | None = None
    order_id: str = ""


@dataclass(frozen=True, slots=True)
class StitchPlanned:
    """A chain will be stitched to a version of its shot. The number is taken by this event and never given again.

    ``stitch_id`` is a digest of the ordered inputs and the settings. ``version``: ``v001`` (picked) or
    ``auto-<8 hex of the stitch id>``.
    """

    batch: str
    shot: str
    generation: int
    stitch_id: str
    version: str
    chain: tuple[str, ...]
    picked: bool
    at: float


@dataclass(frozen=True, slots=True)
class StitchEnded:
    """A stitch was published, or failed. ``bad_pair``: neighbours whose seam failed; the clips themselves stay good.

    ``files``: store path by kind (``mp4``, ``master``, ``otio``, ``report``); ``seams``: score by name for each seam.
    """

    batch: str
    shot: str
    stitch_id: str
    version: str
    ok: bool
    frames: int
    at: float
    files: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    seams: tuple[dict[str, float], ...] = ()
    bad_pair: tuple[str, str] | None = None
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class VerdictsVoided:
    """Verdicts of a host that turned out to be sick no longer count: these positions are tried again elsewhere.

    Only positions of waves that have not been decided; what rests on a decision stands.
    """

    batch: str
    branch: str
    rung: Rung
    positions: tuple[int, ...]
    host: str
    why: str
    at: float


@dataclass(frozen=True, slots=True)
class Repaired:
    """A commit was lost to damage, and this stands under its number. ``was``: where its file lies now, empty: nowhere.

    ``what``: what was wrong with it. ``aside``: for each later commit, by number, the places (from 0) of the events
    that no longer count, because they rest on what was lost; readers leave them out. ``recovered``: how many of the
    lost events were found again, in the tables; they follow in the same commit.
    """

    was: str
    what: str
    who: str
    at: float
    aside: dict[int, tuple[int, ...]] = field(default_factory=dict)
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class MediaCollected:
    """The media of these rejects are gone: they were kept for a time, and that is over. Restored, they are made again.

    Committed before the first of them is deleted. Their thumbnails stay.
    """

    batch: str
    candidate_ids: tuple[str, ...]
    who: str
    at: float


Event = (
    EpochTaken
    | BatchSubmitted
    | SubmissionRepeated
    | BranchOpened
    | WaveReleased
    | AttemptEnded
    | CandidateGivenUp
    | WaveClosed
    | BranchClosed
    | StageClosed
    | OrderGiven
    | StitchPlanned
    | StitchEnded
    | HostTimed
    | VerdictsVoided
    | HostNoted
    | Repaired
    | MediaCollected
    | SettingsGiven
    | TokenNoted
    | StopOrdered
    | NoticeDelivered
    | NodeNoticed
    | NodeOrdered
    | NodesPaid
)
