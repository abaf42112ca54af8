"""Settings by order: what they do to classes, weights and caps, and what is refused at submit because of them."""

import json
from typing import Any

import pytest
import yaml

from ancestra_farm.batch.farm_settings import FarmSettings
from ancestra_farm.batch.load import canonical
from ancestra_farm.batch.schema import Batch
from ancestra_farm.batch.show_settings import ShowSettings
from ancestra_farm.plan.events import EpochTaken, OrderGiven
from ancestra_farm.plan.farm_events import HostNoted, SettingsGiven
from ancestra_farm.plan.plan import Plan
from ancestra_farm.scheduler import Scheduler
from ancestra_farm.scheduler.retell import retell
from ancestra_farm.scheduler.rules import refusals
from ancestra_farm.scheduler.settings import Settings
from ancestra_farm.scheduler.share import Demand, hosts_by_pool
from ancestra_farm.scheduler.snapshot import StateCodec
from ancestra_farm.scheduler.world import ChangeSettings, Order, OrderRefused, Record
from tests.scheduler.elastic import ElasticWorld, farm_of
from tests.scheduler.test_share import LONG, long, short
from tests.scheduler.timed import TimedWorld
from tests.scheduler.world import CARDS, STILLS, World, batch_of, submission

#: A machine without GPUs that two hosts of the test's models fit on, at 3.60 an hour: 1.80 for an hour of a host.
CPU = {"gpus": 0, "vram_gib": 0, "cpus": 2, "memory_gib": 8, "price_per_hour": 3.6, "max_nodes": 8}
PRICED = farm_of(cpu=CPU)
#: The second of March 2026, in seconds since the Unix epoch.
TODAY = 1_772_409_600.0


def farm_document(**fields: Any) -> str:
    return json.dumps({"schema": "ancestra/farm/v1", **fields})


def show_document(show: str = "s", **fields: Any) -> str:
    return json.dumps({"schema": "ancestra/show/v1", "show": show, **fields})


def farm_given(order: str = "", who: str = "bea", **fields: Any) -> ChangeSettings:
    return ChangeSettings(SettingsGiven("farm", "", farm_document(**fields), who, 5.0, order))


def show_given(show: str = "s", **fields: Any) -> ChangeSettings:
    return ChangeSettings(SettingsGiven("show", show, show_document(show, **fields), "bea", 5.0))


def changes(scheduler: Scheduler, wanted: ChangeSettings) -> list[SettingsGiven]:
    instructions = scheduler.handle(wanted, 6.0)
    return [one.event for one in instructions if isinstance(one, Record)]


# ---- the order -------------------------------------------------------------------------------------------------------


def test_settings_are_in_force_once_they_are_recorded_with_who_and_when():
    scheduler = Scheduler()
    (event,) = changes(scheduler, farm_given(currency="EUR"))
    assert (event.kind, event.name, event.who, event.at) == ("farm", "", "bea", 5.0)
    assert event.document == canonical(scheduler.state.settings.farm)
    assert scheduler.state.settings.farm.currency == "EUR"
    changes(scheduler, show_given(handles=8))
    assert scheduler.state.settings.shows["s"].handles == 8


def test_the_same_settings_again_change_nothing():
    scheduler = Scheduler()
    assert changes(scheduler, farm_given(currency="EUR"))
    assert not changes(scheduler, farm_given(currency="EUR"))
    assert not changes(scheduler, farm_given(order="id-of-this", currency="EUR"))
    assert changes(scheduler, farm_given(order="id-of-that", currency="USD"))
    assert not changes(scheduler, farm_given(order="id-of-that", currency="USD"))
    with pytest.raises(OrderRefused, match="given to another order"):
        scheduler.handle(farm_given(order="id-of-that", currency="GBP"), 6.0)
    assert scheduler.state.settings.farm.currency == "USD"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (SettingsGiven("farm", "", "{", "bea", 5.0), "no settings of the farm"),
        (SettingsGiven("farm", "", "[" * 100_000, "bea", 5.0), "no settings of the farm"),
        (SettingsGiven("farm", "", show_document(), "bea", 5.0), "no settings of the farm"),
        (SettingsGiven("farm", "s", farm_document(), "bea", 5.0), "no name"),
        (SettingsGiven("farm", "", farm_document(classes={"shot": 0}), "bea", 5.0), "shot"),
        (SettingsGiven("show", "t", show_document("s"), "bea", 5.0), "the settings of s, not of show t"),
        (SettingsGiven("farm", "", farm_document(), " ", 5.0), "name of the person"),
    ],
)
def test_what_is_no_settings_is_refused_and_leaves_no_trace(given: SettingsGiven, says: str):
    scheduler = Scheduler()
    with pytest.raises(OrderRefused, match=says):
        scheduler.handle(ChangeSettings(given), 6.0)
    with pytest.raises(OrderRefused, match=says):
        scheduler.check(ChangeSettings(given), 6.0)
    assert not scheduler.state.settings.given


