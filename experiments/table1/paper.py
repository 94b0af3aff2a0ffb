"""Table 1 of the paper, for the column beside ours.

Source: arXiv 2512.15577, Table 1, by way of two transcriptions of it, which agree where both have a
figure; of MaskClustering and of SceneNN's AP50 and AP25 there was one only. All but OnlineAnySeg-M
and MoonSeg3R were given measured depth and poses there; OnlineAnySeg-M is OnlineAnySeg on CUT3R's.
"""

from dataclasses import dataclass

from moonseg_jax.eval import PROTOCOLS


@dataclass(frozen=True)
class PaperRow:
    """AP, AP50, AP25 in percent by protocol, and milliseconds of mask fusion a frame."""

    figures: dict[str, tuple[float, ...]]
    milliseconds: float | None = None


def _row(scannet200: tuple, scenenn: tuple, milliseconds: float | None = None) -> PaperRow:
    return PaperRow({"scannet200": scannet200, "scenenn": scenenn}, milliseconds)


PAPER = {
    "EmbodiedSAM": _row((28.8, 42.7, 54.2), (20.1, 32.5, 46.3), 80),
    "SAM3D": _row((9.6, 24.8, 49.6), (9.1, 21.3, 43.4), 125),
    "OVIR-3D": _row((14.4, 27.5, 38.8), (12.3, 24.4, 34.6)),
    "MaskClustering": _row((19.7, 36.4, 51.4), (16.3, 31.7, 46.2)),
    "OnlineAnySeg": _row((18.6, 36.1, 53.5), (18.1, 35.3, 59.5), 3000),
    "OnlineAnySeg-M": _row((13.4, 26.8, 43.2), (13.2, 28.7, 51.2), 3000),
    "ours, trained core": PaperRow(
        {
            name: tuple(round(100 * ap, 1) for ap in protocol.paper.values())
            for name, protocol in PROTOCOLS.items()
            if protocol.paper
        },
        55,
    ),
}
