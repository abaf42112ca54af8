"""Whether a store is as it must be once a batch is done, whatever was done to the farm on the way."""

from collections import Counter

from ancestra_farm.ledger.store import Store
from ancestra_farm.ledger.verify import verify
from ancestra_farm.plan.events import StitchEnded, StitchPlanned
from tests.farm.logs import ENDS, events_of, judged_more_than_once, rows_of, survivors_of


def faults_of(url: str, survivors: dict[str, list[str]]) -> list[str]:
    """What is wrong with the store, a sentence each. ``survivors``: those of a run that nobody disturbed."""
    store = Store.open(url)
    rows = rows_of(url)
    wrong = [f"verify: {problem}" for problem in verify(store).problems]
    wrong += [f"{row['candidate_id']} ends as {row['outcome']}" for row in rows if row["outcome"] not in ENDS]
    wrong += [f"{row['candidate_id']} was given up" for row in rows if row["outcome"] in {"lost", "failed"}]
    if survivors_of(url) != survivors:
        wrong.append("other survivors than in an undisturbed run")
    wrong += [f"{key} was judged {times} times" for key, times in judged_more_than_once(url)]
    return wrong + _delivery_faults(url, store)


def _delivery_faults(url: str, store: Store) -> list[str]:
    """A version belongs to one stitch, ends well once, and is there whole."""
    events = events_of(url)
    planned = [event for event in events if isinstance(event, StitchPlanned)]
    ended = [event for event in events if isinstance(event, StitchEnded) and event.ok]
    owners = Counter((event.batch, event.shot, event.version) for event in planned)
    wrong = [f"version {key} was given {count} times" for key, count in owners.items() if count > 1]
    times = Counter((event.batch, event.shot, event.version) for event in ended)
    wrong += [f"version {key} was delivered {count} times" for key, count in times.items() if count > 1]
    wrong += [f"version {key} was never delivered" for key in owners if key not in times]
    wrong += [
        f"{event.version}: {path} is missing"
        for event in ended
        for path in event.files.values()
        if not store.exists(path)
    ]
    return wrong