def test_a_new_controller_and_a_snapshot_know_them_too():
    world = ElasticWorld(farm=PRICED)
    world.tell(show_given(handles=0, notify=[{"command": "page"}]))
    world.submit(short())
    world.run_for(120.0)
    before = world.scheduler.state
    again = Scheduler()
    for event in world.log:
        again.apply(event)
    codec = StateCodec()
    read = codec.read(codec.write(before))
    for state in (again.state, read):
        assert state.settings.farm == PRICED
        assert state.settings.shows == before.settings.shows
        assert state.settings.spent == before.settings.spent != {}
        assert all(batch.settings is state.settings for batch in state.batches.values())
        assert state.batches["short"].money == pytest.approx(state.settings.spent["s"])


def test_a_history_that_is_told_again_keeps_settings_and_what_was_taken_in_before_them():
    world = World()
    world.submit(batch_of(f"{{still: {STILLS}}}", shots=1))
    world.tell(show_given(naming={"batch": "other_*"}))
    told = retell([], world.log, 2000.0)
    assert not told.lost
    kinds = [type(event).__name__ for event in told.events]
    assert "SettingsGiven" in kinds
    assert "BatchSubmitted" in kinds


# ---- classes, weights and caps ---------------------------------------------------------------------------------------


def test_classes_that_have_weights_share_and_the_others_stay_strict():
    world = TimedWorld(cpus=8)
    world.tell(farm_given(classes={"shot": 3, "backfill": 1}))
    world.submit(long("one", priority="shot"))
    world.submit(long("two", priority="backfill"))
    world.run_for(25.0)
    assert world.busy_s["one"] / world.busy_s["two"] == pytest.approx(3.0, rel=0.2)
    world.submit(long("urgent", priority="dailies"))
    world.run_for(5.0)
    since = world.now
    world.run_for(15.0)
    assert not world.started_of("one", since)
    assert not world.started_of("two", since)
    assert not world.late


def test_classes_become_strict_again_when_their_weights_are_taken_away():
    world = TimedWorld(cpus=4)
    world.tell(farm_given(classes={"shot": 1, "backfill": 1}))
    world.submit(long("one", priority="shot"))
    world.submit(long("two", priority="backfill"))
    world.run_for(20.0)
    assert world.started_of("two")
    world.tell(farm_given())
    world.run_for(5.0)
    since = world.now
    world.run_for(15.0)
    assert not world.started_of("two", since)


def test_what_a_show_weighs_counts_for_all_its_batches():
    world = TimedWorld(cpus=8)
    world.tell(show_given("heavy", weights={"shot": 3}))
    world.submit(long("one", show="heavy"))
    world.submit(long("two", show="light"))
    world.run_for(25.0)
    assert world.busy_s["one"] / world.busy_s["two"] == pytest.approx(3.0, rel=0.2)


def held(world: World, show: str) -> float:
    return world.scheduler.dispatcher.fleet.held_by_show(show)


def test_a_cap_on_a_show_holds_for_all_its_batches_together():
    world = TimedWorld(cpus=6)
    world.tell(farm_given(show_caps={"s": {"max_slots": 2}}))
    tell, most = world.tell, []
    world.tell = lambda happening: (tell(happening), most.append(held(world, "s")))
    world.submit(long("one"))
    world.submit(long("two"))
    world.submit(long("other", show="free", priority="backfill"))
    world.run_for(40.0)
    assert max(most) == 2
    assert {begun.ticket.batch for begun in world.begun} == {"one", "two", "other"}
    assert len({begun.host for begun in world.started_of("other")}) >= 4


