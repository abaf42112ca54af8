"""Kinds of pipelines that make stills."""

from ancestra_farm.models.diffusion.kinds import PipelineKind

IMAGE_KINDS: tuple[PipelineKind, ...] = ()
