"""Settings of OnlineAnySeg."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OnlineAnySegConfig:
    """The published settings (``config/scannet_cropformer.yaml`` and defaults in the code).

    Attributes:
        voxel: metres.
        radius: metres; voxels this near a mask's points belong to it.
        min_share: smaller masks are dropped: 400 pixels of 640×480.
        min_points: after denoising, masks of fewer points or voxels are dropped.
        min_voxels: without the voxels that masks of a frame share, smaller ones are dropped.
        visible_share, visible_voxels: a mask counts as visible in another's frames when either is
            exceeded.
        min_contain: smaller containing ratios count as none.
        merge_overlap: both containing ratios of two masks of one object.
        similarity: sum of overlap, semantic and geometric similarity of two masks of one object.
        least_semantic: cosine that counts as no semantic similarity.
        containing, contained: a mask supports that two belong together when it contains more than
            ``containing`` of each, and each contains more than ``contained`` of it.
        supporters: weight of the supporters that suffices.
        absorb: masks are swallowed by one that contains this share of them.
        absorb_rounds: at most so many times in a row.
        merge_every: frames.
        forget_after: frames after which a mask that never merged is removed.
        min_weight: an instance has at least so many masks, fewer after few merges.
        split_radius: metres; of an instance only the largest part connected like this stays.
        min_instance: voxels of a surface; the code asks for 200 points of an extracted surface,
            which has about two a voxel.
        reach: metres; from the surface's voxel to a labelled point.
    """

    voxel: float = 0.025
    radius: float = 0.03
    min_share: float = 400 / (640 * 480)
    min_points: int = 20
    min_voxels: int = 50
    visible_share: float = 0.2
    visible_voxels: int = 500
    min_contain: float = 0.025
    merge_overlap: float = 0.4
    similarity: float = 2.3
    least_semantic: float = 0.6
    containing: float = 0.8
    contained: float = 0.3
    supporters: float = 5.0
    absorb: float = 0.8
    absorb_rounds: int = 10
    merge_every: int = 5
    forget_after: int = 20
    min_weight: int = 5
    split_radius: float = 0.1
    min_instance: int = 100
    reach: float = 0.05
