"""Which settings a change is based on: so that of two people who change the same ones, the later undoes nothing unseen.

Settings are given whole. Whoever gives them says the version of those that they began from; where others are in force
by now, the change is refused with what differs. A version is a digest of the document alone, so that the very same
settings have the same one in every store. How people come by it is for `cli` and `api` to say.
"""

import json
from collections.abc import Iterator
from typing import Any

from ancestra_farm.plan.farm_events import SettingsGiven
from ancestra_farm.plan.recipe import digest_of
from ancestra_farm.scheduler.world import SettingsConflict

#: The version of settings that were never given.
NONE = "none"
#: So many differences are told in the sentence; all of them stand beside it.
_TOLD = 8
#: Letters of a value that is told.
_LETTERS = 80

Difference = tuple[str, str]
"""(place, both values), as in ``node_types.l4.max_nodes``, ``4 in force, 8 here``."""


def version_of(given: SettingsGiven | None) -> str:
    """The version of settings in force: 16 hex digits, `NONE` where none were ever given."""
    return NONE if given is None else digest_of("settings version", given.document).hex()[:16]


def hold_to(based_on: str, before: SettingsGiven | None, document: str, what: str) -> None:
    """Raise SettingsConflict where others are in force than those that a change is based on.

    ``before``: those in force; ``document``: what would take their place, canonical JSON; ``what``: of whom they are.
    """
    version = version_of(before)
    if based_on == version:
        return
    said = "none" if based_on == NONE else f"version {based_on}"
    if before is None:
        raise SettingsConflict(f"{what} has no settings, and these are based on {said}: is it the store that is meant?")
    found = tuple(differences(json.loads(before.document), json.loads(document)))
    told = "; ".join(f"{place}: {values}" for place, values in found[:_TOLD])
    more = f"; and {len(found) - _TOLD:,} more" if len(found) > _TOLD else ""
    raise SettingsConflict(
        f"settings of {what} that {before.who} gave are in force (version {version}), and these are based on {said}; "
        f"nothing was changed. They differ in {told}{more}",
        found,
        version,
    )


def differences(force: Any, here: Any, place: str = "") -> Iterator[Difference]:  # noqa: ANN401 - any JSON
    """Where two documents differ: mappings by their keys, anything else as a whole."""
    if isinstance(force, dict) and isinstance(here, dict):
        for key in sorted(force.keys() | here.keys()):
            inner = f"{place}.{key}" if place else key
            if key not in force:
                yield inner, f"not in force, {_value(here[key])} here"
            elif key not in here:
                yield inner, f"{_value(force[key])} in force, not here"
            else:
                yield from differences(force[key], here[key], inner)
    elif force != here:
        yield place, f"{_value(force)} in force, {_value(here)} here"


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
