"""Kinds of pipelines that make clips."""

from ancestra_farm.models.diffusion.kinds import PipelineKind

VIDEO_KINDS: tuple[PipelineKind, ...] = ()
