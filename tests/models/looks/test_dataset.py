"""No row, no training: each way a folder and its ledger can disagree, or consent can fall short, refused by name."""

import datetime as dt
import hashlib

import numpy as np
import pytest
from PIL import Image

from ancestra_farm.batch import BatchRefused
from ancestra_farm.batch.look import checked_look
from ancestra_farm.models.looks.dataset import load_dataset, picture
from tests.models.looks.photographs import base_card, row, toned, write_ledger, write_look

CARDS = {"tiny/model": base_card()}
TODAY = dt.date(2026, 6, 1)
SIZE = (32, 32)


def load(path, size=SIZE, today=TODAY):
    return load_dataset(checked_look(path, CARDS), size, today)


def refused(path, **how):
    with pytest.raises(BatchRefused) as error:
        load(path, **how)
    return [str(problem) for problem in error.value.problems]


def rewritten(path, **changes):
    """The ledger with the first row changed."""
    folder = path.parent / "photographs"
    names = sorted(file.name for file in folder.iterdir() if file.suffix == ".png")
    write_ledger(folder, [row(folder, names[0], **changes), *(row(folder, name) for name in names[1:])])
    return names[0]


def test_photographs_in_order_are_taken_with_their_captions(tmp_path):
    path = write_look(tmp_path, caption="{caption}, in ember")
    dataset = load(path)
    assert len(dataset.photos) == 4
    assert all(photo.caption.endswith(", in ember") for photo in dataset.photos)
    assert all(hashlib.sha256(photo.path.read_bytes()).hexdigest() in photo.digest for photo in dataset.photos)
    assert dataset.ledger.endswith(hashlib.sha256((tmp_path / "photographs/ledger.yaml").read_bytes()).hexdigest())
    assert dataset.licences == ("CC0-1.0",)


def test_the_digest_of_the_data_hangs_on_pictures_and_captions_alone(tmp_path):
    path = write_look(tmp_path)
    first = load(path)
    folder = tmp_path / "photographs"
    names = sorted((file.name for file in folder.glob("*.png")), reverse=True)
    write_ledger(folder, [row(folder, name, owner="Bo") for name in names])
    other_order = load(path)
    assert (other_order.data, other_order.ledger != first.ledger) == (first.data, True)
    rewritten(path, caption="something else")
    assert load(path).data != first.data


def test_a_photograph_without_a_row_is_refused(tmp_path):
    path = write_look(tmp_path)
    (tmp_path / "photographs" / "sub").mkdir()
    stray = tmp_path / "photographs" / "sub" / "stray.jpg"
    Image.fromarray(toned(9, SIZE)).save(stray)
    (problem,) = refused(path)
    assert problem.startswith(f"{stray}: has no row in")
    assert "no row, no training" in problem


def test_hidden_files_are_nobodys_photographs(tmp_path):
    path = write_look(tmp_path)
    (tmp_path / "photographs" / ".DS_Store").write_bytes(b"x")
    assert len(load(path).photos) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"file": "gone.png"}, "gone.png is not in"),
        ({"file": "../ember.yaml"}, "could leave the store"),
        ({"sha256": "sha256:" + "0" * 64}, "is not the file that this row is about"),
        ({"consent": {"who": "Ada", "when": "2026-01-05", "scope": ["publication"]}}, "publication, not to training"),
        ({"consent": {"who": "Ada", "when": "2026-01-05", "scope": ["training"], "until": "2026-05-31"}}, "ended on"),
        ({"consent": {"who": "Ada", "when": "2026-06-02", "scope": ["training"]}}, "still to come"),
        ({"scope": ["another-film"]}, "it may be used for another-film, not for ancestra"),
        ({"caption": ""}, "there is nothing to tell the model of it"),
    ],
)
def test_a_row_that_does_not_allow_it_is_refused_by_name(tmp_path, changes, said):
    path = write_look(tmp_path)
    name = rewritten(path, **changes)
    told = refused(path)
    ledger = tmp_path / "photographs" / "ledger.yaml"
    assert any(said in one and one.startswith(f"{ledger}:") for one in told), told
    assert any(changes.get("file", name) in one for one in told)


def test_consent_holds_through_its_last_day_and_for_any_show(tmp_path):
    path = write_look(tmp_path)
    consent = {"who": "Ada", "when": "2026-06-01", "scope": ["training"], "until": "2026-06-01"}
    rewritten(path, consent=consent, scope=["any"])
    assert len(load(path).photos) == 4


def test_a_licence_outside_the_policy_is_refused(tmp_path):
    path = write_look(tmp_path, policy={"licences": ["MIT"]})
    told = refused(path)
    assert len(told) == 4
    assert "its licence, CC0-1.0, is not allowed by the look's policy (policy.licences allows MIT)" in told[0]


def test_a_changed_photograph_is_no_longer_the_one_consented_to(tmp_path):
    path = write_look(tmp_path)
    Image.fromarray(toned(77, (48, 40))).save(tmp_path / "photographs" / "photo.png")
    (problem,) = refused(path)
    assert "photo.png is not the file that this row is about: its digest is sha256:" in problem


def test_what_is_no_picture_or_too_small_is_refused(tmp_path):
    path = write_look(tmp_path, pixels=(40, 24))
    (tmp_path / "photographs" / "photo.png").write_bytes(b"not a picture")
    rewritten(path)
    told = refused(path)
    assert any("it is no picture that can be read" in one for one in told)
    assert any("is 40 × 24 pixels, smaller than the 32 × 32 of training" in one for one in told)


def test_a_photograph_counts_once(tmp_path):
    path = write_look(tmp_path, count=1)
    folder = tmp_path / "photographs"
    (folder / "again.png").write_bytes((folder / "photo.png").read_bytes())
    write_ledger(folder, [row(folder, "photo.png"), row(folder, "again.png")])
    assert any("the same picture stands in a row above" in one for one in refused(path))


def test_no_ledger_no_training(tmp_path):
    path = write_look(tmp_path)
    (tmp_path / "photographs" / "ledger.yaml").unlink()
    assert "there is no such file" in refused(path)[0]


def test_a_picture_is_seen_upright_and_whole(tmp_path):
    tall = np.zeros((40, 20, 3), np.uint8)
    tall[:20] = 255
    file = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side: turned by a quarter when it is shown
    Image.fromarray(np.rot90(tall)).save(file, exif=exif, quality=95)
    seen = picture(file.read_bytes(), (20, 40))
    assert seen.shape == (40, 20, 3)
    assert seen[:15].mean() > 240
    assert seen[-15:].mean() < 15
