"""The node agent: waits, on the machine itself, for its cloud to say that it goes away.

It is a long call of every host (`Host.notice`), not an actor of its own: an actor keeps a machine from ever counting as
idle, and a machine without hosts has nothing to lose. What follows is the controller's: it has Ray drain the machine,
and tells the scheduler. Machines that Ray drains for other reasons (its autoscaler, Kubernetes ending a pod, an
operator) are seen in `draining` instead.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping

from ancestra_farm.farm.notices import MetadataUnreadable, Notice, Notices

#: AWS asks that nobody look more often than every five seconds, and no notice is shorter than thirty.
LOOK_S = 5.0
#: A notice further ahead than this is kept back: its machine would stand idle until then, and five minutes are enough
#: for the longest clip to end.
LEAD_S = 300.0
#: Where an operator says that a machine leaves when its end is only likely (``drain``).
RISK_VARIABLE = "ANCESTRA_ON_REBALANCE"

_LOG = logging.getLogger(__name__)


def leaves_on_risk(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a machine is to leave when its end is only likely. Raises ValueError where the variable makes no sense.

    By default it stays: interruptions come with two minutes' notice anyway, while a new machine of the same kind is
    as likely to be taken, and costs a start and a load of its model.
    """
    said = environment.get(RISK_VARIABLE, "").strip().lower()
    if said not in ("", "stay", "drain"):
        raise ValueError(f"{RISK_VARIABLE} is {said!r}; it is stay or drain")
    return said == "drain"


def wait_for_notice(
    notices: Notices,
    *,
    on_risk: bool = False,
    look_s: float = LOOK_S,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Notice:
    """Look every ``look_s`` seconds until this machine has to leave; the notice that says so.

    An endpoint that does not answer, or makes no sense, is told once and asked again: it may come back.
    """
    silent = False
    while True:
        now = clock()
        try:
            notice = notices.look(now)
        except MetadataUnreadable as error:
            notice = None
            if not silent:
                _LOG.warning("no word from the metadata endpoint, asking on: %s", error)
            silent = True
        else:
            silent = False
        if notice is not None and _to_leave(notice, now, on_risk=on_risk):
            return notice
        sleep(look_s)


def _to_leave(notice: Notice, now: float, *, on_risk: bool) -> bool:
    if not notice.sure:
        return on_risk
    return notice.at is None or notice.at - now <= LEAD_S
