"""Small films to simulate."""

from ancestra_farm.batch.faults import FaultProfile
from ancestra_farm.batch.schema import Batch
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.plan import Plan
from ancestra_farm.simulate.scenario import Arrival, Scenario

STILL = {"role": "text_to_image", "model": "procedural/stills", "candidates": 40, "wave": 10}
CLIP = {
    "role": "image_to_video",
    "model": "procedural/clips",
    "from": "still",
    "best": 2,
    "candidates": 4,
    "wave": 4,
}


def plan(shots: int = 2, stages: dict | None = None, **fields: object) -> Plan:
    """A film of stills and clips."""
    document = {
        "schema": "ancestra/v1",
        "batch": "film",
        "show": "show",
        "size": [64, 64],
        "handles": 0,
        "stages": stages or {"still": STILL, "animate": CLIP},
        "shots": [{"shot": f"s{n}", "frames": 24, "prompt": {"text": ["the sea", "a sea"]}} for n in range(shots)],
        **fields,
    }
    return Plan.of(Batch.model_validate(document), load_catalog(None))


def scenario(*plans: Plan, **fields: object) -> Scenario:
    """The plans, all at once, with every check."""
    arrivals = tuple(Arrival(one) for one in plans or (plan(),))
    return Scenario(arrivals, **{"hosts": 4, "per_node": 2, "check": "every", "people_s": 60.0, **fields})


def faults(**rates: float) -> FaultProfile:
    """A profile with these rates and nothing else."""
    return FaultProfile(**{"away_s": 20.0, **rates})
