"""Fits the filters' thresholds, gates them on other seeds, measures their cost and how hashes tell duplicates.

    python benchmarks/filters.py --fit [--small]          thresholds from the fitting seeds, beside those in settings.py
    python benchmarks/filters.py --gate [--json] [--small] faults caught, false alarms, cost, hash distances

One core; `--fit` takes about 3 minutes, `--gate` about 12; `--small` a tenth.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ancestra_farm.filters.hashes import dhash, distance, phash
from ancestra_farm.filters.registry import all_filters
from ancestra_farm.filters.settings import DEFAULTS, SCORES
from tests.filters import truth

#: (size, frames, how many, kinds): frames 1 are stills.
ALL_KINDS = truth.PICTURE_FAULTS + truth.CLIP_FAULTS
GATED = (
    ((128, 80), 1, 1000, truth.PICTURE_FAULTS),
    ((256, 144), 1, 1000, truth.PICTURE_FAULTS),
    ((128, 80), 9, 500, ALL_KINDS),
    ((128, 80), 13, 500, ALL_KINDS),
    ((256, 144), 13, 60, ALL_KINDS),
    ((64, 64), 1, 600, truth.PICTURE_FAULTS),
    ((512, 288), 1, 100, truth.PICTURE_FAULTS),
)
#: The setting that each kind of fault fits, and the score it is compared with.
FITTED = {
    "black": ("min_level", "black_level"),
    "clipped": ("max_white_share", "clipped_share"),
    "noise": ("max_levels", "noise_levels"),
    "banding": ("max_share", "banding_share"),
    "blur": ("max_width", "blur_width"),
    "frozen": ("max_share", "frozen_share"),
    "flicker": ("max_share", "flicker_share"),
    "cut": ("max_jump", "cut_jump"),
}


def base_of(purpose: str, size: tuple[int, int], frames: int) -> Callable[[int], truth.Base]:
    """A function from a number to its clean candidate."""
    if frames == 1:
        return lambda number: truth.clean_still(purpose, number, size)
    return lambda number: truth.clean_clip(purpose, number, size, frames)


def fit(share: float) -> None:
    """Print, for every filter, the scores of clean and of just visibly faulty candidates and a threshold between them.

    The threshold lies between the clean score that 0.5 % pass and the faulty score that 0.5 % undercut, a third of the
    way from the faulty one where they are apart: below it a fault is seen, while the next model's clean pictures will
    be more varied than these.
    """
    print(
        f"{'fault':9} {'score':15} {'clean 50 % … 99.5 % (worst)':34} {'faulty 0.5 %':>12} {'fitted':>9} {'in use':>8}"
    )
    for kind, (setting, score) in FITTED.items():
        name, clean, faulty = SCORES[score].filter, [], []
        clips_only = kind in truth.CLIP_FAULTS
        for size, frames, many in (
            ((128, 80), 9 if clips_only else 1, 600),
            ((256, 144), 13 if clips_only else 1, 120),
        ):
            for number in range(int(many * share)):
                base = base_of(truth.FIT, size, frames)(number)
                severity = truth.visible(kind, size) + (0.1 * (number % 3))
                spoilt = truth.spoilt(base, kind, severity, truth.seed_at(truth.FIT, number))
                clean.append(all_filters()[name].judge(base.frames, DEFAULTS[name]).scores[score])
                faulty.append(all_filters()[name].judge(spoilt, DEFAULTS[name]).scores[score])
        sign = 1 if SCORES[score].better == "lower" else -1
        clean, faulty = np.sort(sign * np.array(clean)), np.sort(sign * np.array(faulty))
        edge, seen = np.quantile(clean, 0.995), np.quantile(faulty, 0.005)
        fitted = sign * (seen - (seen - edge) / 3)
        spread = f"{sign * np.median(clean):.3f} … {sign * edge:.3f} ({sign * clean[-1]:.3f})"
        print(f"{kind:9} {score:15} {spread:34} {sign * seen:12.3f} {fitted:9.3f} {DEFAULTS[name][setting]:8}")


def gated(share: float) -> list[dict]:
    """What the gate counts, one row per size, length and kind."""
    rows = []
    for size, frames, many, kinds in GATED:
        first = sum(count for _, _, count, _ in GATED[: GATED.index((size, frames, many, kinds))])
        numbers = range(first, first + max(int(many * share), 20))
        tallies = truth.gate(truth.GATE, numbers, base_of(truth.GATE, size, frames), size, kinds)
        for kind, tally in tallies.items():
            low, high = tally.interval
            rows.append(
                {
                    "size": f"{size[0]}×{size[1]}",
                    "frames": frames,
                    "kind": kind,
                    "hits": tally.hits,
                    "trials": tally.trials,
                }
                | {"share": tally.share, "low": low, "high": high, "others": tally.others[:20]}
                | {"from_severity": None if kind == "clean" else truth.visible(kind, size)}
            )
    return rows


def costs() -> dict[str, dict[str, float]]:
    """Median milliseconds per filter at 256×144 on one core: a still, and a clip of 13 frames."""
    out = {}
    for title, frames in (("still", 1), ("clip of 13 frames", 13)):
        seconds: dict[str, list[float]] = {}
        for number in range(20, 40 if frames == 1 else 28):
            base = base_of(truth.GATE, (256, 144), frames)(number)
            for name, check in all_filters().items():
                runs = [check.judge(base.frames, DEFAULTS[name]).seconds for _ in range(5)]
                seconds.setdefault(name, []).append(min(runs))
        out[title] = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
        out[title]["all"] = sum(out[title].values())
    return out


def hash_distances(share: float) -> dict[str, dict]:
    """How many bits differ: between near-duplicates, and between other pictures of the same wording."""
    wordings, siblings = len(truth.WORDINGS), max(int(60 * share), 4)
    out = {}
    for title, hashed in (("phash", phash), ("dhash", dhash)):
        twins, others, nearest = [], [], []
        for wording in range(wordings):
            hashes = []
            for sibling in range(siblings):
                base = truth.clean_still(truth.GATE, 50_000 + wording + wordings * sibling, (256, 144))
                hashes.append(hashed(base.frames))
                rng = np.random.default_rng([wording, sibling])
                pair = [truth.near_duplicate(base.frames, rng) for _ in range(2)]
                twins.append(distance(hashed(pair[0]), hashed(pair[1])))
            table = np.array([[distance(a, b) for b in hashes] for a in hashes])
            others.extend(table[np.triu_indices(siblings, 1)].tolist())
            nearest.extend((table + 64 * np.eye(siblings, dtype=int)).min(axis=1).tolist())
        bits = {
            str(limit): {
                "duplicates found": float(np.mean(np.array(twins) <= limit)),
                "pairs of others taken for duplicates": float(np.mean(np.array(others) <= limit)),
                "pictures with such a neighbour": float(np.mean(np.array(nearest) <= limit)),
            }
            for limit in (0, 2, 3, 4, 5, 6, 8, 10)
        }
        quantiles = (0, 0.01, 0.05, 0.5, 0.95, 0.99, 1)
        out[title] = {
            "duplicates": np.quantile(twins, quantiles).tolist(),
            "others": np.quantile(others, quantiles).tolist(),
            "quantiles": quantiles,
            "at": bits,
        }
    return out


def report(found: dict) -> None:
    """The gate's findings as text."""
    print("size      frames  kind        from   caught (clean: passed)          95 % interval")
    for row in found["gate"]:
        severity = "" if row["from_severity"] is None else f"{row['from_severity']:.2f}"
        count = f"{row['hits']} of {row['trials']}"
        interval = f"{row['low']:.2%} … {row['high']:.2%}"
        where = f"{row['size']:9} {row['frames']:6}  {row['kind']:10} {severity:>5}"
        print(f"{where}   {count:14} {row['share']:8.2%}   {interval}")
    for title, milliseconds in found["cost_ms"].items():
        print(f"\n{title}, 256×144, ms: " + ", ".join(f"{name} {value:.2f}" for name, value in milliseconds.items()))
    for title, hashes in found["hashes"].items():
        print(f"\n{title}: bits that differ at quantiles {hashes['quantiles']}")
        print(f"  duplicates {hashes['duplicates']}\n  others of the same wording {hashes['others']}")
        for limit, shares in hashes["at"].items():
            print(f"  ≤ {limit:>2} bits: " + ", ".join(f"{name} {share:.2%}" for name, share in shares.items()))


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--fit", action="store_true")
    what.add_argument("--gate", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--small", action="store_true", help="a tenth of the candidates")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    share = 0.1 if arguments.small else 1.0
    if arguments.fit:
        fit(share)
        return
    found = {"gate": gated(share), "cost_ms": costs(), "hashes": hash_distances(share)}
    if arguments.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        report(found)


if __name__ == "__main__":
    main()