def test_batches_of_a_capped_show_take_turns_and_a_higher_class_goes_first():
    world = TimedWorld(cpus=4)
    world.tell(farm_given(show_caps={"s": {"max_slots": 1}}))
    world.submit(long("low", priority="backfill"))
    world.run_for(20.0)
    since = world.now
    world.submit(short("high", priority="dailies"))
    world.run_for(60.0)
    assert sum(len(begun.ticket.positions) for begun in world.started_of("high")) == 120
    last = max(begun.at for begun in world.started_of("high"))
    assert sum(begun.at < last for begun in world.started_of("low", since)) <= 2  # what was under way


def test_a_capped_show_gives_a_batch_of_another_model_its_turn():
    world = TimedWorld(cpus=4)
    world.tell(farm_given(show_caps={"s": {"max_slots": 1}}))
    world.submit(long("stills"))
    world.run_for(20.0)
    clips = "{role: text_to_video, model: test/clips, candidates: 4}"
    world.submit(batch_of(f"{{animate: {clips}}}", shots=1, batch="clips"))
    world.run_for(120.0)
    assert sum(len(begun.ticket.positions) for begun in world.started_of("clips")) == 4
    assert world.run()


def test_a_batch_that_its_shows_cap_keeps_waiting_is_told_so():
    world = TimedWorld(cpus=4)
    world.submit(long("one"))
    world.submit(long("two"))
    world.tell(farm_given(show_caps={"s": {"max_slots": 1}}))
    world.run_for(20.0)
    said = [" ".join(world.scheduler.explain(batch, "s000")) for batch in ("one", "two")]
    assert any("all batches of s hold 1 of the 1 slots they may hold (show_caps)" in one for one in said)


def test_slots_of_a_show_are_shared_out_within_its_cap():
    def demand(pool, batch, show, rank=1, weight=1.0, cap=None):
        return Demand(pool, batch, rank, weight, None, 100.0, 100, 1.0, show, cap)

    assert hosts_by_pool(8, [demand("x", "a", "s", cap=2), demand("y", "b", "free")]) == {"x": 2, "y": 6}
    assert hosts_by_pool(8, [demand("x", "a", "s", cap=4), demand("y", "b", "s", weight=3.0, cap=4)]) == {
        "x": 1,
        "y": 3,
    }
    assert hosts_by_pool(8, [demand("x", "a", "s", rank=0, cap=3), demand("y", "b", "s", rank=2, cap=3)]) == {"x": 3}


# ---- money -----------------------------------------------------------------------------------------------------------


def farm_changed(settings: FarmSettings) -> ChangeSettings:
    return ChangeSettings(SettingsGiven("farm", "", settings.model_dump_json(by_alias=True), "bea", 5.0))


def with_cap(money: float) -> FarmSettings:
    fields = PRICED.model_dump(mode="json", by_alias=True, exclude_none=True)
    return FarmSettings.model_validate(
        {**fields, "show_caps": {"s": {"max_money": money}}}, by_alias=True, by_name=False
    )


def test_what_a_show_spends_is_device_seconds_at_the_price_of_its_hosts():
    world = ElasticWorld(farm=PRICED)
    world.submit(long())
    world.run_for(200.0)
    spent = world.scheduler.state.settings.spent["s"]
    assert spent == pytest.approx(world.scheduler.state.batches["long"].device_s / 3600 * 1.8)
    assert spent > 0


