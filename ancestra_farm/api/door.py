"""Giving orders to a store, whoever is at work in it: to the live controller, else by oneself."""

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ancestra_farm.api.afar import Place
from ancestra_farm.api.client import Client, EndpointGone
from ancestra_farm.api.people import checked_name, named, noted, owner
from ancestra_farm.api.tokens import kept_token, own_token, user_name
from ancestra_farm.api.wire import Taken
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.ledger.store import Store
from ancestra_farm.plan.events import OrderGiven
from ancestra_farm.plan.farm_events import SettingsGiven

#: Controllers that come or go in the middle of an order; more than one is rare, three is somebody restarting in a loop.
TRIES = 4


@dataclass(frozen=True, slots=True)
class Given:
    """Orders that are in the log by ``commit``. ``live``: a controller took them and acts on them already."""

    commit: int
    who: str
    live: bool


def give(store: Place, orders: Sequence[OrderGiven], who: str = "") -> Given:
    """Give one person's orders, all or none; they are durable on return.

    With a controller at work they go to it, under the giver's token; with none the epoch is taken, they are committed,
    and the epoch is left. ``who``: the name they are given under, empty: one's own. An order has one ``order_id``
    throughout, so that it counts once even where an answer was lost on the way.

    Raises OrderRefused (nothing happened), NotAllowed, EndpointGone where somebody is at work out of reach, LogDamaged.
    """
    orders = [dataclasses.replace(one, who=who, order_id=one.order_id or uuid.uuid4().hex) for one in orders]

    def alone(name: str, by: str) -> int:
        from ancestra_farm.api.offline import give_orders  # noqa: PLC0415 - loads the log's reader

        named = [dataclasses.replace(one, who=name, note=noted(one.note, by)) for one in orders]
        return give_orders(_itself(store), named).commit

    return _one_way_or_the_other(store, who, lambda client: client.give(orders), alone)


def give_settings(store: Place, given: SettingsGiven, based_on: str, who: str = "") -> Given:
    """Give settings anew, as `give` gives orders, in place of the version that they are based on.

    Raises SettingsConflict where others are in force, and what `give` raises.
    """
    given = dataclasses.replace(given, who=who, order=given.order or uuid.uuid4().hex)

    def alone(name: str, by: str) -> int:
        from ancestra_farm.api.offline import take  # noqa: PLC0415 - loads the log's reader
        from ancestra_farm.scheduler.world import ChangeSettings  # noqa: PLC0415 - as above

        told = dataclasses.replace(given, who=named(name, by))
        purpose = f"settings of {f'show {given.name}' if given.name else 'the farm'}"
        return take(_itself(store), lambda: [ChangeSettings(told, based_on)], name, purpose).commit

    return _one_way_or_the_other(store, who, lambda client: client.change(given, based_on), alone)


def _one_way_or_the_other(
    store: Place, who: str, at_the_door: Callable[[Client], Taken], alone: Callable[[str, str], int]
) -> Given:
    """``alone``: gives it under a name, by whom (empty: oneself), and returns the commit."""
    hidden: Presence | None = None  # somebody whose heartbeat looks old from here
    for last in [False] * (TRIES - 1) + [True]:
        client = Client.of(store, who) if hidden is None else Client(store, hidden, own_token(store), who)
        if client is None:
            from ancestra_farm.api.offline import StoreBusy  # noqa: PLC0415 - loads the log's reader

            own = own_name(store)
            name = who or own
            try:
                commit = alone(name, own if own != name else "")
            except StoreBusy as busy:
                if last:
                    raise
                hidden = busy.presence
                continue  # a controller has begun meanwhile, or its clock is another
            return Given(commit, name, live=False)
        with client:
            try:
                answer = at_the_door(client)
            except EndpointGone as gone:
                if not isinstance(store, Store):
                    raise EndpointGone(
                        f"{gone}; whether it was taken nobody can say from here: look when it answers again (`ancestra "
                        "logs`), before it is given again"
                    ) from gone
                if last or gone.presence is not None:
                    raise
                hidden = None
                continue  # it has ended meanwhile
        return Given(answer.commit, answer.orders[0].who, live=True)
    raise AssertionError("the last try either returns or raises")


def _itself(place: Place) -> Store:
    """The store itself, which alone takes what nobody at work can be given. Raises EndpointGone for a door."""
    if isinstance(place, Store):
        return place
    raise EndpointGone(f"{place.url}: nobody is at work behind this door any more; nothing was ordered")


def own_name(store: Place) -> str:
    """Whose orders these are where nobody else is named: the token's owner, else the user.

    Whose a token from the environment is only the store can say.
    """
    token = kept_token(store.id)
    if token is not None and token.name:
        return token.name
    person = owner(store, token.token) if token is not None and isinstance(store, Store) else None
    return checked_name(user_name()) if person is None else person.name
