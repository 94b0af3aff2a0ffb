"""The trainable core η, φ, ψ, and the baseline that has nothing to train. One frame at a time."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx, struct
from ml_collections import ConfigDict

from moonseg_jax.models.coverage import attended_patches
from moonseg_jax.models.layers import Projection, Read, RefineLayer, norm
from moonseg_jax.models.tokens import fuse_features, sincos_positions, token_width


@struct.dataclass
class Sight:
    """What refinement takes from a frame alone, whatever is in memory.

    Attributes:
        queries: ``[q d]``, after the first layer has looked at the patches.
        attended: ``[q p]`` bool, the patches each query sees.
        patches: keys and values of the tokens, for every layer but the first.
    """

    queries: jax.Array
    attended: jax.Array
    patches: tuple[Read, ...]


class Core(nnx.Module):
    """Masks and frozen features in, refined 3D queries out (Eq. 1-4); batch by ``vmap``.

    Queries are in ``param_dtype`` throughout; tokens and reference features in ``dtype``. φ ends
    with a LayerNorm, as pre-norm decoders do (the paper is silent): the queries of the bank,
    which later frames attend to and compare with, are then of one scale. Its gain starts at
    d^(-1/4): the dot product of two queries, the logit of Eq. 10, then starts within ±√d instead
    of ±d, where the loss would saturate.

    Args:
        config: `moonseg_jax.config.model_config`.
        c3: channels of the geometric features.
        c2: channels of the semantic features.
        rngs: of the initialisation.
        dtype: of the activations.
        param_dtype: of the parameters.
    """

    def __init__(
        self,
        config: ConfigDict,
        c3: int,
        c2: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
        param_dtype: Any = jnp.float32,
    ):
        kinds: dict[str, Any] = {"rngs": rngs, "dtype": dtype, "param_dtype": param_dtype}
        c, d = token_width(c3, c2, config.sources), config.width
        self.dtype, self.param_dtype = jnp.dtype(dtype), jnp.dtype(param_dtype)
        self.width = d
        self.sources, self.feature_norm = config.sources, config.feature_norm
        self.min_coverage = config.min_coverage
        self.positional_encoding = config.positional_encoding
        self.seg_logits, self.xseg_logits = config.seg_logits, config.xseg_logits
        self.context = bool(config.context and config.refine_layers)
        # One linear map for both at first: the logit of a patch is then its likeness to the mask's.
        shared = rngs.params()
        self.eta = Projection([c] + [d] * config.eta_layers, shared, **kinds)
        self.psi = Projection([c] + [d] * config.psi_layers, shared, **kinds)
        self.phi = nnx.List(
            RefineLayer(d, c, config.heads, config.feed_forward, config.context, **kinds)
            for _ in range(config.refine_layers)
        )
        if config.refine_layers:
            self.phi_norm = norm(d, rngs, param_dtype, gain=d**-0.25)

    def tokens(self, features_3d: jax.Array, features_2d: jax.Array) -> jax.Array:
        """Patch tokens F (Eq. 1): ``[h w c3]``, ``[h w c2]`` -> ``[p c]``, normalised as in D4."""
        f3, f2 = features_3d.astype(self.param_dtype), features_2d.astype(self.param_dtype)
        return fuse_features(f3, f2, self.sources, self.feature_norm).astype(self.dtype)

    def prototypes(self, tokens: jax.Array, coverage: jax.Array) -> jax.Array:
        """First queries (Eq. 2): ``q_i = η(Σ_p m_ip F_p / Σ_p m_ip)``.

        Args:
            tokens: ``[p c]``.
            coverage: ``[q p]`` in 0..1.

        Returns:
            ``[q d]``; finite for a mask without any pixel.
        """
        return self.eta(mean_tokens(tokens, coverage)).astype(self.param_dtype)

    def refine(
        self,
        queries: jax.Array,
        tokens: jax.Array,
        coverage: jax.Array,
        valid: jax.Array,
        context: jax.Array,
        context_valid: jax.Array,
        grid: tuple[int, int],
        piece: int | None = None,
    ) -> jax.Array:
        """Refined queries ``q' = φ(q, F, M, Q_ctx)`` (Eq. 3, 4).

        Args:
            queries: ``[q d]``, the prototypes.
            tokens: ``[p c]``.
            coverage: ``[q p]`` in 0..1.
            valid: ``[q]`` bool; the others are seen by nobody.
            context: ``[n d]``, rows of the query bank.
            context_valid: ``[n]`` bool, the rows visible from this view; with none, the
                cross-attention to context is an exact identity.
            grid: ``(h, w)``.
            piece: rows of context to attend to together, as `Attention` takes it.

        Returns:
            ``[q d]``; meaningless but finite where not valid.
        """
        sight = self.look(queries, tokens, coverage, grid)
        contexts = [context] * len(self.phi)
        return self.recall(sight, valid, contexts, context_valid, piece)

    def look(
        self, queries: jax.Array, tokens: jax.Array, coverage: jax.Array, grid: tuple[int, int]
    ) -> Sight:
        """The part of `refine` that needs no context, so that a clip's frames can go together.

        Args:
            queries: ``[q d]``, the prototypes.
            tokens: ``[p c]``.
            coverage: ``[q p]`` in 0..1.
            grid: ``(h, w)``.
        """
        attended = attended_patches(coverage, self.min_coverage)
        if self.positional_encoding == "sincos":
            tokens = tokens + sincos_positions(grid, tokens.shape[-1], tokens.dtype)
        first, later = self.phi[:1], self.phi[1:]
        for layer in first:
            queries = layer.look(queries, tokens, attended)
        patches = tuple(layer.patch_attention.read(tokens) for layer in later)
        return Sight(queries, attended, patches)

    def remember(self, queries: jax.Array) -> tuple[Read | None, ...]:
        """What each layer's cross-attention to context reads of refined queries ``[n d]``."""
        return tuple(
            layer.context_attention.read(queries) if self.context else None for layer in self.phi
        )

    def recall(
        self,
        sight: Sight,
        valid: jax.Array,
        contexts: Sequence[jax.Array | Read | None],
        context_valid: jax.Array,
        piece: int | None = None,
    ) -> jax.Array:
        """The rest of `refine`.

        Args:
            sight: of the frame, as `look` gives it.
            valid: ``[q]`` bool.
            contexts: for each layer, ``[n d]`` or what `remember` made of it.
            context_valid: ``[n]`` bool.
            piece: as in `refine`.

        Returns:
            ``[q d]``.
        """
        queries = sight.queries
        for index, (layer, context) in enumerate(zip(self.phi, contexts, strict=True)):
            if index:
                queries = layer.look(queries, sight.patches[index - 1], sight.attended)
            queries = layer.relate(queries, valid, context, context_valid, piece)
        return self.phi_norm(queries) if self.phi else queries

    def reference(self, tokens: jax.Array) -> jax.Array:
        """Reference features ``ψ(F)``: ``[p c]`` -> ``[p d]``."""
        return self.psi(tokens)


