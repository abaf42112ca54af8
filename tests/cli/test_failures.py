import subprocess
import sys

import pytest

from ancestra_farm.api.offline import StoreBusy
from ancestra_farm.batch.problems import BatchRefused, Problem
from ancestra_farm.cli import failures, schema
from ancestra_farm.cli.failures import BAD_INPUT, FAILED, CommandFailed, exit_code_of, sentence
from ancestra_farm.ledger import errors
from ancestra_farm.ledger.liveness import Presence
from ancestra_farm.models.catalog import CatalogRefused
from ancestra_farm.plan.refusal import PlanRefused
from ancestra_farm.scheduler.world import OrderRefused
from ancestra_farm.telemetry.exporter import PortTaken
from tests.cli.conftest import Ancestra


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BatchRefused([Problem("a.yaml", 3, "", "wrong")]), BAD_INPUT),
        (CatalogRefused("two cards"), BAD_INPUT),
        (PlanRefused("too long"), BAD_INPUT),
        (OrderRefused("no such shot"), BAD_INPUT),
        (PortTaken("8000"), BAD_INPUT),
        (errors.StoreMissing("nothing there"), BAD_INPUT),
        (errors.StoreRefused("ftp"), BAD_INPUT),
        (StoreBusy("x", Presence("ada", "h", "m", 1, "", 2, 0.0)), FAILED),
        (CommandFailed("no"), BAD_INPUT),
        (CommandFailed("no", code=FAILED), FAILED),
        (errors.LogDamaged("log/00000002.parquet"), FAILED),
        (errors.Superseded(1, 2, "bo"), FAILED),
        (errors.StoreUnavailable("away"), FAILED),
        (ValueError("a bug"), None),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int | None) -> None:
    assert exit_code_of(error) == code


def test_the_names_of_errors_that_end_commands_exist() -> None:
    """They are known by name, so that naming them imports nothing; a class that is renamed is noticed here."""
    from ancestra_farm.api.afar import DoorClosed
    from ancestra_farm.api.client import EndpointGone
    from ancestra_farm.api.people import NotAllowed
    from ancestra_farm.api.server import AddressTaken
    from ancestra_farm.api.tls import CertificateRefused
    from ancestra_farm.farm.cluster import ClusterUnreachable
    from ancestra_farm.farm.exposure import ClusterOpen
    from ancestra_farm.farm.head import HeadNotReady, HeadRefused, HeadUnreachable
    from ancestra_farm.farm.job import JobBroke
    from ancestra_farm.farm.look_training import LookBroke
    from ancestra_farm.farm.run import AlreadyAtWork, RunBroke
    from ancestra_farm.models.diffusion.weights import WeightsMissing, WeightsRefused
    from ancestra_farm.models.looks.adapter import LookRefused
    from ancestra_farm.simulate.book import LawBroken
    from ancestra_farm.simulate.plot import PlotUnavailable
    from ancestra_farm.simulate.scenario import ScenarioRefused

    real = {
        *(type(error).__name__ for error in (BatchRefused([]), CatalogRefused(), PlanRefused(), OrderRefused())),
        *(
            AddressTaken.__name__,
            CertificateRefused.__name__,
            ClusterOpen.__name__,
            DoorClosed.__name__,
            HeadNotReady.__name__,
            HeadRefused.__name__,
            HeadUnreachable.__name__,
            JobBroke.__name__,
            WeightsMissing.__name__,
            WeightsRefused.__name__,
            EndpointGone.__name__,
            LawBroken.__name__,
            LookBroke.__name__,
            LookRefused.__name__,
            NotAllowed.__name__,
            PlotUnavailable.__name__,
            PortTaken.__name__,
            ScenarioRefused.__name__,
            StoreBusy.__name__,
            AlreadyAtWork.__name__,
            ClusterUnreachable.__name__,
            RunBroke.__name__,
        ),
        *(name for name, value in vars(errors).items() if isinstance(value, type)),
    }
    assert real >= failures.KNOWN


def test_an_unexpected_error_is_one_sentence_and_debug_shows_where(
    ancestra: Ancestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise ValueError("something\nodd")

    monkeypatch.setattr(schema, "print_json", broken)
    said = ancestra("schema")
    assert said.code == 1
    assert said.err == "unexpected ValueError: something odd (--debug shows where)\n"
    for arguments in (("schema", "--debug"), ("--debug", "schema")):
        debugged = ancestra(*arguments)
        assert debugged.code == 1
        assert "Traceback" in debugged.err
        assert "in broken" in debugged.err


def test_a_misspelt_command_or_option_is_bad_input(ancestra: Ancestra) -> None:
    assert ancestra("chekc").code == 2
    assert ancestra("status", "--stroe", "x").code == 2
    assert ancestra("status").code == 2


def test_a_refused_batch_says_every_problem_on_its_own_line() -> None:
    refused = BatchRefused([Problem("a.yaml", 3, "shots[0]", "wrong", "right"), Problem("a.yaml", None, "", "odd")])
    assert sentence(refused) == "a.yaml:3: shots[0]: wrong (right)\na.yaml: odd"


def test_a_reader_that_goes_away_is_no_failure() -> None:
    program = "from ancestra_farm.cli.main import main; import sys; sys.argv = ['ancestra', 'schema']; main()"
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -c "{program}" | head -1'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr
