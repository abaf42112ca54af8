"""What ``ancestra doctor`` finds out about a cluster: tokens, versions, nodes, GPUs, and what nobody there can run.

Asked of the head over HTTP, of the store's settings and batches, and, where it is wanted, from inside: the same doctor
as a job on the head, which sees the store and the packages that hosts see.
"""

import json
import shlex
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ancestra_farm.batch.farm_settings import NODE_TYPE_LABEL
from ancestra_farm.cli.doctor import Finding

if TYPE_CHECKING:
    from ancestra_farm.batch.card import ModelCard
    from ancestra_farm.batch.farm_settings import FarmSettings, NodeType
    from ancestra_farm.farm.head import Head, RayNode, WaitingActor
    from ancestra_farm.scheduler.placement import Needs

#: A job on a head that just started takes tens of seconds.
INSIDE_S = 180.0
LOOK_S = 0.5


def cluster_findings(address: str, store: str | None, *, insecure: bool, inside: str | None) -> Iterator[Finding]:
    """Everything about the cluster whose head is at ``address``. ``inside``: its Python; None: from outside only."""
    from ancestra_farm.farm.head import Head, HeadRefused, HeadUnreachable

    try:
        with Head(address, insecure=insecure) as head:
            yield from _answering(head)
            nodes = head.nodes()
            yield from _nodes(nodes)
            settings, cards = _wanted_of(store)
            yield from _types(nodes, settings)
            yield from _models(nodes, settings, cards)
            yield from _waiting(head.waiting(), nodes, settings)
            yield from _jobs(head, store)
            if inside is not None:
                yield from _inside(head, store, inside)
    except HeadUnreachable as error:
        yield Finding("cluster", "bad", str(error), "is the cluster up, and the tunnel to it?")
    except HeadRefused as error:
        yield Finding("cluster", "bad", str(error), "")


def _answering(head: "Head") -> Iterator[Finding]:
    from importlib import metadata

    head.knock()
    yield Finding("cluster", "good", f"{head.address} answers", "")
    if head.asks_for_token:
        head.jobs()  # HeadRefused where the token here is not the cluster's
        yield Finding("cluster token", "good", "asked for, and the one here is the cluster's", "")
    else:
        from ancestra_farm.farm.head import HOW_TO_CLOSE

        yield Finding("cluster token", "bad", "none is asked for: anybody can run anything there", HOW_TO_CLOSE)
    there, here = head.version(), metadata.version("ray")
    same = there.ray == here
    advice = "" if same else "hosts run the cluster's; keep both at the version of the container"
    yield Finding("cluster, Ray", "good" if same else "note", f"{there.ray} there, {here} here", advice)
    if there.python:
        yield Finding("cluster, Python", "good", there.python, "")


def _nodes(nodes: "Sequence[RayNode]") -> Iterator[Finding]:
    workers = [node for node in nodes if not node.is_head]
    found = f"{len(nodes):,} alive: " + ("the head" if len(nodes) > len(workers) else "no head")
    found += f" and {len(workers):,} more"
    yield Finding("nodes", "good" if nodes else "bad", found, "" if nodes else "start the cluster")
    gpus: Counter[str] = Counter()
    for node in nodes:
        if node.gpus:
            gpus[" or ".join(node.accelerators) or "of no stated kind"] += int(node.gpus)
    listed = ", ".join(f"{count} × {kind}" for kind, count in sorted(gpus.items()))
    hint = "" if gpus else "fine where they come with demand; see the node types of farm.yaml"
    yield Finding("cluster, GPUs", "good" if gpus else "note", listed or "none now", hint)
    if any(node.is_head and node.gpus for node in nodes):
        yield Finding(
            "head", "note", "it has a GPU", "a head without one can stay up for less; nodes with GPUs come and go"
        )


def _wanted_of(store: str | None) -> "tuple[FarmSettings | None, Mapping[str, ModelCard]]":
    """The settings of a store's farm, and the cards of its unfinished batches; (None, nothing) without a store."""
    from ancestra_farm.cli.reading import Reading
    from ancestra_farm.ledger.errors import StoreError

    if store is None:
        return None, {}
    try:
        reading = Reading.open(store)
    except StoreError:
        return None, {}  # what is wrong with the store is a finding of its own
    state = reading.scheduler.state
    going = {one.batch for one in reading.progress() if one.state in {"running", "paused", "waiting_for_people"}}
    cards = {name: card for batch in going for name, card in state.batches[batch].plan.cards.items()}
    return state.settings.farm, cards


