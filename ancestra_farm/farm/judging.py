"""The cascade that a ticket asks for: its order, the filters it leaves to their own order, and those switched off."""

from ancestra_farm.farm.lease import Judge
from ancestra_farm.filters.cascade import Cascade
from ancestra_farm.filters.settings import DEFAULT_ORDER
from ancestra_farm.scheduler.world import Ticket

#: A batch switches a filter off with ``false``; in a ticket that is this setting.
ENABLED = "enabled"


def cascade_of(ticket: Ticket) -> Judge:
    """The judge of a ticket. Raises FilterRefused for filters or settings that do not exist."""
    off = {name for name, settings in ticket.settings.items() if settings.get(ENABLED) is False}
    # A filter that was never measured has no place in the measured order; it runs after the others, never not at all.
    unmeasured = [name for name in DEFAULT_ORDER if name not in ticket.filters]
    order = tuple(name for name in (*ticket.filters, *unmeasured) if name not in off)
    settings = {
        name: {key: value for key, value in given.items() if key != ENABLED} for name, given in ticket.settings.items()
    }
    return Cascade(order, settings, ticket.full_sample).judge