class FeatureCore(nnx.Module):
    """The baseline with nothing to train: a query is its mask's mean token (d = c), as it is.

    Args:
        config: `moonseg_jax.config.model_config`; sources, norm and logits are used.
        c3: channels of the geometric features.
        c2: channels of the semantic features.
        dtype: of everything.
    """

    def __init__(self, config: ConfigDict, c3: int, c2: int, *, dtype: Any = jnp.float32):
        self.dtype = jnp.dtype(dtype)
        self.width = token_width(c3, c2, config.sources)
        self.sources, self.feature_norm = config.sources, config.feature_norm
        self.min_coverage = config.min_coverage
        self.seg_logits, self.xseg_logits = config.seg_logits, config.xseg_logits
        self.context = False

    def tokens(self, features_3d: jax.Array, features_2d: jax.Array) -> jax.Array:
        """As `Core.tokens`."""
        f3, f2 = features_3d.astype(self.dtype), features_2d.astype(self.dtype)
        return fuse_features(f3, f2, self.sources, self.feature_norm)

    def prototypes(self, tokens: jax.Array, coverage: jax.Array) -> jax.Array:
        """``[p c]``, ``[q p]`` -> ``[q c]``: Eq. 2 without η."""
        return mean_tokens(tokens, coverage)

    def refine(
        self,
        queries: jax.Array,
        tokens: jax.Array,
        coverage: jax.Array,
        valid: jax.Array,
        context: jax.Array,
        context_valid: jax.Array,
        grid: tuple[int, int],
        piece: int | None = None,
    ) -> jax.Array:
        """The queries, untouched."""
        del tokens, coverage, valid, context, context_valid, grid, piece
        return queries

    def look(
        self, queries: jax.Array, tokens: jax.Array, coverage: jax.Array, grid: tuple[int, int]
    ) -> Sight:
        """The queries, untouched."""
        del tokens, grid
        return Sight(queries, attended_patches(coverage, self.min_coverage), ())

    def remember(self, queries: jax.Array) -> tuple[()]:
        """Nothing."""
        del queries
        return ()

    def recall(
        self,
        sight: Sight,
        valid: jax.Array,
        contexts: Sequence[jax.Array | Read | None],
        context_valid: jax.Array,
        piece: int | None = None,
    ) -> jax.Array:
        """The queries, untouched."""
        del valid, contexts, context_valid, piece
        return sight.queries

    def reference(self, tokens: jax.Array) -> jax.Array:
        """The tokens, untouched."""
        return tokens


def mean_tokens(tokens: jax.Array, coverage: jax.Array) -> jax.Array:
    """Coverage-weighted mean token of each mask: ``[q c]``, zero for a mask without any pixel."""
    exact = jnp.promote_types(tokens.dtype, jnp.float32)
    weighted = jnp.einsum(
        "qp,pc->qc", coverage.astype(tokens.dtype), tokens, preferred_element_type=exact
    )
    total = jnp.sum(coverage.astype(exact), axis=-1, keepdims=True)
    return weighted / jnp.where(total > 0, total, 1.0)


def split_core(core: Core | FeatureCore) -> tuple[Any, Any]:
    """Splits a core once, outside the loop, into its structure and its parameters.

    Returns:
        ``(graphdef, params)``: static and hashable, and a pytree. Inside jit,
        ``nnx.merge(graphdef, params)`` gives the core back.
    """
    return nnx.split(core)
