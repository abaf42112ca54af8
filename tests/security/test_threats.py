"""The page about threats is true: the tests it names are there, and its ports are those of the manifests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "cluster" / "THREATS.md").read_text(encoding="utf-8")


def test_every_refusal_it_names_is_tried_by_a_test_that_is_there() -> None:
    named = re.findall(r"`((?:\w+/)?\w+\.py)::(\w+)`", PAGE)
    assert len(named) > 10
    for file, name in named:
        path = ROOT / "tests" / (file if "/" in file else f"security/{file}")
        assert f"def {name}(" in path.read_text(encoding="utf-8"), f"{file} has no {name}"


def test_it_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 90


@pytest.mark.parametrize("manifest", ["aws.yaml", "gcp.yaml", "azure.yaml", "onprem.yaml"])
def test_every_port_that_a_manifest_opens_stands_on_the_page(manifest: str) -> None:
    text = (ROOT / "cluster" / manifest).read_text(encoding="utf-8")
    ports = {int(port) for port in re.findall(r"-port=(\d+)", text)}
    assert ports
    (table,) = re.findall(r"\| port \|.*?\n\n", PAGE, re.DOTALL)
    spans = [(int(low), int(high or low)) for low, high in re.findall(r"(\d+)(?:–(\d+))?", table)]
    assert {port for port in ports if not any(low <= port <= high for low, high in spans)} == set()
