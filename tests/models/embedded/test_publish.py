from ancestra_farm.batch.load import load_card
from ancestra_farm.models.embedded import measure, publish
from ancestra_farm.models.embedded.words import SUBJECTS


def figures(**more):
    named = {
        "psnr_db": 20.0, "autoencoder_psnr_db": 28.1, "autoencoder_ssim": 0.8,
        **{f"render_{name}": 0.99 for name in ("subject", "structure", "light", "motion")},
        **{f"structure_{name}": 0.5 for name in SUBJECTS},
        "subject": 0.98, "structure": 0.6, "light": 0.96, "diversity": 0.9, **more,
    }  # fmt: skip
    return {
        "steps": 8,
        "guidance": 2.5,
        "figures": named,
        "targets": measure.against_targets(named),
    }


SPEED = {"processes": 2, "threads": 1, "seconds_per_thousand_stills": 52.3}
RECORD = {"stage": "stills", "minutes": 12.0, "steps": 100, "seed": 1, "kept": True, "after": {"subject": 0.98}}


def test_the_model_card_says_what_was_not_met_and_not_measured():
    text = publish.model_card([RECORD], figures(), SPEED, {"autoencoder": 2_000_000}, 11_000_000)
    assert "subject right, a judge that sees everything | 0.980 | 0.97 | yes |" in text
    assert "structure alone | 0.600 | 0.85 | no |" in text
    assert "clips from words | not measured | 0.85 | no |" in text
    assert "| clips | 0 | 0 | | | not trained yet |" in text
    assert "Stills only" in text
    assert "clips.png" not in text
    assert "A thousand stills take 52 s where 2 processes" in text
    moving = publish.model_card(
        [RECORD], figures(motion_from_words=0.9), {**SPEED, "seconds_per_clip": 2.1}, {"autoencoder": 1}, 1
    )
    assert "clips.png" in moving
    assert "a clip of two seconds 2.1 s" in moving
    assert "guided.png" not in moving
    along = {"motion_from_words": 0.9, "guide_correlation": 0.7, "guide_correlation_free": 0.61}
    steered = publish.model_card([RECORD], figures(**along), SPEED, {"autoencoder": 1}, 1)
    assert "guided.png" in steered
    assert "the correlation is 0.61" in steered


def test_digests_take_the_place_of_older_ones(tmp_path):
    text = (publish.HERE / "cards" / "embedded-wan.yaml").read_text()
    once = publish.with_digests(text, {"vae/a.safetensors": "0" * 64})
    twice = publish.with_digests(once, {"vae/b.safetensors": "1" * 64})
    path = tmp_path / "card.yaml"
    path.write_text(twice)
    assert load_card(path).digests == {"vae/b.safetensors": "sha256:" + "1" * 64}


def test_only_what_was_trained_has_a_card_and_every_card_is_sound(tmp_path):
    assert set(publish.cards({"vae_stills", "stills"}, {})) == {"embedded-wan.yaml"}
    every = publish.cards({"stills", "clips", "guides"}, {"vae/a.safetensors": "0" * 64})
    assert len(every) == 4
    for name, text in every.items():
        (tmp_path / name).write_text(text)
        assert "Becomes" not in text
        assert load_card(tmp_path / name).id == name.removesuffix(".yaml").replace("-", "/", 1)
