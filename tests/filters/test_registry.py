import subprocess
import sys

from ancestra_farm.filters import settings
from ancestra_farm.filters.motion_match import flow_through
from ancestra_farm.filters.registry import all_filters, default_settings, score_names
from ancestra_farm.filters.settings import ranking_scores
from tests.filters import pictures


def test_the_light_module_imports_no_numpy_and_no_opencv():
    code = (
        "import sys; import ancestra_farm.filters.settings as s; s.default_settings(); s.score_names();"
        "print(sorted({'numpy', 'cv2', 'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_filter_has_its_name_its_settings_and_a_place_in_the_order():
    assert tuple(all_filters()) == tuple(settings.DEFAULTS)
    assert sorted(settings.DEFAULT_ORDER) == sorted(all_filters())
    assert settings.DEFAULT_ORDER[0] == "nan"
    for name, check in all_filters().items():
        assert check.name == name
        assert check.defaults == settings.DEFAULTS[name] == default_settings()[name]


def test_every_score_belongs_to_the_filter_that_gives_it():
    clip = pictures.drifting(pictures.grainy_film)
    given = {
        score: name
        for name, check in all_filters().items()
        for score in check.judge(clip, settings.DEFAULTS[name], flow_through(clip)).scores
    }
    assert given == {score: meaning.filter for score, meaning in settings.SCORES.items()}
    assert score_names() == frozenset(given)


def test_defaults_handed_out_can_be_changed_without_harm():
    default_settings()["blur"]["max_width"] = 99.0
    assert default_settings()["blur"]["max_width"] < 5


def test_filters_for_clips_pass_a_still_unseen():
    still = pictures.still(pictures.grainy_film)
    for name in settings.CLIPS_ONLY:
        verdict = all_filters()[name].judge(still, settings.DEFAULTS[name])
        assert verdict.passed
        assert verdict.scores == {}


def test_a_batch_ranks_only_by_scores_of_which_more_is_better():
    assert "quality" in ranking_scores()
    assert "noise_levels" not in ranking_scores()
    assert ranking_scores() < score_names()
