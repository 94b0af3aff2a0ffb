"""The core in plain PyTorch: one query, one head at a time; parameters in a flat dict."""

import torch

EPS = 1e-6


def layer_norm(x, scale=None, bias=None):
    y = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + EPS)
    return y if scale is None else y * scale + bias


def normed(params, prefix, x):
    return layer_norm(x, params[f"{prefix}.scale"], params[f"{prefix}.bias"])


def linear(params, prefix, x):
    return x @ params[f"{prefix}.kernel"] + params[f"{prefix}.bias"]


def mlp(params, prefix, x, layers):
    for i in range(layers):
        x = linear(params, f"{prefix}.layers.{i}", torch.nn.functional.gelu(x) if i else x)
    return x


def projection(params, prefix, x, layers):
    straight = x @ params[f"{prefix}.linear.kernel"]
    return straight + mlp(params, f"{prefix}.mlp", x, layers)


def attention(params, prefix, queries, source, mask, heads):
    q, k, v = (
        linear(params, f"{prefix}.{name}", x)
        for name, x in (("query", queries), ("key", source), ("value", source))
    )
    size = q.shape[-1] // heads
    rows = []
    for i in range(len(queries)):
        seen = mask[i]
        if not seen.any():
            rows.append(torch.zeros_like(queries[i]))
            continue
        gathered = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            logits = k[seen][:, part] @ q[i, part] / size**0.5
            gathered.append(torch.softmax(logits, 0) @ v[seen][:, part])
        rows.append(linear(params, f"{prefix}.out", torch.cat(gathered)))
    return torch.stack(rows)


def attended_patches(coverage, min_coverage):
    attended = torch.zeros_like(coverage, dtype=torch.bool)
    for i, row in enumerate(coverage):
        if (row > min_coverage).any():
            attended[i] = row > min_coverage
        elif (row > 0).any():
            attended[i, torch.argmax(row)] = True
    return attended


def sincos_positions(grid, channels, dtype):
    encoded = torch.zeros(grid[0] * grid[1], channels, dtype=dtype)
    quarter = channels // 4
    for patch in range(len(encoded)):
        for i in range(quarter):
            frequency = torch.tensor(1e-4, dtype=dtype) ** (i / quarter)
            for axis, position in enumerate(divmod(patch, grid[1])):
                encoded[patch, 2 * axis * quarter + i] = torch.sin(position * frequency)
                encoded[patch, (2 * axis + 1) * quarter + i] = torch.cos(position * frequency)
    return encoded


def tokens(config, features_3d, features_2d):
    chosen = {"both": [features_3d, features_2d], "3d": [features_3d], "2d": [features_2d]}
    parts = [x.reshape(-1, x.shape[-1]) for x in chosen[config.sources]]
    if config.feature_norm == "per_source":
        parts = [layer_norm(x) for x in parts]
    fused = torch.cat(parts, -1)
    return layer_norm(fused) if config.feature_norm == "joint" else fused


def prototypes(params, config, F, coverage):
    means = [(m[:, None] * F).sum(0) / (m.sum() if m.sum() > 0 else 1.0) for m in coverage]
    return projection(params, "eta", torch.stack(means), config.eta_layers)


def refine(params, config, queries, F, coverage, valid, context, context_valid, grid):
    attended = attended_patches(coverage, config.min_coverage)
    everyone = torch.ones(len(queries), 1, dtype=torch.bool)
    if config.positional_encoding == "sincos":
        F = F + sincos_positions(grid, F.shape[-1], F.dtype)
    x = queries
    for i in range(config.refine_layers):
        at = f"phi.{i}"
        normal = normed(params, f"{at}.patch_norm", x)
        x = x + attention(params, f"{at}.patch_attention", normal, F, attended, config.heads)
        if config.context and context_valid.any():
            normal = normed(params, f"{at}.context_norm", x)
            seen = everyone & context_valid
            x = x + attention(
                params, f"{at}.context_attention", normal, context, seen, config.heads
            )
        normal = normed(params, f"{at}.self_norm", x)
        seen = everyone & valid
        x = x + attention(params, f"{at}.self_attention", normal, normal, seen, config.heads)
        x = x + mlp(params, f"{at}.mlp", normed(params, f"{at}.mlp_norm", x), 2)
    return normed(params, "phi_norm", x) if config.refine_layers else x


def reference(params, config, F):
    return projection(params, "psi", F, config.psi_layers)
