"""What a folder must look like before diffusers reads anything from it: parts that are there, whole, and not code.

Loading runs what a folder says: the libraries and classes of its ``model_index.json``, Python files in it, pickles. So
a folder is looked over first. Safetensors beside pickles are read and the pickles are not; a part with pickles alone is
refused, and so is a folder with code.
"""

import importlib.util
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath

INDEX = "model_index.json"
#: Formats that hold code, or that nothing here reads: a part that has its weights in these alone is refused.
UNSAFE = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".onnx")
_LIBRARIES = frozenset({"diffusers", "transformers"})
_WEIGHTS = re.compile(r"[^.]+(\.(?P<variant>[^.]+?))?(-\d{5}-of-\d{5})?\.safetensors")
_SHARDS = re.compile(r"[^.]+\.safetensors\.index(\.(?P<variant>[^.]+))?\.json")


class WeightsMissing(Exception):
    """The weights are not on this node, or not whole; the message says how to get them."""


class WeightsRefused(Exception):
    """The weights are there and are not to be read: a wrong digest, code, a pickle, or a name that could move."""


def check_layout(folder: Path, variant: str | None = None) -> None:
    """Look over a pipeline's folder. ``variant``: the files that will be read, such as fp16.

    Raises `WeightsMissing` for what is not there, `WeightsRefused` for what must not be read.
    """
    if not folder.is_dir():
        raise WeightsMissing(f"{folder}: no such folder of weights")
    if not (folder / INDEX).is_file():
        raise WeightsMissing(f"{folder} is no diffusers pipeline: it has no {INDEX}")
    _refuse_code(sorted(folder.glob("*.py")))
    for part, (library, _) in parts_of(folder / INDEX).items():
        if library not in _LIBRARIES and library not in _pipeline_modules():
            raise WeightsRefused(
                f"{folder / INDEX}: {part} comes from {library!r}, which is neither diffusers nor transformers"
            )
        check_part(folder / part, variant)


def parts_of(index: Path) -> dict[str, tuple[str, str]]:
    """The parts of a pipeline by folder name: library and class, from ``model_index.json``. Raises `WeightsRefused`."""
    try:
        read = json.loads(index.read_text(encoding="utf-8"))
        entries = {name: value for name, value in read.items() if isinstance(value, list) and not name.startswith("_")}
    except (ValueError, AttributeError):
        raise WeightsRefused(f"{index} is no JSON object") from None
    if not isinstance(read.get("_class_name"), str):
        raise WeightsRefused(f"{index} names no class of diffusers as _class_name")
    parts = {}
    for name, value in entries.items():
        if len(value) != 2 or value[0] is None:
            continue  # a part that this pipeline goes without
        if not (re.fullmatch(r"\w+", name) and all(isinstance(word, str) for word in value)):
            raise WeightsRefused(f"{index}: {name!r} is no part of a pipeline")
        parts[name] = (value[0], value[1])
    return parts


def chosen_weights(paths: Iterable[str], variant: str | None) -> list[str]:
    """Of the files of a part, the safetensors and their indexes in ``variant``; those without one where it has none."""
    variants: dict[str | None, list[str]] = {}
    for path in paths:
        match = _WEIGHTS.fullmatch(PurePosixPath(path).name) or _SHARDS.fullmatch(PurePosixPath(path).name)
        if match is not None:
            variants.setdefault(match["variant"], []).append(path)
    return sorted(variants.get(variant) or variants.get(None, []))


def is_shard_index(path: str) -> bool:
    """Whether a file lists the shards of weights."""
    return _SHARDS.fullmatch(PurePosixPath(path).name) is not None


def check_pickles(part: str, paths: Iterable[str], chosen: Iterable[str]) -> None:
    """Raises `WeightsRefused` for a part that has weights, but none of them as safetensors."""
    if not list(chosen) and (unsafe := sorted(path for path in paths if path.endswith(UNSAFE))):
        raise WeightsRefused(f"{part} has its weights in {unsafe[0]} alone; safetensors are read, and nothing else")


def check_part(folder: Path, variant: str | None = None) -> None:
    """Look over the folder of one part. Raises as `check_layout`."""
    if not folder.is_dir():
        raise WeightsMissing(f"{folder}: there is no such part of a pipeline")
    _refuse_code(sorted(folder.rglob("*.py")))
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    chosen = chosen_weights(names, variant)
    check_pickles(str(folder), names, chosen)
    for index in filter(is_shard_index, chosen):
        for shard in sorted(_shards_of(folder / index)):
            if not (folder / index).with_name(shard).is_file():
                raise WeightsMissing(f"{folder}: {index} lists {shard}, which is not there")


def _refuse_code(found: list[Path]) -> None:
    if found:
        raise WeightsRefused(f"{found[0]}: weights lie beside code, which the farm never runs; move it away")


def _shards_of(index: Path) -> set[str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {str(shard) for shard in weight_map.values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WeightsRefused(f"{index} is no index of shards") from None
    if not all(re.fullmatch(r"[\w.-]+\.safetensors", shard) for shard in shards):
        raise WeightsRefused(f"{index} names shards that are no safetensors files beside it")
    return shards


@cache
def _pipeline_modules() -> frozenset[str]:
    """The modules of diffusers that parts of some pipelines come from; found without importing diffusers."""
    spec = importlib.util.find_spec("diffusers")
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    return frozenset(path.name for root in roots for path in Path(root, "pipelines").glob("[a-z]*") if path.is_dir())
