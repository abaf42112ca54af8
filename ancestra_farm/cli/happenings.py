"""What happened on a farm, event by event, as sentences: what ``ancestra logs`` prints.

Events come as the log and the door spell them, by kind and fields, so that one newer than this program still says
something. Pure. What the candidates came to is told by wave, unless everything is wanted; one candidate's whole story
is `why`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ancestra_farm.batch.numbers import counted
from ancestra_farm.plan.moments import until

Fields = Mapping[str, Any]

#: Told only where everything is wanted: they come by the thousand.
DETAIL = frozenset({"BranchOpened", "WaveReleased", "BranchClosed", "HostTimed", "NodesPaid"})
#: Fields of an unknown event that say who or what it is about, and what was said, in the order they are told.
_TELLING = ("kind", "name", "node", "host", "what", "who", "why", "message", "reason")


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. ``at``: Unix seconds; ``batch`` and ``shot``: empty where it is of none."""

    at: float
    commit: int
    event: str
    batch: str
    shot: str
    says: str


def happening(commit: int, at: float, kind: str, fields: Fields, *, everything: bool = False) -> Happening | None:
    """An event in words; None for one that is told only where ``everything`` is wanted. ``at``: of its commit."""
    if not everything and is_detail(kind, fields.get("cause")):
        return None
    tell = _TELLERS.get(kind)
    branch = str(fields.get("branch", ""))
    return Happening(
        at=float(fields.get("at") or at),
        commit=commit,
        event=kind,
        batch=str(fields.get("batch", "")),
        shot=str(fields.get("shot", "")) or branch.partition("/")[0],
        says=_one_line(_unknown(kind, fields) if tell is None else tell(fields)),
    )