def test_a_show_is_charged_for_the_node_its_host_stands_on_and_else_for_the_cheapest():
    scheduler = Scheduler()
    two = {"cheap": {**CPU, "price_per_hour": 2.0, "market": "spot"}, "dear": {**CPU, "price_per_hour": 5.0}}
    changes(scheduler, farm_given(node_types=two))
    settings, card = scheduler.state.settings, CARDS["test/stills"]
    scheduler.apply(HostNoted("test/stills", "e1-host", "ready", "", 1.0, "dear"))
    assert settings.pay("s", card, "e1-host", 3600.0) == pytest.approx(2.5)
    assert settings.pay("s", card, "e1-other", 3600.0) == pytest.approx(1.0)
    scheduler.apply(HostNoted("test/stills", "e1-host", "ready", "", 1.0, "gone from the settings"))
    assert settings.pay("s", card, "e1-host", 3600.0) == pytest.approx(1.0)
    assert settings.spent["s"] == pytest.approx(4.5)
    wide = card.model_copy(update={"cpus": 2})  # the same model, as another batch states it
    assert settings.pay("s", wide, "e1-other", 3600.0) == pytest.approx(2.0)
    assert settings.most_per_s(wide) == pytest.approx(2 * settings.most_per_s(card))
    scheduler.apply(EpochTaken(2, "bea", "run", 2.0))
    assert settings.standing == {}


def test_a_show_that_has_spent_its_money_waits_and_goes_on_when_it_has_more():
    world = ElasticWorld(farm=with_cap(0.2))
    world.submit(long(budget={"device_hours": 0.11}))  # 3,000 of 0.1 s each come to 0.15
    world.tell(farm_changed(with_cap(0.05)))
    world.run_for(2000.0)
    settings = world.scheduler.state.settings
    assert 0.0499 < settings.spent["s"] <= 0.05 + 1e-9, "to the last candidate that is paid for, and none beyond"
    assert world.done is not None
    assert any("s has spent 0.05 of the 0.05 USD it may" in one for one in world.done.stuck)
    (stage,) = world.scheduler.progress()[0].stages
    assert stage.state == "paused"
    assert any("nothing of it starts until there is more" in one for one in world.scheduler.explain("long", "s000"))
    with pytest.raises(OrderRefused, match=r"it may cost up to 0\.006 USD, and 5e-05 of the 0\.05 of s are left"):
        world.submit(short())
    world.done = None
    world.tell(farm_changed(with_cap(5)))
    world.after(1.0, world._tick)
    assert world.run()
    assert world.scheduler.progress()[0].stages[0].judged == 3000


# ---- what is refused at submit ---------------------------------------------------------------------------------------


def reasons(
    batch, farm: dict[str, Any] | None = None, show: dict[str, Any] | None = None, now: float = TODAY, **cards: Any
) -> list[str]:
    settings = Settings()
    if farm is not None:
        settings.take(SettingsGiven("farm", "", farm_document(**farm), "bea", 1.0))
    if show is not None:
        settings.take(SettingsGiven("show", "s", show_document(**show), "bea", 1.0))
    wanted = submission(batch, **cards)
    return list(refusals(Plan.from_documents(wanted.document, wanted.cards), settings, now))


BATCH = batch_of(f"{{still: {STILLS}}}")
L4 = {"gpus": 1, "cpus": 8, "memory_gib": 24, "vram_gib": 22, "accelerator": "L4", "max_nodes": 2}


def test_nothing_is_refused_where_nothing_was_given():
    assert reasons(BATCH) == []
    assert reasons(BATCH, gpus=1, vram_gib=80.0) == []
    assert reasons(BATCH, farm={"node_types": {"l4": L4}}, gpus=1, vram_gib=20.0) == []


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"gpus": 1, "vram_gib": 80.0}, "no node type has a GPU with 80 GiB"),
        ({"gpus": 4, "vram_gib": 20.0}, "no node type has 4 GPUs"),
        ({"gpus": 1, "vram_gib": 20.0, "accelerators": ("H100",)}, "no node type has a GPU of the kind H100"),
        ({"memory_gib": 64.0}, "no node type has 64 GiB of memory"),
        ({"cpus": 32.0}, "no node type has 32 CPUs"),
    ],
)
def test_what_no_machine_could_ever_run_is_refused_with_the_reason(card: dict[str, Any], says: str):
    every = reasons(BATCH, farm={"node_types": {"l4": L4}}, **card)
    assert every
    assert all("can never run here" in one and says in one for one in every)
    world = World()
    world.tell(farm_given(node_types={"l4": L4}))
    with pytest.raises(OrderRefused, match=says):
        world.submit(BATCH, **card)
    assert not world.scheduler.state.batches


