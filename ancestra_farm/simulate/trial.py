"""Random small farms, one for each seed: batches of every shape, any machines, faults, orders and ends of controllers.

`tried` tells one such story with every check on. `survived_alike` tells it twice, in a storm on many hosts and in peace
on one, and the same candidates must survive. Seeds are all there is to know of a failure.
"""

import random
from dataclasses import replace
from typing import Any

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.faults import PRESETS, FaultProfile
from ancestra_farm.batch.schema import PRIORITIES, Batch
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.events import CandidateGivenUp
from ancestra_farm.plan.plan import Plan
from ancestra_farm.simulate.book import LawBroken
from ancestra_farm.simulate.farm import VirtualFarm
from ancestra_farm.simulate.report import Report
from ancestra_farm.simulate.run import told
from ancestra_farm.simulate.scenario import Arrival, Autoscaling, NodeKind, Scenario

#: Parts of a profile that lie with candidates and seams; the others lie with machines.
OF_CANDIDATES = ("exception", "crash", "exit", "hang", "out_of_memory", "nan", "bad_seams", "persistent")


def tried(seed: int) -> Report:
    """One random story. Raises LawBroken, with the seed and how to tell it again."""
    try:
        _, report = told(scenario_of(seed))
    except LawBroken as broken:
        raise LawBroken(f"{broken}; to tell it again: ancestra simulate --trials 1 --seed {seed}") from broken
    return report


def survived_alike(seed: int) -> bool:
    """Tell a story in a storm and in peace. False where the storm gave up what nothing is wrong with.

    Raises LawBroken where other candidates survive, or other chains come of them.
    """
    storm, peace = twins_of(seed)
    wild, _ = told(storm)
    given_up = any(isinstance(event, CandidateGivenUp) for event in wild.log)
    if given_up or wild.done is None or wild.done.stuck:
        return False  # lost with its host again and again, or hosts that do not come up: an honest difference
    quiet, _ = told(peace)
    for what in (VirtualFarm.survivors, VirtualFarm.chains):
        one, other = what(wild), what(quiet)
        if one != other:
            where = [key for key in other if one.get(key) != other[key]]
            raise LawBroken(f"seed {seed}: {what.__name__} of {where} are not those of a quiet farm with one host")
    return True


def scenario_of(seed: int) -> Scenario:
    """A random scenario. The same seed gives the same one."""
    chance = random.Random(f"{seed}/trial")  # noqa: S311 - a story, no secret
    cards = _cards(gpu=chance.random() < 0.3)
    faults = _faults(chance)
    return _scenario(
        seed,
        chance,
        tuple(_arrival(chance, number, cards) for number in range(chance.choice((1, 1, 2, 3)))),
        faults,
        orders_per_hour=chance.choice((0.0, 0.0, 30.0, 300.0)),
    )


def twins_of(seed: int) -> tuple[Scenario, Scenario]:
    """A scenario in a storm on many hosts, and the same batches in peace on one host. Nobody orders anything."""
    chance = random.Random(f"{seed}/twins")  # noqa: S311 - a story, no secret
    cards = _cards(gpu=False)
    arrivals = tuple(_arrival(chance, number, cards, hours=False) for number in range(chance.choice((1, 1, 2))))
    faults = chance.choice((PRESETS["rough"], PRESETS["storm"])).model_copy(
        update={"persistent": 0.0, "nan": 0.0, "bad_seams": 0.0, "sick_hosts": 0.0}
    )
    storm = _scenario(seed, chance, arrivals, faults, orders_per_hour=0.0)
    peace = replace(
        storm, hosts=1, per_node=1, kinds=(NodeKind("node"),), faults=PRESETS["none"], autoscaling=None, spread=0.0
    )
    return storm, peace


def _scenario(
    seed: int, chance: random.Random, arrivals: tuple[Arrival, ...], faults: FaultProfile, *, orders_per_hour: float
) -> Scenario:
    hosts = chance.choice((1, 2, 3, 5, 8, 13))
    return Scenario(
        arrivals=arrivals,
        seed=seed,
        hosts=hosts,
        per_node=min(hosts, chance.choice((1, 2, 4))),
        kinds=chance.choice(((NodeKind("node"),), (NodeKind("quick"), NodeKind("slow", 2.0, 4.0)))),
        faults=faults,
        autoscaling=Autoscaling(1, 30.0, 60.0) if chance.random() < 0.25 else None,
        yields={},
        default_yield=chance.choice((0.05, 0.3, 0.7)),
        wordings=chance.choice((0.0, 1.0)),
        alike=chance.choice((0.0, 0.1, 0.5)),
        draft_correlation=chance.choice((0.0, 0.9)),
        judge_s=chance.choice((0.0, 0.05, 2.0)),
        people_s=60.0,
        stitch_s=2.0,
        orders_per_hour=orders_per_hour,
        orders_h=0.1,
        check="every",
        limit_h=24.0 * 30,
    )


