"""Which frozen backbones look at a recording, and how they are run."""

from dataclasses import dataclass
from typing import Literal, get_args

from moonseg_jax.structs import InputError

RFMS = ("sensor", "cut3r", "mini")
SEMANTICS = ("classical", "dinov3", "mini")
MASK_MODELS = ("felzenszwalb", "fastsam", "sam2", "mini")
# By role, those that PyTorch runs; of the rfm's, all are recurrent.
NEURAL = {
    "rfm": ("cut3r", "mini"),
    "semantic": ("dinov3", "mini"),
    "masks": ("fastsam", "sam2", "mini"),
}
# Settings that only these notice: the option, and the roles.
NOTICED_BY = {
    "rfm_weights": ("--rfm-weights", ["rfm"]),
    "semantic_weights": ("--semantic-weights", ["semantic"]),
    "mask_weights": ("--mask-weights", ["masks"]),
    "device": ("--device", list(NEURAL)),
    "dtype": ("--dtype", list(NEURAL)),
    "state_attention": ("--with-state-attention", ["rfm"]),
    "update_rule": ("--update-rule", ["rfm"]),
    "reset_every": ("--reset-every", ["rfm"]),
    "align_poses": ("--align-poses", ["rfm"]),
}
# Frames after which the state starts anew where nobody says: the small CUT3R was trained on 32.
RESET_EVERY = {"mini": 32}
# Whose poses the images correct where nobody says; of CUT3R the weights were not at hand to try.
ALIGNED = ("mini",)
UpdateRule = Literal["cut3r", "ttt3r"]
DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class BridgeConfig:
    """Which backbones look at a recording.

    Attributes:
        rfm: geometry, ``sensor``, ``cut3r`` or ``mini``.
        semantic: ``classical``, ``dinov3`` or ``mini``.
        masks: ``felzenszwalb``, ``fastsam``, ``sam2``, ``mini``, or a folder of label maps.
        rfm_weights: a file or folder; empty: where they are usually kept, or what ships (``mini``).
        semantic_weights: likewise.
        mask_weights: likewise.
        device: ``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes a GPU where there is one.
        dtype: of the neural models' matrix products, ``float32`` or ``bfloat16``; ``auto`` is
            bfloat16 on a GPU.
        state_attention: whether frames carry A, for the state token (Eq. 11).
        update_rule: of CUT3R's state, ``cut3r`` or ``ttt3r`` (holds longer sequences).
        reset_every: frames after which CUT3R's state starts anew, poses chained; 0 = never; None:
            as `RESET_EVERY` has it.
        align_poses: whether CUT3R's poses are corrected by the images (`DirectAlignment`); None: as
            `ALIGNED` has it.
    """

    rfm: str = "sensor"
    semantic: str = "classical"
    masks: str = "felzenszwalb"
    rfm_weights: str = ""
    semantic_weights: str = ""
    mask_weights: str = ""
    device: str = "auto"
    dtype: str = "auto"
    state_attention: bool = False
    update_rule: UpdateRule = "cut3r"
    reset_every: int | None = None
    align_poses: bool | None = None

    def __post_init__(self) -> None:
        _check_choice("rfm", self.rfm, RFMS)
        _check_choice("semantic", self.semantic, SEMANTICS)
        _check_choice("dtype", self.dtype, DTYPES)
        _check_choice("update-rule", self.update_rule, get_args(UpdateRule))
        _check_noticed(self)

    @property
    def resets(self) -> int:
        """``reset_every``, or what is usual for its geometry."""
        return RESET_EVERY.get(self.rfm, 0) if self.reset_every is None else self.reset_every

    @property
    def aligns(self) -> bool:
        """``align_poses``, or what is usual for its geometry."""
        return self.rfm in ALIGNED if self.align_poses is None else self.align_poses

    @property
    def neural(self) -> set[str]:
        """Those of its backbones that PyTorch runs."""
        chosen = ((getattr(self, role), models) for role, models in NEURAL.items())
        return {name for name, models in chosen if name in models}


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"--{option}={value} is unknown: use {' or '.join(choices)}.")


def _check_noticed(config: BridgeConfig) -> None:
    """Refuses a setting that would go unnoticed; what is no model runs on the CPU anyway."""
    for name, (option, roles) in NOTICED_BY.items():
        value = getattr(config, name)
        given = value not in (getattr(BridgeConfig, name), "cpu")
        if given and all(getattr(config, role) not in NEURAL[role] for role in roles):
            models = ", ".join(f"--{role}={'|'.join(NEURAL[role])}" for role in roles)
            raise InputError(
                f"{option} would change nothing, as it is for {models}: leave it out, or choose"
                " one of these."
            )