def test_a_model_wider_than_its_shows_cap_is_refused():
    (one, *_) = reasons(BATCH, farm={"show_caps": {"s": {"max_slots": 2}}}, cpus=4.0)
    assert "a host of it holds 4 slots, and all batches of s may hold 2" in one


@pytest.mark.parametrize(
    ("show", "says"),
    [
        ({"rates": ["24000/1001"]}, "shots of s have 24000/1001 frames per second (rates): s000 at 24, s001 at 24"),
        ({"handles": 16}, "shots of s have 16 handles at least (handles): s000 with 8, s001 with 8"),
        ({"naming": {"shot": "anc_###"}}, "shots of s are named anc_### (naming.shot): s000, s001"),
        ({"naming": {"batch": "s_*"}}, "batches of s are named s_*, not b (naming.batch)"),
        ({"policy": {"licences": ["MIT"]}}, "is under Apache-2.0; s allows MIT (policy.licences)"),
    ],
)
def test_what_a_show_does_not_allow_is_refused_with_the_rule(show: dict[str, Any], says: str):
    assert any(says in one for one in reasons(BATCH, show=show))


def test_a_batch_asks_for_no_more_than_its_shows_policy():
    free = batch_of(f"{{still: {STILLS}}}", policy={"synthetic_performers": True, "named_artists": True})
    found = reasons(free, show={"policy": {}})
    assert [one.rpartition("(")[2] for one in found] == ["policy.synthetic_performers)", "policy.named_artists)"]
    assert reasons(free) == []
    allowed = {"policy": {"synthetic_performers": True, "named_artists": True}}
    assert reasons(free, show=allowed) == []


ROW = {
    "owner": "Ana Lima",
    "consent": {
        "who": "Ana Lima",
        "when": "2026-03-01",
        "scope": ["reference", "publication"],
        "until": "2026-03-31",
    },
    "licence": "for this film",
    "scope": ["s"],
}


def with_guides(*rows: dict[str, Any] | None) -> Batch:
    """A batch of as many shots, each with a previz clip that has such a row."""
    batch = batch_of(f"{{still: {STILLS}}}", shots=len(rows)).model_dump(mode="json", by_alias=True, exclude_none=True)
    for shot, row in zip(batch["shots"], rows, strict=True):
        guide = {"kind": "previz", "source": "a.mkv", "digest": f"sha256:{'1' * 64}", "bytes": 1}
        shot["guides"] = [guide if row is None else {**guide, "rights": row}]
    return Batch.model_validate(batch, by_alias=True, by_name=False)


def test_material_without_a_row_is_refused_where_the_show_asks_for_rows():
    asking = {"policy": {"rights": True}}
    batch = with_guides(ROW, None, None)
    (one,) = reasons(batch, show=asking)
    assert one == (
        "s uses no look or guide without owner, consent, licence and scope (policy.rights); there is no row of: "
        "guide previz of shot s001 (a.mkv), guide previz of shot s002 (a.mkv)"
    )
    for show in (None, {"policy": {}}, {"policy": {"rights": False}}):
        assert reasons(batch, show=show) == []
    assert reasons(with_guides(ROW, ROW), show=asking) == []
    world = World()
    world.tell(show_given(policy={"rights": True}))
    with pytest.raises(OrderRefused, match=r"policy\.rights"):
        world.submit(batch)
    assert not world.scheduler.state.batches


def test_a_row_that_does_not_go_so_far_is_refused_whatever_the_show_says():
    training = {**ROW, "consent": {**ROW["consent"], "scope": ["training"]}}
    (one,) = reasons(with_guides(ROW, training))
    said = "Ana Lima consented to training, not to reference or publication, and what is delivered is shown"
    assert one == f"{said}: guide previz of shot s001 (a.mkv)"
    (one,) = reasons(with_guides({**ROW, "scope": ["t", "u"]}))
    assert one.startswith("it may be used for t and u, not for s: ")
    april = TODAY + 30 * 86_400
    assert reasons(with_guides(ROW), now=april)[0].startswith("consent ended on 2026-03-31: ")
    assert reasons(with_guides(ROW), now=TODAY - 7 * 86_400)[0].startswith("consent was given on 2026-03-01, which is ")


