"""Which frozen backbones look at a recording, and how they are run."""

from dataclasses import dataclass
from typing import Literal, get_args

from moonseg_jax.structs import InputError

RFMS = ("sensor", "cut3r")
SEMANTICS = ("classical", "dinov3")
MASK_MODELS = ("felzenszwalb", "fastsam", "sam2")
NEURAL = {"cut3r", "dinov3", "fastsam", "sam2"}
COMING = ("mini",)
# Settings that only models notice: the option, and the models.
NOTICED_BY = {
    "rfm_weights": ("--rfm-weights", {"cut3r"}),
    "semantic_weights": ("--semantic-weights", {"dinov3"}),
    "mask_weights": ("--mask-weights", {"fastsam", "sam2"}),
    "device": ("--device", NEURAL),
    "dtype": ("--dtype", NEURAL),
    "state_attention": ("--with-state-attention", {"cut3r"}),
    "update_rule": ("--update-rule", {"cut3r"}),
    "reset_every": ("--reset-every", {"cut3r"}),
}
UpdateRule = Literal["cut3r", "ttt3r"]
DTYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class BridgeConfig:
    """Which backbones look at a recording.

    Attributes:
        rfm: geometry, ``sensor`` or ``cut3r``.
        semantic: ``classical`` or ``dinov3``.
        masks: ``felzenszwalb``, ``fastsam``, ``sam2``, or a folder of label maps.
        rfm_weights: a file or folder; empty: where they are usually kept.
        semantic_weights: likewise.
        mask_weights: likewise.
        device: ``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes a GPU where there is one.
        dtype: of the neural models' matrix products, ``float32`` or ``bfloat16``; ``auto`` is
            bfloat16 on a GPU.
        state_attention: whether frames carry A, for the state token (Eq. 11).
        update_rule: of CUT3R's state, ``cut3r`` or ``ttt3r`` (holds longer sequences).
        reset_every: frames after which CUT3R's state starts anew, poses chained; 0 = never.
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
    reset_every: int = 0

    def __post_init__(self) -> None:
        _check_choice("rfm", self.rfm, RFMS)
        _check_choice("semantic", self.semantic, SEMANTICS)
        _check_choice("dtype", self.dtype, DTYPES)
        _check_choice("update-rule", self.update_rule, get_args(UpdateRule))
        _check_noticed(self)

    @property
    def neural(self) -> set[str]:
        """Those of its backbones that PyTorch runs."""
        return {self.rfm, self.semantic, self.masks} & NEURAL


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        state = "not installed in this version" if value in COMING else "unknown"
        raise InputError(f"--{option}={value} is {state}: use {' or '.join(choices)}.")


def _check_noticed(config: BridgeConfig) -> None:
    """Refuses a setting that would go unnoticed; what is no model runs on the CPU anyway."""
    for name, (option, models) in NOTICED_BY.items():
        value = getattr(config, name)
        given = value not in (getattr(BridgeConfig, name), "cpu")
        if given and not models & config.neural:
            raise InputError(
                f"{option} would change nothing, as it is for {', '.join(sorted(models))} and none"
                " of these is used: leave it out, or choose one."
            )