def _faults(chance: random.Random) -> FaultProfile:
    name = chance.choice(("none", "calm", "rough", "storm", "storm", "one"))
    if name != "one":
        return PRESETS[name]
    # one thing goes wrong all the time: what a storm hides under everything else
    field = chance.choice([name for name in FaultProfile.model_fields if name not in _NO_FAULTS])
    much = 20.0 if field.endswith("_per_hour") else 0.2
    return FaultProfile.model_validate({field: much, "away_s": 60.0, "persistent": chance.choice((0.0, 1.0))})


_NO_FAULTS = frozenset({"persistent", "slow_factor", "sick_rejects", "late_s", "notice_s", "away_s", "store_trouble_s"})


def _cards(*, gpu: bool) -> dict[str, ModelCard]:
    """The procedural models, as if clips took a while; on devices if wanted."""
    catalogue = load_catalog(None)
    stills, clips = catalogue["procedural/stills"], catalogue["procedural/clips"]
    update: dict[str, Any] = {"gpus": 1} if gpu else {}
    return {
        stills.id: stills.model_copy(update={"seconds_per_candidate": 0.4}),
        clips.id: clips.model_copy(update={"seconds_per_candidate": 3.0, **update}),
    }


def _arrival(chance: random.Random, number: int, cards: dict[str, ModelCard], *, hours: bool = True) -> Arrival:
    batch = _batch(chance, number, hours=hours)
    return Arrival(Plan.of(batch, cards), 0.0 if not number else chance.choice((0.0, 5.0, 60.0)))


def _batch(chance: random.Random, number: int, *, hours: bool) -> Batch:
    stages = _stages(chance)
    budget: dict[str, Any] = {}
    if chance.random() < 0.25:
        budget["candidates"] = chance.choice((5, 30, 100))
    if hours and chance.random() < 0.2:
        budget["device_hours"] = chance.choice((0.002, 0.02))
    document = {
        "schema": "ancestra/v1",
        "batch": f"b{number}",
        "show": "trial",
        "seed": chance.randrange(1000),
        "size": [64, 64],
        "handles": chance.choice((0, 4)),
        "priority": chance.choice(PRIORITIES),
        "weight": chance.choice((0.5, 1.0, 1.0, 3.0)),
        "stages": stages,
        "budget": budget,
        "deliver": {"best": chance.choice((1, 2))},
        "shots": [
            {
                "shot": f"s{shot}",
                "frames": chance.choice((16, 40, 100)),
                "prompt": {"text": ["the sea, {light}", "waves, {light}"], "axes": {"light": ["dawn", "noon"]}},
            }
            for shot in range(chance.choice((1, 1, 2, 3)))
        ],
    }
    if chance.random() < 0.15:
        document["max_slots"] = chance.choice((1, 2, 4))
    return Batch.model_validate(document)


def _stages(chance: random.Random) -> dict[str, Any]:
    """One of the shapes that films take, in random numbers."""
    shape = chance.choice(("stills", "animated", "chained", "keyframes", "from words", "two at once"))
    stages: dict[str, Any] = {}
    if shape != "from words":
        stages["still"] = _numbers(chance, "text_to_image", "procedural/stills", most=60)
    clip = _numbers(chance, "image_to_video", "procedural/clips", most=12)
    clip |= {"from": "still", "best": chance.choice((1, 2, 4)), "beam": chance.choice((1, 2, 3))}
    if shape in ("animated", "two at once"):
        stages["animate"] = clip
    if shape == "two at once":
        stages["other"] = {**clip, "candidates": 3}
    if shape == "chained":
        stages["animate"] = clip | {"overlap_frames": 5}
    if shape == "keyframes":
        stages["between"] = clip | {"role": "first_last_frame", "join": "keyframes"}
    if shape == "from words":
        stages["animate"] = _numbers(chance, "text_to_video", "procedural/clips", most=16) | {"beam": 2}
    return stages


def _numbers(chance: random.Random, role: str, model: str, *, most: int) -> dict[str, Any]:
    candidates = chance.randint(1, most)
    stage: dict[str, Any] = {
        "role": role,
        "model": model,
        "candidates": candidates,
        "wave": chance.choice((1, 3, 4, 10, 25)),
        "keep": chance.choice(("all", 1, 3, 8)),
    }
    if chance.random() < 0.3:
        stage["draft"] = {"promote": chance.choice((0.1, 0.5, 1.0)), "size": [64, 64]}
    if chance.random() < 0.2:
        stage["select"] = "close"
    if chance.random() < 0.3:
        stage["spend"] = "by_yield"
    if chance.random() < 0.2:
        stage["distinct_bits"] = chance.choice((-1, 0, 6))
    return stage
