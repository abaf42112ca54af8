"""Material on a node with room made for it: the cache that guides and looks share with weights."""

import logging
from functools import partial

from ancestra_farm.ledger.materials import FOLDER, NodeMaterials
from ancestra_farm.ledger.store import Store
from ancestra_farm.models.diffusion.room import make_room_for_material
from ancestra_farm.models.diffusion.weights import cache_folder

_log = logging.getLogger(__name__)


def node_materials(store: Store) -> NodeMaterials:
    """The material of a store as files on this node; what was not used for longest makes way for what is fetched."""
    cache = cache_folder()
    return NodeMaterials(store, cache / FOLDER, partial(make_room_for_material, cache, say=_log.info))
