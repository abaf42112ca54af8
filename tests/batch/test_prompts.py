import pytest
from hypothesis import given
from hypothesis import strategies as st

from ancestra_farm.batch.prompts import count_wordings, fill, placeholders, wordings
from ancestra_farm.batch.schema import Prompt

AXES = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True),
    st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3),
)


def test_an_axis_is_replaced_and_double_braces_are_single_ones():
    assert (
        fill("{{{light}}} on {sea-state}, {light}", {"light": "gold", "sea-state": "swell"}) == "{gold} on swell, gold"
    )
    assert placeholders("{b} {a} {{c}} {b}") == ["b", "a"]


@given(st.text(max_size=40), st.dictionaries(st.just("axis"), st.text(max_size=10), min_size=1))
def test_text_with_its_braces_doubled_comes_out_as_it_was(text, values):
    template = text.replace("{", "{{").replace("}", "}}")

    assert placeholders(template) == []
    assert fill(template + "{axis}", values) == text + values["axis"]


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{a!r}", "{a:>10}", "{a[0]}", "{a b}", "{ a }", "{a}}", "{{a}", "{a{b}}"]
)
def test_a_brace_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"lone|not the name"):
        placeholders(text)
    with pytest.raises(ValueError, match=r"lone|not the name"):
        fill(text, {"a": "x", "b": "y"})


def test_values_are_put_in_as_they_are():
    assert fill("{a}", {"a": "{b} {{c}}", "b": "x"}) == "{b} {{c}}"


def test_an_attribute_is_only_a_name_that_is_not_declared():
    with pytest.raises(ValueError, match=r"no declared axis"):
        fill("{light.__class__}", {"light": "gold"})


@given(AXES, st.data())
def test_wordings_are_as_many_as_counted_and_use_each_templates_axes_only(axes, data):
    used = st.lists(st.sampled_from(sorted(axes)), max_size=3) if axes else st.just([])
    texts = data.draw(
        st.lists(used.map(lambda names: " ".join(["sea", *(f"{{{name}}}" for name in names)])), min_size=1, max_size=3)
    )
    prompt = Prompt(text=tuple(texts), axes={name: tuple(values) for name, values in axes.items()})

    made = list(wordings(prompt))

    assert len(made) == count_wordings(prompt)
    for text, chosen in made:
        assert all(value in axes[axis] for axis, value in chosen)
        assert text in {
            fill(template, dict(chosen))
            for template in texts
            if sorted(placeholders(template)) == [a for a, _ in chosen]
        }
