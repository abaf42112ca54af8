"""What fits where, and what is said of what fits nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.farm_settings import NodeType
from ancestra_farm.scheduler.placement import Needs, fits, hosts_on, makes_of, needs_of, nowhere, places
from tests.scheduler.world import CARDS


def node(**fields):
    return NodeType.model_validate(
        {"gpus": 1, "cpus": 8, "memory_gib": 64, "vram_gib": 24, "accelerator": "L4", "max_nodes": 1, **fields}
    )


def needs(**fields):
    return Needs(**{"gpus": 1.0, "vram_gib": 16.0, "cpus": 1.0, "memory_gib": 0.0, "accelerators": (), **fields})


CPU_NODE = node(gpus=0, vram_gib=0, accelerator=None)


@pytest.mark.parametrize(
    ("wanted", "shape", "said"),
    [
        (needs(), node(), None),
        (needs(), CPU_NODE, "has no GPU"),
        (needs(gpus=0.0, vram_gib=0.0), CPU_NODE, None),
        (needs(gpus=0.0, vram_gib=0.0), node(), None),
        (needs(vram_gib=80.0), node(), "has GPUs with 24 GiB, and 80 GiB are needed"),
        (needs(gpus=4.0), node(gpus=2), "has 2 GPUs, and 4 are needed"),
        (needs(accelerators=("H100", "A100-80G")), node(), "has GPUs of the kind L4, and H100 or A100-80G is needed"),
        (needs(accelerators=("L4",)), node(accelerator=None), "has GPUs of no stated kind, and L4 is needed"),
        (needs(accelerators=("L4",)), node(), None),
        (needs(cpus=16.0), node(), "has 8 CPUs, and 16 are needed"),
        (needs(memory_gib=65.0), node(), "has 64 GiB of memory, and 65 GiB are needed"),
        (needs(gpus=0.5, vram_gib=12.0), node(), None),
        (needs(gpus=0.5), node(), "has GPUs with 24 GiB, of which 0.5 is 12 GiB, and 16 GiB are needed"),
    ],
)
def test_a_host_fits_or_it_is_said_what_it_lacks(wanted, shape, said):
    assert fits(wanted, shape) == said


def test_what_fits_nowhere_is_told_by_what_no_node_type_has():
    types = {"l4": node(), "h100": node(vram_gib=80, accelerator="H100"), "cpu": CPU_NODE}
    assert places(needs(vram_gib=40.0), types) == ("h100",)
    assert nowhere(needs(vram_gib=40.0), types) is None
    for wanted, said in [
        (needs(vram_gib=141.0), "no node type has a GPU with 141 GiB"),
        (needs(gpus=8.0), "no node type has 8 GPUs"),
        (needs(accelerators=("H200",)), "no node type has a GPU of the kind H200"),
        (needs(cpus=64.0), "no node type has 64 CPUs"),
        (needs(memory_gib=512.0), "no node type has 512 GiB of memory"),
        (needs(vram_gib=40.0, accelerators=("L4",)), "no node type has all that is needed at once"),
    ]:
        told = nowhere(wanted, types)
        assert told.startswith(said)
        assert all(name in told for name in types)
    assert nowhere(needs(), {"cpu": CPU_NODE}).startswith("no node type has a GPU (")


def test_without_node_types_nothing_is_refused():
    assert nowhere(needs(gpus=16.0, vram_gib=1000.0), {}) is None


def test_a_card_that_shares_a_gpu_needs_its_part_of_it():
    card = CARDS["test/stills"].model_copy(update={"gpus": 1, "share": 0.25, "vram_gib": 5.0})
    assert needs_of(card) == Needs(0.25, 5.0, 1.0, 0.0, ())
    assert hosts_on(needs_of(card), node(cpus=2)) == 2
    assert hosts_on(needs_of(card), node()) == 4


def test_a_node_holds_as_many_hosts_as_its_scarcest_resource_allows():
    assert hosts_on(needs(), node(gpus=4)) == 4
    assert hosts_on(needs(memory_gib=20.0), node(gpus=4)) == 3
    assert hosts_on(needs(cpus=4.0), node(gpus=4)) == 2
    assert hosts_on(needs(gpus=3.0), node(gpus=8)) == 2
    assert hosts_on(needs(gpus=0.4, vram_gib=1.0), node(gpus=2)) == 4
    assert hosts_on(needs(vram_gib=25.0), node(gpus=8)) == 0


def test_types_that_differ_in_market_and_price_alone_are_one_make_spot_first_and_makes_go_by_price():
    types = {
        "big": node(vram_gib=80, accelerator="H100", price_per_hour=4),
        "small": node(price_per_hour=1),
        "small-spot": node(price_per_hour=0.4, market="spot"),
        "big-spot": node(vram_gib=80, accelerator="H100", price_per_hour=1.5, market="spot"),
    }
    assert [make.types for make in makes_of(types)] == [("small-spot", "small"), ("big-spot", "big")]


shapes = st.builds(
    lambda gpus, cpus, memory, vram: node(
        gpus=gpus, cpus=cpus, memory_gib=memory, vram_gib=vram if gpus else 0, accelerator="L4" if gpus else None
    ),
    st.integers(0, 8), st.integers(1, 64), st.integers(1, 512), st.sampled_from([16, 24, 80]),
)  # fmt: skip
wishes = st.builds(
    Needs,
    gpus=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 4.0]),
    vram_gib=st.sampled_from([0.0, 4.0, 12.0, 24.0, 80.0]),
    cpus=st.sampled_from([0.5, 1.0, 4.0, 16.0]),
    memory_gib=st.sampled_from([0.0, 8.0, 100.0]),
    accelerators=st.sampled_from([(), ("L4",), ("H100",)]),
)


@given(wishes, shapes)
def test_a_node_that_fits_holds_one_host_at_least_and_never_more_than_it_has(wanted, shape):
    number = hosts_on(wanted, shape)
    assert (number > 0) == (fits(wanted, shape) is None)
    assert number * wanted.cpus <= shape.cpus
    assert number * wanted.gpus <= shape.gpus
    assert number * wanted.memory_gib <= shape.memory_gib


@given(wishes, st.dictionaries(st.sampled_from("abcd"), shapes, min_size=1))
def test_what_fits_nowhere_is_what_has_no_place(wanted, types):
    assert (nowhere(wanted, types) is None) == bool(places(wanted, types))
