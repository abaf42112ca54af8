"""Kinds of pipelines that make clips, of every family. Each family's module says what its pipelines really do.

Of those that don't batch: WanVACEPipeline refuses lists of generators, even of one; the ControlNets of AnimateDiff take
the control frames of one clip. WanImageToVideoPipeline batches candidates of the same frames only.
"""

from ancestra_farm.models.diffusion.cogvideo_kinds import COGVIDEO_KINDS
from ancestra_farm.models.diffusion.hunyuan_kinds import HUNYUAN_KINDS
from ancestra_farm.models.diffusion.kinds import PipelineKind
from ancestra_farm.models.diffusion.ltx_kinds import LTX_KINDS
from ancestra_farm.models.diffusion.unet_kinds import UNET_KINDS
from ancestra_farm.models.diffusion.wan_kinds import WAN_KINDS

VIDEO_KINDS: tuple[PipelineKind, ...] = (*WAN_KINDS, *LTX_KINDS, *COGVIDEO_KINDS, *HUNYUAN_KINDS, *UNET_KINDS)
