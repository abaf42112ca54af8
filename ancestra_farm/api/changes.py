"""What the door does about settings: tells them, and takes them anew.

The settings of the farm are told to whoever may ask, those of a show to whoever has a role on it. Of a webhook's URL
only those who may change it see more than the host: what follows is a secret with some services.
"""

import time
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ancestra_farm.api import incoming, questions, wire
from ancestra_farm.api.answers import acting
from ancestra_farm.api.desk import answered
from ancestra_farm.api.people import Right, named
from ancestra_farm.api.reach import may_change_show, may_weigh, shows_where, sight, somebody
from ancestra_farm.plan.farm_events import SettingsGiven

if TYPE_CHECKING:
    from ancestra_farm.api.routes import Call


async def farm_settings(call: "Call") -> wire.SettingsStanding:
    """The settings of the farm."""
    return await answered(call.desk.ask(questions.farm_settings))


async def show_settings(call: "Call") -> wire.AllSettings:
    """The settings of the shows that were asked about and that the asker has to do with."""
    query: incoming.OfShow = call.query
    seen = await sight(call)
    shows = None if query.show is None else {query.show}
    found = await answered(call.desk.ask(lambda scheduler: questions.show_settings(scheduler, shows)))
    told = [one for one in found if seen.of_show(one.name)]
    changed = await shows_where(call.desk, somebody(call.person), "show_settings")
    whole = [one if changed is None or one.name in changed else without_urls(one) for one in told]
    return wire.AllSettings(settings=whole)


async def change_farm(call: "Call") -> wire.Taken:
    """Whether these are settings is for the loop to say."""
    body: incoming.FarmSettingsIn = call.body
    return await _change(call, body, "farm_settings", "")


async def change_show(call: "Call") -> wire.Taken:
    """By whoever may on this show; what other shows feel of it, its weights, by whoever may change priorities."""
    body: incoming.ShowSettingsIn = call.body
    await may_change_show(call.desk, somebody(call.person), body.show)
    await may_weigh(call.desk, somebody(call.person), body.show, body.document)
    return await _change(call, body, "show_settings", body.show)


async def _change(call: "Call", body: incoming.SettingsIn, right: Right, show: str) -> wire.Taken:
    who, by = acting(somebody(call.person), body.who)
    at, order_id = time.time(), body.order_id or uuid.uuid4().hex
    given = SettingsGiven("show" if show else "farm", show, body.document, named(who, by), at, order_id)
    commit = await answered(call.desk.change(given, body.based_on))
    taken = wire.Acknowledged(order_id=order_id, order=right, who=who, by=by)
    return wire.Taken(commit=commit, epoch=call.desk.health.epoch, at=at, orders=(taken,))


def without_urls(told: wire.SettingsStanding) -> wire.SettingsStanding:
    """The same with webhooks' URLs cut after the host."""
    if told.document is None:
        return told
    notify: list[dict[str, Any]] = [
        one if "webhook" not in one else one | {"webhook": f"{urlsplit(one['webhook']).hostname}/…"}
        for one in told.document.get("notify", ())
    ]
    return told.model_copy(update={"document": told.document | {"notify": notify}})