def _types(nodes: "Sequence[RayNode]", settings: "FarmSettings | None") -> Iterator[Finding]:
    """Whether nodes are what their label says they are."""
    if settings is None or not settings.node_types:
        return
    for name, alike in sorted(_by_label(nodes).items()):
        if not name:
            where = ", ".join(node.address for node in alike[:4])
            found = f"{len(alike):,} nodes without the label {NODE_TYPE_LABEL} ({where})"
            advice = "start them with it: what they cost is not counted, and hosts that ask for a type pass them by"
            yield Finding("node types", "note", found, advice)
            continue
        kind = settings.node_types.get(name)
        if kind is None:
            known = ", ".join(settings.node_types)
            found = f"{len(alike):,} nodes are labelled {name}, which farm.yaml does not have (it has {known})"
            yield Finding("node types", "bad", found, "add it (ancestra settings farm set), or correct the label")
            continue
        wrong = next((lack for node in alike if (lack := _less_than(node, kind))), None)
        if wrong:
            yield Finding(f"node type {name}", "bad", wrong, "correct farm.yaml, or what the node is started with")
        elif len(alike) > kind.max_nodes:
            yield Finding(
                f"node type {name}", "bad", f"{len(alike):,} nodes, more than the {kind.max_nodes:,} of farm.yaml", ""
            )
        else:
            yield Finding(f"node type {name}", "good", f"{len(alike):,} of at most {kind.max_nodes:,} nodes", "")


def _by_label(nodes: "Sequence[RayNode]") -> "dict[str, list[RayNode]]":
    """Nodes but the head by the type that they are labelled with, empty for none."""
    found: dict[str, list[RayNode]] = {}
    for node in nodes:
        if not node.is_head:
            found.setdefault(node.labels.get(NODE_TYPE_LABEL, ""), []).append(node)
    return found


def _less_than(node: "RayNode", kind: "NodeType") -> str:
    """What a node lacks of what its type promises; empty for nothing."""
    if node.gpus < kind.gpus:
        return f"{node.address} has {node.gpus:g} GPUs, and the type says {kind.gpus}"
    if node.resources.get("CPU", 0.0) < kind.cpus:
        return f"{node.address} has {node.resources.get('CPU', 0.0):g} CPUs, and the type says {kind.cpus:g}"
    if kind.accelerator and kind.gpus and kind.accelerator not in node.accelerators:
        return f"{node.address} has GPUs of the kind {', '.join(node.accelerators) or '(none stated)'}, and the type says {kind.accelerator}"  # noqa: E501
    return ""


def _models(
    nodes: "Sequence[RayNode]", settings: "FarmSettings | None", cards: "Mapping[str, ModelCard]"
) -> Iterator[Finding]:
    """Whether every model of an unfinished batch has a place, or could have."""
    from ancestra_farm.scheduler.placement import needs_of, nowhere

    for name, card in sorted(cards.items()):
        needs = needs_of(card)
        if settings is not None and settings.node_types:
            why = nowhere(needs, settings.node_types)
            yield Finding(f"model {name}", "bad" if why else "good", why or "has a node type", "")
            continue
        able = any(_could_hold(node, needs) for node in nodes)
        advice = "" if able else "start such a node, or state in farm.yaml which types may come"
        found = (
            "a node could hold it" if able else f"no node has {needs.gpus:g} GPUs and {needs.cpus:g} CPUs as it needs"
        )
        yield Finding(f"model {name}", "good" if able else "bad", found, advice)


def _could_hold(node: "RayNode", needs: "Needs") -> bool:
    """Whether an empty node like this could hold such a host, as far as Ray tells: not of its GPUs' memory."""
    kind = not needs.accelerators or bool(set(needs.accelerators) & set(node.accelerators))
    return node.gpus >= needs.gpus and node.resources.get("CPU", 0.0) >= needs.cpus and kind


