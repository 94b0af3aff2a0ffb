"""The defaults of every experiment; a file under ``configs/`` changes what it studies.

Decisions D1-D19 (where the paper is silent) are fields here, each with the default and what else
it can be; `docs/conventions.md` explains them. D1 and D2 describe what a cache holds and live in
its provenance. The ConfigDict is locked and typed: an unknown field or a value of the wrong type
is an error.
"""

from ml_collections import ConfigDict

from moonseg_jax.structs.errors import InputError

CHOICES = {
    "model.feature_norm": ("per_source", "joint", "none"),
    "model.sources": ("both", "3d", "2d"),
    "model.positional_encoding": ("none", "sincos"),
    "model.seg_logits": ("dot", "cosine"),
    "model.xseg_logits": ("dot", "cosine"),
    "loss.dist_reduction": ("mean", "sum"),
    "memory.gradient": ("through", "stop"),
    "online.merge_rule": ("components", "greedy"),
    "online.assignment": ("count", "score"),
    "train.dtype": ("float32", "bfloat16"),
}
TERMS = ("query", "state", "box", "view")
# Of queries that are plain features, by the names of geometry and semantics: where to merge, where
# to match. Chosen, as those of the trained rows, on held-out procedural rooms.
FEATURES_ONLY = {("sensor", "classical"): (0.89, 1.4), ("mini", "mini"): (0.96, 1.0)}


def default_config() -> ConfigDict:
    """The paper's settings, for any backbone family."""
    config = ConfigDict(
        {
            "seed": 0,
            "model": model_config(),
            "loss": loss_config(),
            "memory": memory_config(),
            "online": online_config(),
            "data": data_config(),
            "optimizer": optimizer_config(),
            "train": train_config(),
        }
    )
    return config.lock()


def check_choices(config: ConfigDict) -> None:
    """Refuses a word that no code knows.

    Raises:
        InputError: naming the field and what it can be.
    """
    for name, choices in CHOICES.items():
        group, field = name.split(".")
        if config[group][field] not in choices:
            raise InputError(
                f"config field {name} is {config[group][field]!r}: it can be {', '.join(choices)}"
            )
    if not set(config.online.terms.split(",")) <= set(TERMS):
        terms = config.online.terms
        raise InputError(f"config field online.terms is {terms!r}: it holds {', '.join(TERMS)}")


def features_only_config(backbones: tuple[str, str] = ("sensor", "classical")) -> ConfigDict:
    """The baseline without trained parameters: queries are mean-pooled features.

    Args:
        backbones: names of geometry and semantics; the thresholds of others are the classical ones.
    """
    config = default_config()
    config.model.context = False
    config.model.refine_layers = 0
    config.online.terms = "query,view"
    merge, match = FEATURES_ONLY.get(backbones, FEATURES_ONLY["sensor", "classical"])
    config.online.merge_threshold, config.online.match_threshold = merge, match
    return config


def model_config() -> ConfigDict:
    """η, φ and ψ."""
    return ConfigDict(
        {
            "min_coverage": 0.5,  # D3: a mask sees patches covered by more than this, or its best.
            "feature_norm": "per_source",  # D4: "per_source" LayerNorm, "joint", or "none".
            "sources": "both",  # "both", "3d" or "2d": rows 1-3 of the paper's ablation.
            "width": 256,  # D5: d.
            "heads": 8,  # D5
            "feed_forward": 1024,  # D5
            "eta_layers": 2,  # D5
            "psi_layers": 3,  # D5
            "refine_layers": 3,  # Layers of φ; 0 leaves the prototypes as they are.
            "positional_encoding": "none",  # D6: "none" or "sincos" (2-D, on the patch grid).
            "seg_logits": "dot",  # D7: of Eq. 5, "dot" or "cosine".
            "xseg_logits": "cosine",  # D7: of Eq. 10; "dot" as printed falls apart over time.
            "context": True,  # Cross-attention to Q_ctx; False is "without memory".
        }
    )


def loss_config() -> ConfigDict:
    """Weights of Eq. 5, 6 and 10."""
    return ConfigDict(
        {
            "seg": 1.0,
            "dist": 0.1,
            "xseg": 0.5,
            "merge": 0.0,  # Not in the paper: queries of one object in a frame, see `merge_loss`.
            "dist_reduction": "mean",  # D8: "mean" over p², or "sum" as the formula is printed.
            "target_stride": 4,  # L_seg compares at this stride of the image.
        }
    )


def memory_config() -> ConfigDict:
    """The Query Index Memory."""
    return ConfigDict(
        {
            "gradient": "through",  # D10: "through" the in-clip memory, or "stop".
            "row_capacity": 512,  # First capacity of the bank; doubles when full.
            "key_capacity": 65536,  # The same of the key table; a power of two.
            "voxel": 0.05,  # D16: one key per (voxel, row); side in scene units.
            "occlusion": 0.0,  # D18: keys deeper than the surface by more are hidden; 0 = off.
        }
    )


def online_config() -> ConfigDict:
    """Merging, matching and export."""
    return ConfigDict(
        {
            "merge_threshold": 0.8,
            "merge_rule": "components",  # D12: "components" or "greedy" pairs, best first.
            "match_threshold": 1.8,  # For three terms: D11 scales it by the number in use / 3.
            "assignment": "score",  # D19: "score", most E above threshold, or "count", most pairs.
            "terms": "query,state,box",  # D11: terms of Eq. 12; "state" drops out without A.
            "box_margin": 0.02,  # Added to boxes before IoU so that flat ones have a volume.
            "box_sigma": 2.5,  # Boxes end at mean ± this many deviations (flying pixels); 0 = off.
            "min_observations": 2,  # D14: export drops instances seen in fewer frames.
        }
    )


def data_config() -> ConfigDict:
    """Clips from caches."""
    return ConfigDict(
        {
            "clip_frames": 16,
            "batch_clips": 16,
            "max_masks": 64,  # Surplus masks are dropped smallest first, and counted.
            "read_threads": 16,
            "prefetch_batches": 2,
        }
    )


def optimizer_config() -> ConfigDict:
    """AdamW with a cosine schedule."""
    return ConfigDict(
        {
            "learning_rate": 1e-4,
            "final_learning_rate": 1e-5,
            "warmup_steps": 0,
            "weight_decay": 0.01,
            "b1": 0.9,
            "b2": 0.999,
            "clip_norm": 0.0,  # Global gradient norm; 0 = off.
        }
    )


def train_config() -> ConfigDict:
    """The training loop."""
    return ConfigDict(
        {
            "epochs": 100,
            "steps": 0,  # Overrides epochs where > 0.
            "dtype": "float32",  # Of activations: "float32" or "bfloat16".
            "cut_masks": 0.0,  # Share of masks shown in two parts, each to predict the whole.
            "feature_noise": 0.0,  # Relative deviation of `jitter_features`; 0 = paper.
            "log_every": 10,
            "checkpoint_every": 200,
            "members_at_once": 0,  # Of a sweep, on a device; 0 = as many as its memory holds.
            "eval_fraction": 0.0,  # Share of scenes held out; their loss picks the best.
        }
    )
