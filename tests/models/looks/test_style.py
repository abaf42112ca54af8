"""The two numbers of style: how much of the way a set of pictures went, in colour and in spectrum."""

import cv2
import numpy as np
import pytest

from ancestra_farm.models.looks.rendered import in_ember
from ancestra_farm.models.looks.style import moved, style_of
from tests.models.diffusion.recipes import picture


def pictures(count=6, size=(96, 64)):
    rng = np.random.default_rng(0)
    return [
        np.clip(picture(seed, size)[0].astype(int) + rng.integers(-20, 21, (size[1], size[0], 3)), 0, 255).astype(
            np.uint8
        )
        for seed in range(count)
    ]


def mixed(part):
    plain = pictures()
    return [
        (one * (1 - part) + other * part).round().astype(np.uint8)
        for one, other in zip(plain, map(in_ember, plain), strict=True)
    ]


def test_no_look_is_no_way_and_the_reference_is_all_of_it():
    plain, reference = style_of(pictures()), style_of([in_ember(one) for one in pictures()])
    none, all_of_it = moved(plain, plain, reference), moved(plain, reference, reference)
    assert (none.colour, none.spectrum) == (0.0, 0.0)
    assert (all_of_it.colour, all_of_it.spectrum) == (1.0, 1.0)


def test_more_of_the_style_is_more_of_the_way():
    plain, reference = style_of(pictures()), style_of([in_ember(one) for one in pictures()])
    ways = [moved(plain, style_of(mixed(part)), reference) for part in (0.25, 0.5, 0.75)]
    colours, spectra = [way.colour for way in ways], [way.spectrum for way in ways]
    assert colours == sorted(colours)
    assert spectra == sorted(spectra)
    assert colours[1] == pytest.approx(0.5, abs=0.2)


def test_what_is_shown_counts_for_little_and_softness_for_spectrum_only():
    plain = style_of(pictures())
    soft = style_of([cv2.GaussianBlur(one, (0, 0), 2) for one in pictures()])
    reference = style_of([in_ember(one) for one in pictures()])
    way = moved(plain, soft, reference)
    assert way.spectrum > 0.5
    assert abs(way.colour) < 0.1


def test_without_a_way_there_is_no_part_of_it():
    plain = style_of(pictures())
    way = moved(plain, plain, plain)
    assert (way.colour, way.spectrum) == (None, None)
    assert str(way) == "colour was there, spectrum was there"
