"""What a class of the installed diffusers takes and can do, read from its source: nothing of it is imported.

Importing diffusers and torch takes ten seconds, and a card is checked in a fraction of one. The source is what runs, so
what stands here cannot differ from it; tests compare both. Nothing is decided here about cards (see `check`).
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_PLAIN = frozenset({"bool", "int", "float", "str"})
_CLASS = re.compile(r"^class (\w+)\b", re.MULTILINE)
_BLOCKS = re.compile(r"^    _repeated_blocks = \[\s*[\"']", re.MULTILINE)
_GUARDED = re.compile(r"hasattr\(self\.scheduler, [\"'](\w+)[\"']\)")


@dataclass(frozen=True, slots=True)
class PipelineAnatomy:
    """One pipeline class. ``arguments``: those of its call; ``defaults``: of those that have a plain one.

    ``components``: the class names that each may be of. ``settings``: what else it is made with, plain values.
    ``offloads``: whole models can be moved to the device in turn. ``loras``: it loads LoRA adapters.
    ``scheduler_methods``: what it calls of its scheduler without asking whether it is there. ``schedule``: the named
    arguments it hands to the scheduler's ``set_timesteps``.
    """

    pipeline: str
    arguments: frozenset[str]
    defaults: Mapping[str, object]
    components: Mapping[str, tuple[str, ...]]
    settings: frozenset[str]
    offloads: bool
    loras: bool
    scheduler_methods: frozenset[str]
    schedule: frozenset[str]

    @property
    def denoisers(self) -> tuple[str, ...]:
        """The components that run at every step."""
        return tuple(name for name in ("transformer", "transformer_2", "unet") if name in self.components)


@dataclass(frozen=True, slots=True)
class SchedulerAnatomy:
    """One scheduler class: its methods, what ``set_timesteps`` takes by name, and its settings."""

    methods: frozenset[str]
    schedule: frozenset[str]
    settings: frozenset[str]


@lru_cache(maxsize=64)
def pipeline_anatomy(pipeline: str) -> PipelineAnatomy | None:
    """What a pipeline class takes and can do; None where the installed diffusers has no such class."""
    found = _class_of("pipelines", pipeline)
    if found is None:
        return None
    node, source = found
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
    if "__call__" not in methods or "__init__" not in methods:
        return None
    made = methods["__init__"]
    taken = {one.arg: _names(one.annotation) for one in _arguments(made) if one.arg != "self"}
    components = {name: classes for name, classes in taken.items() if not classes or _PLAIN.isdisjoint(classes)}
    bases = {name for base in node.bases for name in _names(base)}
    called = {one.arg for one in _arguments(methods["__call__"])} - {"self"}
    needed = _scheduler_calls(node) - set(_GUARDED.findall(source))
    return PipelineAnatomy(
        pipeline=pipeline,
        arguments=frozenset(called),
        defaults=_defaults(methods["__call__"]),
        components=components,
        settings=frozenset(taken.keys() - components.keys()),
        offloads=any(_assigned(one) == "model_cpu_offload_seq" for one in node.body),
        loras=any("LoraLoaderMixin" in base for base in bases),
        scheduler_methods=frozenset(needed),
        schedule=frozenset(_schedule_arguments(methods["__call__"], source)),
    )


@lru_cache(maxsize=64)
def scheduler_anatomy(scheduler: str) -> SchedulerAnatomy | None:
    """What a scheduler class takes; None where the installed diffusers has no such class."""
    found = _class_of("schedulers", scheduler)
    if found is None:
        return None
    methods = {one.name: one for one in found[0].body if isinstance(one, ast.FunctionDef)}
    if not {"set_timesteps", "step"} <= methods.keys():
        return None
    taken = {one.arg for one in _arguments(methods["set_timesteps"])} - {"self"}
    made = {one.arg for one in _arguments(methods["__init__"])} - {"self"} if "__init__" in methods else set()
    return SchedulerAnatomy(frozenset(methods), frozenset(taken), frozenset(made))


@lru_cache(maxsize=64)
def model_has(model: str, what: str) -> bool:
    """Whether a model class has ``tiling`` or ``slicing`` of a VAE, or repeated ``blocks`` that can be compiled."""
    found = _source_of("models", model)
    if found is None:
        return False
    if what == "blocks":
        return _BLOCKS.search(found) is not None
    return f"self.use_{what} = " in found


@lru_cache(maxsize=1)
def attention_backends() -> frozenset[str]:
    """The names of the attention backends that diffusers knows; whether one is installed is seen when it is set."""
    found = _class_of("models", "AttentionBackendName")
    if found is None:
        return frozenset()
    values = (one.value for one in found[0].body if isinstance(one, ast.Assign))
    return frozenset(str(one.value) for one in values if isinstance(one, ast.Constant))


# ---- finding and reading ------------------------------------------------------------------------------------------


def _root() -> Path:
    spec = find_spec("diffusers")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("diffusers is not installed; pip install ancestra-farm brings it")
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=4)
def _places(room: str) -> dict[str, Path]:
    """The file of every class in a part of diffusers (``pipelines``, ``schedulers``, ``models``)."""
    found: dict[str, Path] = {}
    for path in sorted((_root() / room).rglob("*.py")):
        if "deprecated" in path.parts or path.name == "__init__.py":
            continue
        for name in _CLASS.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, path)
    return found


def _source_of(room: str, name: str) -> str | None:
    """The source text of one class."""
    path = _places(room).get(name)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    begin = re.search(rf"^class {name}\b", text, re.MULTILINE)
    if begin is None:
        return None
    end = re.compile(r"^(?:class|def|@)\b", re.MULTILINE).search(text, begin.end())
    return text[begin.start() : end.start() if end else len(text)]


def _class_of(room: str, name: str) -> tuple[ast.ClassDef, str] | None:
    """The syntax tree and the source text of one class."""
    source = _source_of(room, name)
    if source is None:
        return None
    (node,) = (one for one in ast.parse(source).body if isinstance(one, ast.ClassDef))
    return node, source


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _defaults(function: ast.FunctionDef) -> dict[str, object]:
    """The arguments with a constant for a default."""
    places = [*function.args.posonlyargs, *function.args.args]
    values = function.args.defaults
    given = zip(places[len(places) - len(values) :], values, strict=True)
    return {one.arg: value.value for one, value in given if isinstance(value, ast.Constant)}


def _names(node: ast.AST | None) -> tuple[str, ...]:
    """The class names in an annotation such as ``AutoencoderKL | None``."""
    if node is None:
        return ()
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval")
    return tuple(one.id for one in ast.walk(node) if isinstance(one, ast.Name))


def _assigned(node: ast.stmt) -> str | None:
    """The name of a class attribute that is set to something."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
        return None
    empty = isinstance(node.value, ast.Constant) and node.value.value is None
    return None if empty else node.targets[0].id


def _scheduler_calls(node: ast.ClassDef) -> set[str]:
    return {
        one.func.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and _is_own_scheduler(one.func.value)
    }


def _is_own_scheduler(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "scheduler"
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _schedule_arguments(call: ast.FunctionDef, source: str) -> Iterator[str]:
    """The arguments by name of ``retrieve_timesteps``, which hands them on to ``set_timesteps``."""
    for one in ast.walk(call):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "retrieve_timesteps":
            names = {keyword.arg for keyword in one.keywords if keyword.arg}
            if any(keyword.arg is None for keyword in one.keywords) and '"mu": mu' in source:
                names.add("mu")
            yield from names & {"sigmas", "mu"}
