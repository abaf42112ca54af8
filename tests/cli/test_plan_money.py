"""What ``ancestra plan`` says of money: what can be known of it before anything was measured, and no more."""

import json
from pathlib import Path

import pytest

from ancestra_farm.cli.plan import roughly
from tests.cli.conftest import Ancestra
from tests.cli.small_farm import batch_file

FARM = {
    "schema": "ancestra/farm/v1",
    "currency": "EUR",
    "node_types": {"box": {"cpus": 8, "memory_gib": 32, "price_per_hour": 1.234, "max_nodes": 4}},
}


@pytest.mark.parametrize(
    ("money", "said"),
    [(0, "0"), (0.00456, "0.0046"), (0.1234, "0.12"), (9.96, "10.0"), (47.54, "48"), (1234.5, "1,200"), (-12.7, "-13")],
)
def test_money_is_said_to_two_digits(money: float, said: str) -> None:
    assert roughly(money) == said


def test_a_price_is_said_with_what_it_rests_on_and_what_is_not_in_it(ancestra: Ancestra, tmp_path: Path) -> None:
    farm = tmp_path / "farm.yaml"
    farm.write_text(json.dumps(FARM))
    batch = batch_file(tmp_path)
    cost = ancestra("plan", batch, "--farm", farm, "--json").json["cost"]
    last = ancestra("plan", batch, "--farm", farm).out.splitlines()[-1]
    assert f", about {roughly(cost)} EUR (by the model cards' guesses)" in last
    assert last.endswith("; at farm.yaml's prices, without loads, idle nodes and the head")


def test_nothing_is_said_of_prices_that_there_are_not(ancestra: Ancestra, tmp_path: Path) -> None:
    assert ancestra("plan", batch_file(tmp_path)).out.splitlines()[-1].endswith(" (by the model cards' guesses)")
