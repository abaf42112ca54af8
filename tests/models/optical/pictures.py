"""Moving pictures whose every moment can be drawn exactly, and how near pictures are to the truth."""

from fractions import Fraction

import cv2
import numpy as np

from ancestra_farm.models.build import build_generator
from ancestra_farm.models.catalog import load_catalog
from ancestra_farm.plan.frames import Reading, frames_reached
from ancestra_farm.plan.recipe import Recipe
from tests.stitch.scenes import SCENES, pan, texture

SIZE = (256, 144)
CARDS = load_catalog()


def passing(seed, size=SIZE, speed=3.0):
    """A textured disc that passes in front of a plate which moves the other way: what is behind it comes and goes."""
    width, height = size
    rng = np.random.default_rng(seed)
    behind = pan(seed, size, speed / 2)
    own = np.stack([texture(height, height, rng) for _ in range(3)], axis=2).astype(np.float32)
    radius, level = height / 4, height * rng.uniform(0.4, 0.6)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)

    def draw(t):
        x = width * 0.3 + speed * t
        mask = 1 / (1 + np.exp(np.clip(np.hypot(xs - x, ys - level) - radius, -30, 30)))
        disc = cv2.remap(
            own, xs - x + height / 2, ys - level + height / 2, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        return behind(t) * (1 - mask[..., None]) + (0.3 + 0.7 * disc) * mask[..., None]

    return draw


MOVING = {"passing": passing, **SCENES}


def recipe(role, parent="p", size=SIZE, frames=1, rate=16, reading=None, **parameters):
    model = "optical/upscale" if role == "upscale" else "optical/flow"
    return Recipe(
        candidate_id="c" * 32, seed=1, shot="s", stage=role, segment=0, variant="v", index=0, rung="full", role=role,
        prompt="the sea", negative="", model=model, model_digest="0" * 32, look=None, look_weight=1.0, guides=(),
        parameters=parameters, size=size, frames=frames, rate=Fraction(rate), context_frames=0, parents=(parent,),
        reading=reading,
    )  # fmt: skip


def made(wanted, given):
    """The frames of one recipe from its parent's."""
    generator = build_generator(CARDS[wanted.model])
    generator.setup()
    (one,) = generator.generate([wanted], {"p": given}, lambda: False)
    generator.close()
    return one.frames


def interpolated(given, rate, target, model="optical/flow"):
    """All of a clip at another rate, and the position of each frame on it."""
    rate, target = Fraction(rate), Fraction(target)
    reading = Reading(Fraction(0), rate / target)
    frames = frames_reached(len(given), target, rate)
    wanted = recipe("interpolate", size=given.shape[2:0:-1], frames=frames, rate=target, reading=reading)
    return made(wanted, given), [reading.position(frame) for frame in range(frames)]


def psnr(one, other):
    """Peak signal to noise in dB, of uint8 pictures."""
    error = np.square(one.astype(np.float64) - other.astype(np.float64)).mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))


def ssim(one, other):
    """Mean structural similarity of the luma of two pictures (Wang et al., 2004: Gaussian windows, sigma 1.5)."""
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (one, other))

    def mean(values):
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * ma * mb + c1) * (2 * vab + c2)) / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean())
