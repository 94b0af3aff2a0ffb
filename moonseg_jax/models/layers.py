"""The building blocks of η, φ and ψ. LayerNorm and softmax never run below float32.

Every residual branch starts at zero.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from moonseg_jax.models.tokens import NORM_EPS


class Projection(nnx.Module):
    """An MLP beside a linear map that starts out keeping angles (deviation: the paper's is an MLP).

    Untrained it is the linear map alone, with orthonormal rows or columns: cosine similarities of
    what goes in are kept where the width suffices. Training then sets out from the frozen features,
    not from a shuffle of them.

    Args:
        widths: as for `Mlp`.
        key: of the linear map; two projections of one key start as one.
        rngs: of the MLP.
        dtype: of the activations.
        param_dtype: of the parameters.
    """

    def __init__(
        self,
        widths: list[int],
        key: jax.Array,
        *,
        rngs: nnx.Rngs,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
    ):
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype}
        self.linear = nnx.Linear(
            widths[0],
            widths[-1],
            use_bias=False,
            kernel_init=nnx.initializers.orthogonal(),
            rngs=nnx.Rngs(key),
            **kinds,
        )
        self.mlp = Mlp(widths, rngs=rngs, **kinds)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[*b widths[0]]`` to ``[*b widths[-1]]``."""
        return self.linear(x) + self.mlp(x)


class Mlp(nnx.Module):
    """Linear layers with GELU (the exact one) between them; the last starts at zero.

    Args:
        widths: channels of the input, of every hidden layer, and of the output.
        rngs: of the initialisation.
        dtype: of the activations.
        param_dtype: of the parameters.
    """

    def __init__(
        self,
        widths: list[int],
        *,
        rngs: nnx.Rngs,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
    ):
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        *hidden, last = itertools.pairwise(widths)
        self.layers = nnx.List(nnx.Linear(n, m, **kinds) for n, m in hidden)
        self.layers.append(nnx.Linear(*last, kernel_init=nnx.initializers.zeros_init(), **kinds))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps ``[*b widths[0]]`` to ``[*b widths[-1]]``."""
        for i, layer in enumerate(self.layers):
            x = layer(jax.nn.gelu(x, approximate=False) if i else x)
        return x


class Read(NamedTuple):
    """What an attention makes of a source, ready to be attended to many times.

    Attributes:
        keys: ``[heads n c]``.
        values: ``[heads n c]``.
    """

    keys: jax.Array
    values: jax.Array


class Attention(nnx.Module):
    """Multi-head attention in which a query may see nothing at all.

    Args:
        width: channels of queries and output.
        source_width: channels of what is attended to.
        heads: dividing ``width``.
        rngs: of the initialisation.
        dtype: of the activations.
        param_dtype: of the parameters.
    """

    def __init__(
        self,
        width: int,
        source_width: int,
        heads: int,
        *,
        rngs: nnx.Rngs,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
    ):
        kinds: dict[str, Any] = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.heads = heads
        self.query = nnx.Linear(width, width, **kinds)
        self.key = nnx.Linear(source_width, width, **kinds)
        self.value = nnx.Linear(source_width, width, **kinds)
        self.out = nnx.Linear(width, width, kernel_init=nnx.initializers.zeros_init(), **kinds)

    def __call__(
        self,
        queries: jax.Array,
        source: jax.Array | Read,
        mask: jax.Array,
        piece: int | None = None,
    ) -> jax.Array:
        """Gathers from the source what each query may see.

        Args:
            queries: ``[q d]``.
            source: ``[n c]``, or what `read` made of it.
            mask: ``[q n]`` bool, what each query sees; one row ``[1 n]`` holds for all.
            piece: how much of the source to look at together, dividing ``n``; pieces behind the
                last one that is seen cost nothing. Without a gradient; None = all together, as
                is what was read before.

        Returns:
            ``[q d]``; exactly zero for a query that sees nothing.
        """
        q = self._by_head(self.query, queries)
        if piece is None or isinstance(source, Read):
            read = source if isinstance(source, Read) else self.read(source)
            gathered = attend(q, *read, jnp.broadcast_to(mask, (q.shape[1], mask.shape[1])))
        else:
            gathered = self._gather_pieces(q, source, mask, piece)
        gathered = jnp.swapaxes(gathered, 0, 1).reshape(queries.shape)
        # Where nothing is seen what was gathered means nothing; the branch is cut, biases too.
        return jnp.where(jnp.any(mask, axis=-1, keepdims=True), self.out(gathered), 0.0)

    def read(self, source: jax.Array) -> Read:
        """Keys and values of a source ``[n c]``."""
        return Read(self._by_head(self.key, source), self._by_head(self.value, source))

    def _gather_pieces(
        self, q: jax.Array, source: jax.Array, mask: jax.Array, piece: int
    ) -> jax.Array:
        """The same softmax, summed up piece by piece below the greatest logit so far."""
        seen = jnp.any(mask, axis=0)
        end = jnp.max(jnp.where(seen, 1 + jnp.arange(len(seen)), 0))

        def look_at(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            start, top, total, gathered = carry
            k, v = self.read(jax.lax.dynamic_slice_in_dim(source, start, piece))
            logits = masked_logits(q, k, jax.lax.dynamic_slice_in_dim(mask, start, piece, axis=1))
            higher = jnp.maximum(top, jnp.max(logits, axis=-1))
            kept, weights = jnp.exp(top - higher), jnp.exp(logits - higher[..., None])
            total = kept * total + jnp.sum(weights, axis=-1)
            more = jnp.einsum(
                "hqn,hnc->hqc", weights.astype(v.dtype), v, preferred_element_type=top.dtype
            )
            return start + piece, higher, total, kept[..., None] * gathered + more

        exact = jnp.promote_types(q.dtype, jnp.float32)
        least = jnp.full(q.shape[:2], jnp.finfo(exact).min, exact)
        carry = (jnp.zeros((), end.dtype), least, jnp.zeros_like(least), q.astype(exact) * 0)
        _, _, total, gathered = jax.lax.while_loop(lambda c: c[0] < end, look_at, carry)
        return (gathered / total[..., None]).astype(q.dtype)

    def _by_head(self, layer: nnx.Linear, x: jax.Array) -> jax.Array:
        return jnp.swapaxes(layer(x).reshape(x.shape[0], self.heads, -1), 0, 1)


@jax.custom_vjp
def attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> jax.Array:
    """``softmax(q·k/√c)·v`` over what the mask shows; the softmax in float32 at least.

    Its gradient keeps the weights in the dtype of the values, and nothing else of their size.

    Args:
        q: ``[heads q c]``.
        k: ``[heads n c]``.
        v: ``[heads n c]``.
        mask: ``[q n]`` bool.

    Returns:
        ``[heads q c]``; meaningless for a query that sees nothing.
    """
    return _attend(q, k, v, mask)[0]


def masked_logits(q: jax.Array, k: jax.Array, mask: jax.Array) -> jax.Array:
    """``[heads q n]``, float32 at least: least where the mask does not hold."""
    exact = jnp.promote_types(q.dtype, jnp.float32)
    logits = jnp.einsum("hqc,hnc->hqn", q, k, preferred_element_type=exact)
    return jnp.where(mask[None], logits * q.shape[-1] ** -0.5, jnp.finfo(exact).min)


def _attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array) -> tuple[jax.Array, Any]:
    weights = jax.nn.softmax(masked_logits(q, k, mask), axis=-1).astype(v.dtype)
    return jnp.einsum("hqn,hnc->hqc", weights, v), (q, k, v, mask, weights)


def _attend_backward(kept: Any, cotangent: jax.Array) -> tuple[Any, ...]:
    q, k, v, mask, weights = kept
    exact = jnp.promote_types(q.dtype, jnp.float32)
    of_v = jnp.einsum("hqn,hqc->hnc", weights, cotangent)
    of_weights = jnp.einsum("hqc,hnc->hqn", cotangent, v).astype(exact)
    product = weights.astype(exact) * of_weights
    of_logits = product - weights.astype(exact) * jnp.sum(product, axis=-1, keepdims=True)
    # Those that no mask shows have equal weights: nothing of their gradient may pass.
    of_logits = jnp.where(mask[None], of_logits * q.shape[-1] ** -0.5, 0).astype(q.dtype)
    of_q = jnp.einsum("hqn,hnc->hqc", of_logits, k)
    return of_q, jnp.einsum("hqn,hqc->hnc", of_logits, q), of_v, None


attend.defvjp(_attend, _attend_backward)


class RefineLayer(nnx.Module):
    """One layer of φ (Eq. 3, 4): patches, context, each other, feed-forward; pre-norm, residual.

    Args:
        width: d.
        token_width: c.
        heads: of every attention.
        feed_forward: hidden channels.
        context: False leaves the cross-attention to context queries out.
        rngs: of the initialisation.
        dtype: of the activations inside the branches; the residual stream keeps its own.
        param_dtype: of the parameters.
    """

    def __init__(
        self,
        width: int,
        token_width: int,
        heads: int,
        feed_forward: int,
        context: bool,
        *,
        rngs: nnx.Rngs,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
    ):
        kinds: dict[str, Any] = {"rngs": rngs, "dtype": dtype, "param_dtype": param_dtype}

        self.patch_norm = norm(width, rngs, param_dtype)
        self.patch_attention = Attention(width, token_width, heads, **kinds)
        if context:
            self.context_norm = norm(width, rngs, param_dtype)
            self.context_attention = Attention(width, width, heads, **kinds)
        self.self_norm = norm(width, rngs, param_dtype)
        self.self_attention = Attention(width, width, heads, **kinds)
        self.mlp_norm = norm(width, rngs, param_dtype)
        self.mlp = Mlp([width, feed_forward, width], **kinds)
        self.context = context

    def look(self, x: jax.Array, tokens: jax.Array | Read, attended: jax.Array) -> jax.Array:
        """Queries ``[q d]`` after the first branch, patches ``[p c]``; ``attended [q p]`` bool."""
        return x + self.patch_attention(self.patch_norm(x), tokens, attended).astype(x.dtype)

    def relate(
        self,
        x: jax.Array,
        valid: jax.Array,
        context: jax.Array | Read | None,
        context_valid: jax.Array,
        piece: int | None = None,
    ) -> jax.Array:
        """Queries ``[q d]`` after the other branches; shapes as in `Core.refine`."""
        if self.context and context is not None:
            normed, seen = self.context_norm(x), context_valid[None]
            x += self.context_attention(normed, context, seen, piece).astype(x.dtype)
        normed = self.self_norm(x)
        x += self.self_attention(normed, normed, valid[None]).astype(x.dtype)
        x += self.mlp(self.mlp_norm(x)).astype(x.dtype)
        return x


def norm(width: int, rngs: nnx.Rngs, param_dtype: Any, gain: float = 1.0) -> nnx.LayerNorm:
    """A LayerNorm with scale (``gain`` at first) and offset, in the parameters' precision."""
    return nnx.LayerNorm(
        width,
        epsilon=NORM_EPS,
        param_dtype=param_dtype,
        scale_init=nnx.initializers.constant(gain),
        use_fast_variance=False,
        rngs=rngs,
    )