def _one_line(text: str) -> str:
    """A text as a terminal shows it safely: messages of exceptions may hold anything."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def is_detail(kind: str, cause: object) -> bool:
    """Whether such an event is told only where everything is wanted. ``cause``: how an attempt ended, if it is one."""
    return kind in DETAIL or (kind == "AttemptEnded" and cause in {"judged", "aborted"})


def _unknown(kind: str, fields: Fields) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind).strip()
    told = [str(fields[name]) for name in _TELLING if fields.get(name)]
    return f"{words}: {', '.join(told)}" if told else words


def _where(fields: Fields) -> str:
    """``anc_010_0010 still``: of what, as people call it."""
    if fields.get("branch"):
        shot, stage, *rest = [*str(fields["branch"]).split("/"), "", ""]
        segment = f" segment {rest[0]}" if rest and rest[0] not in {"", "0"} else ""
        return f"{shot} {stage}{segment}".strip()
    named = [str(fields[name]) for name in ("shot", "stage") if fields.get(name)]
    return " ".join(named) or str(fields.get("batch", ""))


def _plain(word: object) -> str:
    return str(word).replace("_", " ")


def _epoch(fields: Fields) -> str:
    return f"epoch {fields['epoch']} taken by {fields['who']}: {fields['purpose']}"


def _submitted(fields: Fields) -> str:
    return f"batch {fields['batch']} submitted by {fields['who']}"


def _opened(fields: Fields) -> str:
    return f"{_where(fields)}: opened with {counted(len(fields['inputs']), 'input')}"


def _released(fields: Fields) -> str:
    positions = fields.get("positions")
    count = fields["stop"] - fields["start"] if positions is None else len(positions)
    again = ", tried again" if fields.get("again") else ""
    return f"{_where(fields)}: wave {fields['wave']} of {counted(count, 'candidate')} at {fields['rung']}" + again


def _attempt(fields: Fields) -> str:
    end = "passed" if fields["passed"] else "rejected by " + ", ".join(fields.get("reasons") or ("a filter",))
    if fields["cause"] != "judged":
        end = _plain(fields["cause"]) + (f": {fields['message']}" if fields.get("message") else "")
    host = f" on {fields['host']}" if fields.get("host") else ""
    return f"{_where(fields)}: {str(fields['candidate_id'])[:12]}{host}: {end}"


def _given_up(fields: Fields) -> str:
    return f"{_where(fields)}: number {fields['position']} given up as {fields['outcome']}: {fields['reason']}"


def _wave(fields: Fields) -> str:
    if fields["rung"] == "draft":
        came = counted(len(fields["promoted"]), "draft promoted", "drafts promoted")
    else:
        came = counted(len(fields["survivors"]), "survivor")
    more = [
        counted(len(fields[name]), one, many)
        for name, one, many in (("duplicates", "duplicate", "duplicates"), ("skipped", "skipped", "skipped"))
        if fields.get(name)
    ]
    return f"{_where(fields)}: wave {fields['wave']} closed: {', '.join([came, *more])}"


def _branch_closed(fields: Fields) -> str:
    return f"{_where(fields)}: {_plain(fields['why'])}, {counted(len(fields['tails']), 'tail')}"


def _stage_closed(fields: Fields) -> str:
    by = f" by {fields['by']}" if fields.get("by") else ""
    selected = f", {len(fields['selected']):,} selected" if fields.get("selected") else ""
    result = counted(len(fields["chains"]), "result")
    return f"{_where(fields)}: closed{by} ({_plain(fields['why'])}), {result}{selected}"


def _order(fields: Fields) -> str:
    about = str(fields.get("candidate_id", ""))[:12]
    more = [
        f"{fields['candidates']:,} candidates" if fields.get("candidates") else "",
        _plain(fields.get("cause") or ""),
        str(fields.get("filter") or ""),
        str(fields.get("priority") or ""),
        f"weight {float(fields['weight']):g}" if fields.get("weight") is not None else "",
        until(fields.get("until")),
    ]
    what = " ".join(part for part in (str(fields["order"]), _where(fields), about, *more) if part)
    note = f": {fields['note']}" if fields.get("note") else ""
    return f"{what}, ordered by {fields['who']}{note}"


def _planned(fields: Fields) -> str:
    return f"{_where(fields)}: {fields['version']} is to be stitched" + (", as picked" if fields.get("picked") else "")


def _stitched(fields: Fields) -> str:
    if not fields["ok"]:
        return f"{_where(fields)}: {fields['version']} could not be stitched: {fields.get('message', '')}"
    return f"{_where(fields)}: {fields['version']} published, {counted(fields['frames'], 'frame')}"


def _voided(fields: Fields) -> str:
    count = counted(len(fields["positions"]), "verdict counts", "verdicts count")
    return f"{_where(fields)}: {count} no more: {fields['why']} ({fields['host']})"


def _host(fields: Fields) -> str:
    message = f": {fields['message']}" if fields.get("message") else ""
    return f"host {fields['host']} {_plain(fields['what'])}{message}"


def _timed(fields: Fields) -> str:
    parts = ", ".join(f"{name} {float(fields[f'{name}_s']):.1f} s" for name in ("busy", "loading", "starved", "idle"))
    who = f"host {fields['host']}" if fields["host"] else f"hosts of {fields['pool']}"
    return f"{who}: {parts}"


def _settings(fields: Fields) -> str:
    whose = "the farm" if fields["kind"] == "farm" else f"the show {fields['name']}"
    return f"settings of {whose} given by {fields['who']}"


def _token(fields: Fields) -> str:
    token = f"token of {fields['name']} ({fields['role']}) {fields['what']}"
    if fields["what"] == "ended":
        return token
    by = f" by {fields['who']}" if fields.get("who") else " in the store, nobody said by whom"
    return ", ".join(filter(None, (token + by, until(fields.get("until")))))


def _node_noticed(fields: Fields) -> str:
    hosts = counted(len(fields["hosts"]), "host")
    return f"node {str(fields['node'])[:12]} goes away, with {hosts}: {fields['why']}"


def _node_ordered(fields: Fields) -> str:
    about = fields.get("host") or fields.get("model") or f"node {str(fields.get('node', ''))[:12]}"
    note = f": {fields['note']}" if fields.get("note") else ""
    return f"{fields['order']} {about}, ordered by {fields['who']}{note}"


def _nodes_paid(fields: Fields) -> str:
    spent = f"{float(fields['node_s']):,.0f} node-seconds for {float(fields['cost']):,.4f} {fields['currency']}"
    return f"{fields['nodes']} × {fields['node_type']} are up; {spent} since this was last told"


def _told(fields: Fields) -> str:
    where = " ".join(str(fields[name]) for name in ("batch", "shot") if fields.get(name)) or f"show {fields['show']}"
    return f"{fields['to']} was told of {where}: {_plain(fields['occasion'])}"


def _repaired(fields: Fields) -> str:
    return f"the log was repaired by {fields['who']}: {fields['what']}"


def _collected(fields: Fields) -> str:
    count = counted(len(fields["candidate_ids"]), "reject")
    return f"media of {count} of {fields['batch']} collected by {fields['who']}"


_TELLERS: Mapping[str, Callable[[Fields], str]] = {
    "EpochTaken": _epoch,
    "BatchSubmitted": _submitted,
    "SubmissionRepeated": lambda fields: f"{fields['batch']} was handed in by {fields['who']} just as it stands",
    "BranchOpened": _opened,
    "WaveReleased": _released,
    "AttemptEnded": _attempt,
    "CandidateGivenUp": _given_up,
    "WaveClosed": _wave,
    "BranchClosed": _branch_closed,
    "StageClosed": _stage_closed,
    "OrderGiven": _order,
    "StitchPlanned": _planned,
    "StitchEnded": _stitched,
    "VerdictsVoided": _voided,
    "HostNoted": _host,
    "HostTimed": _timed,
    "SettingsGiven": _settings,
    "TokenNoted": _token,
    "StopOrdered": lambda fields: f"the farm was stopped by {fields['who']}",
    "NodeNoticed": _node_noticed,
    "NodeOrdered": _node_ordered,
    "NodesPaid": _nodes_paid,
    "NoticeDelivered": _told,
    "Repaired": _repaired,
    "MediaCollected": _collected,
}
