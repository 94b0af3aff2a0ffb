"""OnlineAnySeg: 2D masks as sets of hashed voxels, merged online where they contain each other.

Method: Tang et al., "OnlineAnySeg: Online Zero-Shot 3D Segmentation by Visual Foundation Model
Guided 2D Mask Merging", CVPR 2025, arXiv 2503.01309; read: github.com/yutian929/OnlineAnySeg at
b8dd075 (``Scene_rep.py``, ``MaskGraph.py``, ``voxelized_points.py``,
``config/scannet_cropformer.yaml``).
On a cache with predicted geometry it is the monocular variant: it takes the points as they are.

Different from the public code: F2d of the cache stands for its CLIP embeddings and F3d for its
trained point features (FCGF), which follow a merge as the weighted mean; the surface is a voxel
cloud instead of a TSDF.
"""

from comparators.onlineanyseg.config import OnlineAnySegConfig
from comparators.onlineanyseg.fusion import OnlineAnySeg
from comparators.results import ComparedScene
from comparators.run import FrameReader, run_fusion

__all__ = ["OnlineAnySeg", "OnlineAnySegConfig", "segment"]

PUBLISHED = OnlineAnySegConfig()


def segment(reader: FrameReader, config: OnlineAnySegConfig = PUBLISHED) -> ComparedScene:
    """Segments a cache with OnlineAnySeg."""
    return run_fusion(reader, OnlineAnySeg(config))
