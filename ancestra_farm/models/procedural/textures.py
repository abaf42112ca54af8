"""Tileable fields that scenes are cut from: waves, clouds, cells, vessels, stars, grain.

They are made once per process from fixed seeds and never change; a picture chooses where in them it looks. All are
float32, square, and wrap around at every edge; each is kept as small as its detail allows, since sampling is bound by
the processor's cache.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

#: float32 throughout; numpy's stubs take a Python number for a float64, hence the wider word.
Field = NDArray[np.floating]

TILE = 512


def sample(texture: Field, u: Field, v: Field) -> Field:
    """The texture at tile coordinates (u to the right, v down; 1.0 is one tile), linearly between texels."""
    side = np.float32(texture.shape[0])
    x, y = side * (u - np.floor(u)), side * (v - np.floor(v))
    return cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)  # type: ignore[return-value]


#: How many of each kind there are; indices in pictures stay below these.
CLOUDS, FOLDS, VESSELS, STARS = 4, 3, 3, 3


def make_all() -> None:
    """Make every texture that pictures are cut from; less than a second of one core."""
    for make, count in ((clouds, CLOUDS), (folds, FOLDS), (vessels, VESSELS), (stars, STARS)):
        for index in range(count):
            make(index)
    for make_one in (waves, cells, grain, outlines):
        make_one()


@cache
def clouds(index: int) -> Field:
    """Fractal noise of spectrum 1/f², mean 0, standard deviation 1; ``index`` names one of many."""
    f = _frequency()
    return _real(_white(100 + index) / np.maximum(f, 1.0) ** 1.9 * (f > 0) * np.exp(-((f / 90.0) ** 2)), 256)


@cache
def folds(index: int) -> Field:
    """Smooth noise of few, large features (about six to a tile), mean 0, standard deviation 1."""
    f = _frequency()
    return _real(_white(200 + index) * np.exp(-(((f - 5.0) / 3.0) ** 2)) * (f > 0), 128)


@cache
def waves() -> Field:
    """Wind waves travelling along +v: [256, 256, 3] of height, slope along u, slope along v.

    One octave of wavelengths, about fourteen to a tile, spread about the wind; slopes have unit variance in all.
    """
    ky, kx = np.meshgrid(np.fft.fftfreq(TILE, 1 / TILE), np.fft.fftfreq(TILE, 1 / TILE), indexing="ij")
    k = np.maximum(np.hypot(kx, ky), 1e-6)
    spectrum = _white(300) * np.exp(-((np.log2(k / 14.0) / 0.55) ** 2)) * (0.18 + np.abs(ky / k) ** 2.5)
    height, along_u, along_v = (np.fft.ifft2(s).real for s in (spectrum, spectrum * 1j * kx, spectrum * 1j * ky))
    scale = 1.0 / np.sqrt((along_u**2 + along_v**2).mean())
    # Crests are sharper than troughs: a Stokes wave's second harmonic, as slope gained where the water stands high.
    sharp = 1.0 + 0.35 * height / height.std()
    return _fixed(
        _smaller(np.stack([height / height.std(), along_u * scale * sharp, along_v * scale * sharp], axis=-1), 256)
    )


@cache
def cells() -> Field:
    """Voronoi cells, about ten to a tile: [side, side, 3].

    Distance to the nucleus and to the wall, in cell sizes, and a number in [0, 1) that belongs to the cell.
    """
    rng = np.random.default_rng(400)
    count = 10
    corners = np.stack(np.meshgrid(np.arange(count), np.arange(count)), -1).reshape(-1, 2)
    points = (corners + 0.5 + rng.uniform(-0.42, 0.42, corners.shape)) / count
    names = rng.uniform(0, 1, len(points))
    around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
    points = np.concatenate([points + shift for shift in around]).astype(np.float32)
    names = np.tile(names, len(around))
    near = (np.abs(points - 0.5) < 0.65).all(axis=1)
    points, names = points[near], names[near]
    side = 384
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    first = np.full((side, side), 9.0, np.float32)
    second, name = first.copy(), np.zeros((side, side), np.float32)
    reach = 2.5 / count  # nowhere are the two nearest further away
    for (px, py), own in zip(points, names, strict=True):
        (left, right), (top, bottom) = (np.searchsorted(axis, (at - reach, at + reach)) for at in (px, py))
        piece = np.s_[top:bottom, left:right]
        distance = np.hypot(axis[None, left:right] - px, axis[top:bottom, None] - py)
        closer = distance < first[piece]
        second[piece] = np.where(closer, first[piece], np.minimum(second[piece], distance))
        name[piece][closer] = own
        first[piece] = np.minimum(first[piece], distance)
    return _fixed(np.stack([first * count, (second - first) * count, name], axis=-1))


@cache
def vessels(index: int) -> Field:
    """Branching vessels: [TILE, TILE, 2] of thick trunks and fine branches, each 0 outside to 1 on a vessel's axis."""
    rng = np.random.default_rng(500 + index)
    canvas = [np.zeros((TILE, TILE), np.uint8) for _ in range(2)]
    for _ in range(7):
        x, y = rng.uniform(0, TILE, 2).tolist()
        _grow(canvas, rng, (x, y), rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.5), 7.5, 0)
    return _fixed(
        np.stack([np.minimum(_blurred(layer, s) / 200.0, 1.0) for layer, s in zip(canvas, (2, 1), strict=True)], -1)
    )


