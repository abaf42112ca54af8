"""The numbers that decisions rest on, with their reasons. They change pace and patience, never survivors."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tunables:
    """Every tunable of the scheduler. Raises ValueError on values that could not work."""

    #: Seconds of work a ticket should hold. A call costs ~1.5 ms, so a second of work makes the overhead invisible,
    #: and two seconds is about as long as an urgent ticket should ever wait for a running one.
    ticket_s: float = 2.0
    #: Seconds of work a ticket holds at least, however many hosts are idle: at 50 ms a call's cost is a thirtieth.
    ticket_least_s: float = 0.05
    #: Tickets a second that one controller takes in: what Ray passes to one caller (2,000 pipelined calls a second). A
    #: thousand hosts never get less than half a second of work, where there is that much.
    tickets_per_s: float = 2000.0
    #: Candidates in one ticket at most: the rows of one reply stay around a megabyte.
    ticket_max: int = 512
    #: Candidates in one ticket of a kind that nobody has measured yet: a card's guess may be a hundred times too low,
    #: and a ticket of hundreds would then miss a deadline made from the same guess.
    ticket_first: int = 8
    #: A generation is ended after this many times its expected seconds …
    deadline_factor: float = 20.0
    #: … but never before this: first calls compile, page in and warm up.
    deadline_floor_s: float = 120.0
    #: A host that has not come up after this is ended. Large models load in 25 to 80 s; a cold disk or a download to it
    #: may take ten times that. Hosts are only asked for where there are slots, so waiting for a machine is not in it.
    start_deadline_s: float = 900.0
    #: Strikes (an exception, or a crash or missed deadline while alone) after which a candidate is quarantined.
    strikes: int = 3
    #: Losses nobody can explain (a node gone) after which a candidate is given up as lost.
    losses: int = 5
    #: A host that the store failed waits so long before it tries again: a bucket's hiccups are outlasted by the host
    #: itself, which writes for some seconds before it gives up …
    store_wait_s: float = 5.0
    #: … and each time twice as long, up to this: a disk is seen to by a person, in minutes, and each try of each host
    #: costs a ticket.
    store_wait_most_s: float = 120.0
    #: A stitch that fails for a reason other than its seams is tried so often.
    stitch_tries: int = 3
    #: A model whose hosts failed to come up so often in a row is taken as unable to start …
    start_failures: int = 3
    #: … for so long: a full disk or a store that was away is seen to in minutes, and trying costs a slot for one load.
    start_pause_s: float = 300.0
    #: Hosts that came up forget their pool's failures; this weight goes to the newest measured seconds.
    newest_weight: float = 0.3
    #: New waves are released while a batch has fewer undispatched tickets than this for each host it could have.
    queued_tickets_per_host: int = 2
    #: A batch that has waited so long for a ticket gets the next one of its class, whatever its share: a weight of a
    #: thousandth means slow, not never. Ten minutes is what a person waits before asking.
    ageing_s: float = 600.0
    #: Slots are shared anew at least so often, and at once when work or hosts come or go.
    reshare_s: float = 1.0
    #: How many nodes there should be is looked at so often: one takes minutes to come up.
    rescale_s: float = 5.0
    #: A host with work to do gives way to another model when that has work for more than so many loads per host: then
    #: at most a third of the time goes into loading.
    switch_loads: float = 2.0
    #: A host stays with the look it has loaded for so many seconds of work out of turn. Loading a look takes 1 to 3 s
    #: (a few hundred megabytes from disk), so a tenth of the time at most goes into switching, and nobody waits longer.
    look_stay_s: float = 30.0
    #: A machine that goes away is to be empty so long before: a step of a large model, which an abort waits for, takes
    #: a second or two, and writing what is done another two.
    hand_back_s: float = 5.0
    #: A ticket behind a running one is given to an idle host if it would wait longer than this: a hundred round trips.
    steal_s: float = 0.25

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.newest_weight > 1:
            raise ValueError("newest_weight is a fraction")
