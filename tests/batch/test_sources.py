import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.card import ModelCard
from ancestra_farm.batch.sources import FolderSource, HubSource, PackageSource, source_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def card(source, revision=None) -> ModelCard:
    return ModelCard.model_validate(
        {
            "id": "mine/model",
            "family": "diffusers",
            "roles": ["text_to_image"],
            "licence": "MIT",
            "sizes": {"multiple_of": 8, "min": 64, "max": 512, "default": [256, 144]},
            "source": source,
            "revision": revision,
        }
    )


def test_a_source_is_a_folder_a_part_of_the_package_or_a_pinned_commit():
    assert source_of(card("/models/wan")) == FolderSource("/models/wan")
    assert source_of(card("file:///models/wan")) == FolderSource("/models/wan")
    assert source_of(card("package:models/embedded/weights")) == PackageSource("models/embedded/weights")
    assert source_of(card("Wan-AI/Wan2.2-TI2V-5B-Diffusers", COMMIT)) == HubSource(
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers", COMMIT
    )


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/1", COMMIT[:12], COMMIT.upper(), COMMIT + "\n", ""])
def test_a_branch_a_tag_and_a_short_hash_are_refused(revision):
    with pytest.raises(ValueError, match="names move; write the full commit hash"):
        source_of(card("owner/name", revision))


def test_a_card_without_a_revision_is_told_to_pin_one():
    with pytest.raises(ValueError, match="no revision of owner/name is pinned; write the full commit hash"):
        source_of(card("owner/name"))


def test_a_card_without_a_source_is_told_what_to_write():
    with pytest.raises(ValueError, match="names no source; write a folder, or a hub repository"):
        source_of(card(None))


@pytest.mark.parametrize(
    "source",
    [
        "package:../../etc",
        "package:/etc",
        "package:",
        "package:models/./weights",
        "../models",
        "models",
        "a/b/c",
        "owner/..",
        "own--er/name",
        "-owner/name",
        "owner/name.",
        "https://huggingface.co/owner/name",
        "/models/../../etc",
        "file://elsewhere/models",
        "owner/na me",
        "owner/name\n",
    ],
)
def test_what_leads_astray_is_refused(source):
    with pytest.raises(ValueError):
        source_of(card(source, COMMIT))


@given(st.text(max_size=60))
def test_no_text_is_a_hub_repository_or_package_folder_with_a_way_up(text):
    for source in (text, f"package:{text}"):
        try:
            found = source_of(card(source, COMMIT))
        except ValueError:
            continue
        named = found.repository if isinstance(found, HubSource) else found.path
        assert ".." not in named.split("/")
        assert "\n" not in named
