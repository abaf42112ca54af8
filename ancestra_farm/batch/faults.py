"""The fault profile: how often what goes wrong, as rates. Read by simulation and by hosts that inject faults.

A profile says how likely each kind of fault is; it names no candidate and no host. Which ones are struck follows from a
seed and their own ids, so the same profile and seed strike the same candidates however many hosts there are.
"""

from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from ancestra_farm.batch.base import Float, Model

Share = Annotated[Float, Field(ge=0, le=1)]
"""A fraction, 0 to 1."""
PerHour = Annotated[Float, Field(ge=0, le=3600)]
"""Expected events an hour."""
Seconds = Annotated[Float, Field(ge=0, le=86_400)]
"""Seconds, up to a day."""


class FaultProfile(Model):
    """What goes wrong, and how often. Everything is off unless it is named; an unknown key is an error."""

    exception: Share = Field(default=0.0, description="candidates whose generation raises")
    crash: Share = Field(default=0.0, description="candidates whose generation kills its process by a signal")
    exit: Share = Field(default=0.0, description="candidates whose generation ends its process")
    hang: Share = Field(default=0.0, description="candidates whose generation never ends")
    out_of_memory: Share = Field(default=0.0, description="candidates that do not fit into the device's memory")
    nan: Share = Field(default=0.0, description="candidates whose pictures are not numbers: a verdict, no failure")
    persistent: Share = Field(
        default=0.5,
        description="of the candidates named above, those that do it at every try; others only once",
    )
    slow_hosts: Share = Field(default=0.0, description="hosts that are slow")
    slow_factor: Annotated[Float, Field(ge=1, le=1000)] = Field(
        default=8.0, description="how many times as long a slow host takes"
    )
    sick_hosts: Share = Field(default=0.0, description="hosts whose verdicts are off: they reject what is good")
    sick_rejects: Share = Field(default=0.9, description="of the candidates of a sick host, those that it rejects")
    failed_starts: Share = Field(default=0.0, description="hosts that do not come up")
    hung_starts: Share = Field(default=0.0, description="hosts that never finish loading")
    dropped_replies: Share = Field(default=0.0, description="tickets whose reply never arrives")
    late_replies: Share = Field(
        default=0.0, description="tickets whose host is taken for lost, and which answer after they were replaced"
    )
    late_s: Seconds = Field(default=30.0, description="seconds by which such a reply is late")
    host_losses_per_hour: PerHour = Field(default=0.0, description="losses of each host, for no reason of its own")
    node_losses_per_hour: PerHour = Field(default=0.0, description="losses of each node, with all its hosts")
    preemptions_per_hour: PerHour = Field(default=0.0, description="nodes taken away after a notice, each node")
    notice_s: Seconds = Field(default=30.0, description="seconds of notice before a node is taken away")
    away_s: Seconds = Field(default=300.0, description="mean seconds until a lost node is back")
    controller_losses_per_hour: PerHour = Field(default=0.0, description="ends of the controller, with all hosts")
    store_troubles_per_hour: PerHour = Field(
        default=0.0, description="times that the store takes no media, as where its disk is full (simulation only)"
    )
    store_trouble_s: Seconds = Field(default=60.0, description="mean seconds of such a time")
    failed_stitches: Share = Field(default=0.0, description="stitches that fail, each try")
    bad_seams: Share = Field(default=0.0, description="neighbours whose seam fails")


NONE = FaultProfile()
CALM = FaultProfile(
    exception=0.001,
    crash=0.0002,
    nan=0.002,
    host_losses_per_hour=0.01,
    node_losses_per_hour=0.002,
    failed_starts=0.005,
    failed_stitches=0.005,
)
ROUGH = FaultProfile(
    exception=0.005,
    crash=0.002,
    exit=0.0005,
    hang=0.0005,
    out_of_memory=0.002,
    nan=0.01,
    slow_hosts=0.03,
    sick_hosts=0.01,
    failed_starts=0.03,
    dropped_replies=0.0005,
    late_replies=0.001,
    host_losses_per_hour=0.2,
    node_losses_per_hour=0.05,
    preemptions_per_hour=0.1,
    failed_stitches=0.03,
    bad_seams=0.02,
)
STORM = FaultProfile(
    exception=0.02,
    crash=0.01,
    exit=0.005,
    hang=0.003,
    out_of_memory=0.01,
    nan=0.03,
    slow_hosts=0.1,
    sick_hosts=0.05,
    failed_starts=0.1,
    dropped_replies=0.003,
    late_replies=0.005,
    host_losses_per_hour=2.0,
    node_losses_per_hour=0.5,
    preemptions_per_hour=1.0,
    store_troubles_per_hour=1.0,
    away_s=120.0,
    controller_losses_per_hour=0.5,
    failed_stitches=0.1,
    bad_seams=0.1,
)

PRESETS = MappingProxyType({"none": NONE, "calm": CALM, "rough": ROUGH, "storm": STORM})
"""Profiles by name. ``calm``: a good week in one's own room. ``rough``: rented machines that are taken away at times.
``storm``: worse than anything one would rent, so that every path is walked."""