def _waiting(
    actors: "Sequence[WaitingActor]", nodes: "Sequence[RayNode]", settings: "FarmSettings | None"
) -> Iterator[Finding]:
    """Actors without a node: those for which one may come, and those whose selectors and resources nobody satisfies."""
    alike: dict[tuple[object, ...], list[WaitingActor]] = {}
    for one in actors:
        key = (one.kind, *sorted(one.resources.items()), *sorted(one.selector.items()))
        alike.setdefault(key, []).append(one)
    types = {} if settings is None else settings.node_types
    for same in alike.values():
        actor = same[0]
        wants = ", ".join(f"{amount:g} {name}" for name, amount in actor.resources.items() if amount) or "nothing"
        labels = ", ".join(f"{name}={value}" for name, value in sorted(actor.selector.items()))
        what = f"{len(same):,} × {actor.kind} wait for {wants}" + (f" with {labels}" if labels else "")
        if any(actor.fits(node) for node in nodes):
            yield Finding("waiting", "note", f"{what}: nodes that have it are full", "")
        elif any(_comes(actor, name, kind) for name, kind in types.items()):
            yield Finding("waiting", "note", f"{what}: a node of such a type may come", "look at the autoscaler if not")
        else:
            advice = "correct the labels of nodes, the node types of farm.yaml, or what the card asks for"
            yield Finding("waiting", "bad", f"{what}: no node and no node type has it, so it waits for ever", advice)
    if not actors:
        yield Finding("waiting", "good", "nothing waits for a node", "")


def _comes(actor: "WaitingActor", name: str, kind: "NodeType") -> bool:
    """Whether a node of a type would do, as farm.yaml describes it."""
    from ancestra_farm.batch.farm_settings import MARKET_LABEL
    from ancestra_farm.farm.head import RayNode

    resources = {"GPU": float(kind.gpus), "CPU": kind.cpus, "memory": kind.memory_gib * 2**30}
    if kind.accelerator:
        resources[f"accelerator_type:{kind.accelerator}"] = 1.0
    labels = {
        NODE_TYPE_LABEL: name,
        MARKET_LABEL: kind.market,
        "ray.io/accelerator-type": kind.accelerator or "",
        **kind.labels,
    }
    return actor.fits(RayNode("", "", False, resources, labels))


def _jobs(head: "Head", store: str | None) -> Iterator[Finding]:
    """How the job of the store's farm is."""
    from ancestra_farm.farm.job import jobs_of
    from ancestra_farm.ledger.errors import StoreError
    from ancestra_farm.ledger.store import Store

    if store is None:
        return
    try:
        opened = Store.open(store)
    except StoreError:
        return
    ours = jobs_of(head, opened.id, opened.url)
    if not ours:
        yield Finding("farm's job", "note", "none yet", "`ancestra submit` or `ancestra up` starts one")
        return
    last = ours[-1]
    bad = last.status == "FAILED"
    advice = f"`ancestra logs --job --address {head.address}` says why; `ancestra up` starts another" if bad else ""
    yield Finding("farm's job", "bad" if bad else "good", f"{last.submission_id}: {last.status.lower()}", advice)


def _inside(head: "Head", store: str | None, python: str) -> Iterator[Finding]:
    """The same doctor on the head: what it finds there, each under its name after ``head:``."""
    from ancestra_farm.farm.job import begin

    words = [python, "-m", "ancestra_farm.cli.main", "doctor", "--json", *(["--store", store] if store else [])]
    submission_id = f"ancestra-doctor-{uuid.uuid4().hex[:8]}"
    begin(head, shlex.join(words), submission_id, {"ancestra": "doctor"})
    until = time.monotonic() + INSIDE_S
    while (job := head.job(submission_id)) is not None and not job.ended and time.monotonic() < until:
        time.sleep(LOOK_S)
    log = head.log(submission_id)
    if job is not None and not job.ended:
        head.stop(submission_id)
    found = _told(log)
    if found is None:
        said = " ".join(log.split())[-300:]
        yield Finding(
            "head, from inside",
            "bad",
            f"the job {submission_id} did not come to an end: {said}",
            "is this package installed there?",
        )
        return
    yield from found


def _told(log: str) -> list[Finding] | None:
    """The findings in what a doctor on the head said; None where there are none. Other lines may stand around them."""
    lines = log.splitlines()
    for at, line in enumerate(lines):
        if line.strip() in {"[", "[]"} or line.startswith("[{"):
            try:
                rows, _ = json.JSONDecoder().raw_decode("\n".join(lines[at:]))
                return [Finding(f"head: {row['what']}", row["state"], row["found"], row["advice"]) for row in rows]
            except (ValueError, KeyError, TypeError):
                continue
    return None
