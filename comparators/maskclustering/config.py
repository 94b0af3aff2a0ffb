"""Settings of MaskClustering."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskClusteringConfig:
    """The published settings (``configs/scannet.json`` and constants in the code).

    Attributes:
        voxel: metres; of the reconstruction, which is given and not the method's.
        radius: metres; points of the scene this near a mask's points belong to it, and the side of
            the voxels that thin those out.
        min_points: smaller masks are dropped.
        min_coverage: share of a mask's points near the scene, or it is dropped.
        denoise_radius: metres; parts of a mask that hang together.
        denoise_share: smaller parts are dropped.
        visible_share, visible_points: a mask is visible in a frame when either is reached.
        contained: a mask lies in another frame's mask with at least this share of what is visible.
        undersegment: share of the frames that split a mask, above which it is dropped.
        consensus: supporters over observers, to connect two nodes.
        split_radius: metres; a cluster's parts become objects of their own.
        detection: a point stays when in more than this share of the object's frames that see it.
        duplicate: an object is dropped when another holds more than this share of it.
        reach: metres; from the scene to a labelled point.
    """

    voxel: float = 0.025
    radius: float = 0.03
    min_points: int = 25
    min_coverage: float = 0.3
    denoise_radius: float = 0.04
    denoise_share: float = 0.2
    visible_share: float = 0.3
    visible_points: int = 500
    contained: float = 0.8
    undersegment: float = 0.3
    consensus: float = 0.9
    split_radius: float = 0.1
    detection: float = 0.5
    duplicate: float = 0.8
    reach: float = 0.05