@cache
def stars(index: int) -> Field:
    """Points of light of very different strength, none smaller than a pixel: 0 to about 1 at the brightest."""
    rng = np.random.default_rng(600 + index)
    field = np.zeros((TILE, TILE), np.float32)
    for sigma, count, low, high in ((0.8, 1100, 0.06, 0.4), (1.1, 140, 0.3, 1.0), (1.5, 16, 0.8, 1.8)):
        points = np.zeros((TILE, TILE), np.float32)
        rows, columns = rng.integers(0, TILE, (2, count))
        points[rows, columns] = rng.uniform(low, high, count) * 2 * np.pi * sigma**2
        field += _blurred(points, sigma)
    return _fixed(field)


@cache
def grain() -> Field:
    """Triangular noise in [−1, 1], [3, 2·TILE, 2·TILE]: dither that keeps gradients free of steps."""
    rng = np.random.default_rng(700)
    noise = rng.uniform(-0.5, 0.5, (3, TILE, TILE)) + rng.uniform(-0.5, 0.5, (3, TILE, TILE))
    return _fixed(np.tile(noise, (1, 2, 2)))


@cache
def outlines() -> Field:
    """Ragged closed outlines: [64, TILE], each row one turn of a smooth wave, standard deviation 1."""
    rng = np.random.default_rng(800)
    order = np.fft.rfftfreq(TILE, 1 / TILE)
    strength = np.where((order >= 1) & (order <= 40), np.maximum(order, 1.0) ** -1.5, 0.0)
    rows = np.fft.irfft(strength * np.exp(2j * np.pi * rng.uniform(size=(64, len(order)))), TILE, axis=1)
    return _fixed(rows / rows.std(axis=1, keepdims=True))


def _grow(
    canvas: list[NDArray[np.uint8]],
    rng: np.random.Generator,
    at: tuple[float, float],
    angle: float,
    width: float,
    depth: int,
) -> None:
    """Draw one vessel and what branches off it. Widths follow Murray's law: a branch keeps up to 0.79 of it."""
    heading = angle
    for _ in range(int(rng.integers(7, 14))):
        heading += rng.normal(0, 0.22)
        length = max(width * 2.0, 7.0)
        to = (at[0] + float(np.cos(heading)) * length, at[1] + float(np.sin(heading)) * length)
        _line(canvas[0 if width > 3.2 else 1 :], at, to, width)
        at = (to[0] % TILE, to[1] % TILE)
        if depth < 5 and rng.uniform() < 0.24 and width > 1.3:
            side = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.1)
            _grow(canvas, rng, at, heading + side, width * rng.uniform(0.5, 0.79), depth + 1)
        width = max(width * 0.965, 1.0)
    if depth < 5 and width > 1.3:
        for side in (-0.45, 0.45):
            _grow(canvas, rng, at, heading + side * rng.uniform(0.7, 1.3), width * 0.76, depth + 1)


def _line(layers: list[NDArray[np.uint8]], start: tuple[float, float], end: tuple[float, float], width: float) -> None:
    """One straight piece of vessel, in 1/16 pixels; drawn once more beyond each edge that it crosses.

    In plain numbers: there are thousands of them, and an array of two takes ten times as long.
    """
    margin = width + 2
    across, down = (_shifts(min(pair) - margin, max(pair) + margin) for pair in zip(start, end, strict=True))
    thick = max(round(width), 1)
    for x in across:
        for y in down:
            a = (round((start[0] + x) * 16), round((start[1] + y) * 16))
            b = (round((end[0] + x) * 16), round((end[1] + y) * 16))
            for layer in layers:
                cv2.line(layer, a, b, 255, thick, cv2.LINE_AA, 4)


def _shifts(low: float, high: float) -> tuple[int, ...]:
    """By how much something that reaches from ``low`` to ``high`` is drawn aside, so that it wraps around."""
    return (0, *((TILE,) if low < 0 else ()), *((-TILE,) if high > TILE else ()))


def _blurred(layer: NDArray[np.generic], sigma: float) -> Field:
    """A Gaussian blur that goes on across the edges of the tile."""
    edge = int(4 * sigma) + 1
    padded = np.pad(layer.astype(np.float32), edge, mode="wrap")
    return cv2.GaussianBlur(padded, (0, 0), sigma)[edge:-edge, edge:-edge]  # type: ignore[return-value]


def _frequency() -> NDArray[np.float64]:
    axis = np.fft.fftfreq(TILE, 1 / TILE)
    return np.hypot(axis[:, None], axis[None, :])


def _white(seed: int) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    return np.fft.fft2(rng.standard_normal((TILE, TILE)))


def _real(spectrum: NDArray[np.complex128], side: int) -> Field:
    values = np.fft.ifft2(spectrum).real
    return _fixed(_smaller((values - values.mean()) / values.std(), side))


def _smaller(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Averages over blocks, so that ``values`` become ``side`` × ``side`` and still tile."""
    block = TILE // side
    return values.reshape(side, block, side, block, -1).mean(axis=(1, 3)).squeeze()


def _fixed(values: NDArray[np.floating]) -> Field:
    out = np.ascontiguousarray(values, np.float32)
    out.setflags(write=False)
    return out
