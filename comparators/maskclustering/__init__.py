"""MaskClustering: after the last frame, 2D masks cluster by the views that agree on them.

Method: Yan et al., "MaskClustering: View Consensus based Mask Graph Clustering for Open-Vocabulary
3D Instance Segmentation", CVPR 2024, arXiv 2401.07745; read:
github.com/PKU-EPIC/MaskClustering at eb2d41c (``graph/``, ``utils/``, ``configs/scannet.json``).
Offline, on a finished reconstruction: here the voxel cloud of all frames of the cache.
"""

from comparators.maskclustering.config import MaskClusteringConfig
from comparators.maskclustering.fusion import MaskClustering
from comparators.results import ComparedScene
from comparators.run import FrameReader, run_with_cloud

__all__ = ["MaskClustering", "MaskClusteringConfig", "segment"]

PUBLISHED = MaskClusteringConfig()


def segment(reader: FrameReader, config: MaskClusteringConfig = PUBLISHED) -> ComparedScene:
    """Segments a cache with MaskClustering."""
    return run_with_cloud(
        reader, config.voxel, lambda points, colors: MaskClustering(points, colors, config)
    )
