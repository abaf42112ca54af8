import json

from ancestra_farm.batch.check import check_batch
from ancestra_farm.batch.document import read_text
from ancestra_farm.batch.load import locate_batch
from tests.batch.catalogue import CARDS, FILTERS, SCORES


def problems(model: str, licences: list[str]) -> list[str]:
    stage = {"role": "text_to_video", "model": model, "candidates": 1}
    value = {
        "schema": "ancestra/v1",
        "batch": "b",
        "show": "s",
        "stages": {"clip": stage},
        "shots": [{"shot": "a", "frames": 8, "rate": 8, "prompt": {"text": "the sea"}}],
        "policy": {"licences": licences},
    }
    located = locate_batch(read_text(json.dumps(value), "a.yaml"))
    found = check_batch(located, CARDS, FILTERS, SCORES)
    return [f"{one.path}: {one.message} ({one.hint})" for one in found if "licence" in one.message]


def test_a_model_whose_licence_the_show_does_not_allow_is_refused_with_what_it_asks_for():
    (said,) = problems("hunyuan/video", ["Apache-2.0", "MIT"])
    assert said.startswith(
        "stages.clip.model: the licence of hunyuan/video, Tencent-Hunyuan-Community, is not allowed by the show's "
        "policy: does not apply, so gives no right to use it or to show what it made, in the European Union"
    )
    assert said.endswith("(policy.licences allows Apache-2.0 or MIT)")


def test_a_model_whose_licence_the_show_allows_is_taken():
    assert problems("hunyuan/video", ["Tencent-Hunyuan-Community"]) == []
    assert problems("wan/2.2-t2v-a14b", ["Apache-2.0"]) == []
