"""A pipeline from several places: a base, and parts such as a motion adapter or a ControlNet, seen as one folder.

The folder holds an index and links; nothing is copied. Its name is made from what it links, so it is made once and is
right for as long as it exists.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from ancestra_farm.models.diffusion.anatomy import PipelineAnatomy
from ancestra_farm.models.diffusion.layout import INDEX, WeightsRefused
from ancestra_farm.models.diffusion.layout import parts_of as parts_in


def compose(anatomy: PipelineAnatomy, base: Path, parts: Mapping[str, Path], cache: Path) -> Path:
    """The folder of a pipeline whose ``parts`` come from folders of their own and all else from ``base``.

    Whatever else the base has, and the pipeline is not made of, is left out. Raises OSError where the cache
    cannot be written, `WeightsRefused` for a part that does not say what it is.
    """
    components = anatomy.components
    inside = {name: made for name, made in parts_in(base / INDEX).items() if name in components and name not in parts}
    index: dict[str, object] = {"_class_name": anatomy.pipeline}
    said = json.loads((base / INDEX).read_text(encoding="utf-8"))
    index |= {name: said[name] for name in anatomy.settings if name in said}
    index |= {name: list(made) for name, made in inside.items()}
    index |= {name: ["diffusers", _class_of(folder)] for name, folder in parts.items()}
    index |= {name: [None, None] for name in components if name not in index}
    links = {name: str((base / name).resolve()) for name in inside}
    links |= {name: str(folder.resolve()) for name, folder in parts.items()}
    text = json.dumps(index, indent=2, sort_keys=True)
    name = hashlib.sha256((text + json.dumps(links, sort_keys=True)).encode()).hexdigest()[:32]
    target = cache / "composed" / name
    if not target.is_dir():
        making = cache / "composed" / f".tmp-{uuid4().hex}"
        making.mkdir(parents=True)
        for part, folder in links.items():
            (making / part).symlink_to(folder, target_is_directory=True)
        (making / INDEX).write_text(text, encoding="utf-8")
        try:
            making.rename(target)
        except OSError:
            shutil.rmtree(making)
            if not target.is_dir():  # else another process was first, with the same
                raise
    return target


def _class_of(folder: Path) -> str:
    """The class that a part says it is."""
    try:
        name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str):
        raise WeightsRefused(f"{folder}: it has no config.json that says what part of a pipeline it is")
    return name
