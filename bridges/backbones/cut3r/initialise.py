"""Random weights with healthy activations, for tests and plumbing."""

import torch
from torch import Tensor, nn

CALM = 0.1  # Of what the last layers add to their biases.


def randomise(model: nn.Module, seed: int) -> None:
    """Fills every parameter in place; the same numbers for the same seed and sizes.

    Matrices and kernels have variance 1/fan-in, norms are near one; cameras come out near the
    first one, with points about two units ahead of them, so that what follows has work to do.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.normal_(centre, 0.02, generator=generator)
            else:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
        heads = dict(model.named_parameters())
        for name, bias in heads.items():
            if name.endswith(("net.tell.bias", "net.mlp.fc2.bias")):
                _centre(heads[name.replace("bias", "weight")], bias, outputs=4, ahead=2)
        _centre(heads["heads.pose.fc2.weight"], heads["heads.pose.fc2.bias"], outputs=7, ahead=3)


def _centre(weight: Tensor, bias: Tensor, outputs: int, ahead: int) -> None:
    weight.mul_(CALM)
    bias.view(outputs, -1)[ahead] += 1.0