def remade(batch: Batch, **fields: Any) -> Batch:
    document = batch.model_dump(mode="json", by_alias=True, exclude_none=True) | fields
    return Batch.model_validate(document, by_alias=True, by_name=False)


UNSEEN = {**ROW, "consent": {**ROW["consent"], "scope": ["reference"]}}
UNSHOWN = "Ana Lima consented to reference, not to publication, and what is delivered is shown"


def test_a_shot_whose_people_did_not_consent_to_be_shown_is_refused_where_it_is_delivered():
    assert reasons(with_guides(ROW, UNSEEN)) == [f"{UNSHOWN}: guide previz of shot s001 (a.mkv)"]
    world = World()
    with pytest.raises(OrderRefused, match="not to publication"):
        world.submit(with_guides(UNSEEN))
    stages = {"still": yaml.safe_load(STILLS), "other": yaml.safe_load(STILLS)}
    named = remade(with_guides(ROW, UNSEEN), stages=stages, deliver={"stage": "other"})
    (one,) = reasons(named)
    assert one.startswith(UNSHOWN)
    first, second = named.shots
    unseen = second.model_copy(update={"skip": ("other",)})
    assert reasons(named.model_copy(update={"shots": (first, unseen)})) == [], "nothing of it is delivered"


def test_a_look_is_shown_where_a_shot_that_it_is_on_is_delivered():
    look = {"source": "film.safetensors", "digest": f"sha256:{'2' * 64}", "rights": UNSEEN}
    batch = batch_of(f"{{still: {STILLS}}}", shots=2, looks={"film": look})
    assert reasons(batch) == [], "no stage is made with it"
    (one,) = reasons(remade(batch, stages={"still": yaml.safe_load(STILLS) | {"look": "film"}}))
    assert one.startswith(f"{UNSHOWN}: look film")


def test_a_good_batch_keeps_to_a_whole_page_of_rules():
    show = {
        "rates": [24, 25],
        "handles": 8,
        "naming": {"shot": "s###", "batch": "*"},
        "policy": {"licences": ["Apache-2.0"]},
    }
    assert reasons(BATCH, show=show) == []


def test_what_could_cost_more_than_its_show_has_left_is_refused_and_said_how_it_could_not():
    farm = json.loads(with_cap(0.01).model_dump_json(by_alias=True, exclude_none=True))
    big = batch_of(f"{{still: {LONG}}}", shots=1)
    (one,) = reasons(
        big, farm={key: value for key, value in farm.items() if key != "schema"}, seconds_per_candidate=3.0
    )
    assert "it may cost up to 4.50 USD, and 0.01 of the 0.01 of s are left" in one
    farm["show_caps"]["s"]["max_money"] = 1.0
    rest = {key: value for key, value in farm.items() if key != "schema"}
    (one,) = reasons(big, farm=rest, seconds_per_candidate=3.0)
    assert "with budget.device_hours: 0.55 it could not" in one
    small = batch_of(f"{{still: {LONG}}}", shots=1, budget={"device_hours": 0.55})
    assert reasons(small, farm=rest, seconds_per_candidate=3.0) == []


def test_a_batch_that_was_taken_in_is_not_thrown_out_by_new_rules():
    world = World()
    world.submit(BATCH)
    world.tell(show_given(naming={"shot": "anc_###"}))
    world.submit(BATCH)  # the very same again is a reminder
    assert world.run()
    with pytest.raises(OrderRefused, match=r"naming\.shot"):
        world.submit(BATCH.model_copy(update={"seed": 8}))


def test_an_order_and_settings_never_share_an_id():
    world = World()
    world.submit(BATCH)
    world.tell(farm_given(order="same-id-twice"))
    with pytest.raises(OrderRefused, match="given to another order"):
        world.tell(Order(OrderGiven("b", "pause", "bea", 5.0, order_id="same-id-twice")))


def test_settings_of_shows_are_apart():
    scheduler = Scheduler()
    changes(scheduler, show_given("one", handles=4))
    changes(scheduler, show_given("two", handles=6))
    assert {show: one.handles for show, one in scheduler.state.settings.shows.items()} == {"one": 4, "two": 6}
    assert isinstance(scheduler.state.settings.shows["one"], ShowSettings)
