"""The weights that the bridges know: what they are called, who gives them out, on what terms.

Names, places and licences are those that the projects themselves publish.
"""

from dataclasses import dataclass

CUT3R_PAGE = "https://github.com/CUT3R/CUT3R"
DINOV3_PAGE = "https://ai.meta.com/resources/models-and-libraries/dinov3-downloads"
FASTSAM_PAGE = "https://docs.ultralytics.com/models/fast-sam"
SAM2_PAGE = "https://github.com/facebookresearch/sam2"

CUT3R_LICENCE = "CC BY-NC-SA 4.0: no commercial use"
DINOV3_LICENCE = "the DINOv3 License: gated, accept it on the page first"
FASTSAM_LICENCE = "AGPL-3.0"
SAM2_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class KnownWeights:
    """Weights that a user can get.

    Attributes:
        kind: what they are for, as on the command line: ``cut3r``, ``dinov3``, ``fastsam``,
            ``sam2``.
        name: what to call them here.
        file: name of the file as it is given out; empty where there is only a hub folder.
        hub_id: as `transformers` loads them; empty where it does not.
        page: of the project that gives them out.
        licence: in words.
    """

    kind: str
    name: str
    file: str
    hub_id: str
    page: str
    licence: str

    @property
    def download(self) -> str:
        """What to get and where, with the licence."""
        names = [name for name in (self.file, self.hub_id and f"hub id {self.hub_id}") if name]
        return f"{' or '.join(names)} from {self.page} (licence: {self.licence})"


def _cut3r(file: str) -> KnownWeights:
    return KnownWeights("cut3r", file, f"{file}.pth", "", CUT3R_PAGE, CUT3R_LICENCE)


def _dinov3(size: str, sha256_start: str) -> KnownWeights:
    return KnownWeights(
        kind="dinov3",
        name=f"dinov3_vit{size}",
        file=f"dinov3_vit{size}_pretrain_lvd1689m-{sha256_start}.pth",
        hub_id=f"facebook/dinov3-vit{size}-pretrain-lvd1689m",
        page=DINOV3_PAGE,
        licence=DINOV3_LICENCE,
    )


def _fastsam(size: str) -> KnownWeights:
    name = f"FastSAM-{size}"
    return KnownWeights("fastsam", name, f"{name}.pt", "", FASTSAM_PAGE, FASTSAM_LICENCE)


def _sam2(size: str) -> KnownWeights:
    name = f"sam2.1-hiera-{size}"
    return KnownWeights("sam2", name, "", f"facebook/{name}", SAM2_PAGE, SAM2_LICENCE)


KNOWN = (
    _cut3r("cut3r_512_dpt_4_64"),
    _cut3r("cut3r_224_linear_4"),
    _dinov3("l16", "8aa4cbdd"),
    _dinov3("b16", "73cec8be"),
    _dinov3("s16", "08c60483"),
    _dinov3("h16plus", "7c1da9a5"),
    _fastsam("x"),
    _fastsam("s"),
    _sam2("large"),
    _sam2("base-plus"),
    _sam2("small"),
    _sam2("tiny"),
)
"""Of each kind, the first is what is taken where a user names none and several are found."""

CROPFORMER = (
    "not run here: its own code makes the folder of label maps for --masks=DIR; from"
    " https://github.com/qqlu/Entity (licence: CC BY-NC: no commercial use)"
)
"""Where a user gets CropFormer's masks, in words."""
