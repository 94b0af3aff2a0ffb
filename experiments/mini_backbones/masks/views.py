"""Pictures of rooms with what they show: crops, and the object that each cell shall name."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bridges.backbones.mini_mask_net import CELL
from experiments.mini_backbones.masks.recipe import Recipe
from experiments.mini_backbones.semantic.views import recolour
from experiments.mini_backbones.single_frames.feed import Chunk

PROBES = (1, 4, 6)  # Rows and columns of a cell that are looked at.
IDS = 256


@dataclass(frozen=True)
class Views:
    """Pictures: ``pixels [b 3 H W]`` in 0..1 and ``ids [b H W]`` int64, 0 = no object."""

    pixels: Tensor
    ids: Tensor


def cropped_views(chunk: Chunk, frames: slice, recipe: Recipe, random: torch.Generator) -> Views:
    """Random crops at the size of the frame, every other one mirrored; colours changed."""
    images = chunk.images[:, frames].flatten(0, 1).permute(0, 3, 1, 2).float() / 255
    ids = chunk.instance[:, frames].flatten(0, 1)
    b, device = len(images), images.device
    side = recipe.crop + (1 - recipe.crop) * torch.rand(b, device=device, generator=random)
    at = (2 * torch.rand(b, 2, device=device, generator=random) - 1) * (1 - side)[:, None]
    mirror = 1 - 2 * torch.randint(2, (b,), device=device, generator=random)
    theta = torch.zeros(b, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = mirror * side, side, at
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    pixels = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    nearest = F.grid_sample(ids[:, None].float(), grid, "nearest", "border", align_corners=False)
    return Views(recolour(pixels, random), nearest[:, 0].long())


def cell_objects(ids: Tensor, least: int) -> Tensor:
    """The object that each cell shall name: of those that it shows, the smallest in the picture.

    So thin and small things have cells of their own, though larger ones are around them.

    Args:
        ids: ``[b H W]`` int64, below `IDS`; 0 = no object.
        least: pixels of the smallest object that counts.

    Returns:
        ``[b H/8 W/8]`` int64: an id, 0 where the cell shows none, -1 where it shows one too small.
    """
    flat = ids.flatten(1)
    area = torch.zeros(len(ids), IDS, device=ids.device)
    area.scatter_add_(1, flat, torch.ones_like(flat, dtype=area.dtype))
    shown = torch.stack([ids[:, y::CELL, x::CELL] for y in PROBES for x in PROBES])
    size = area.gather(1, shown.transpose(0, 1).flatten(1)).unflatten(1, (len(shown), -1))
    shown = shown.flatten(2).transpose(0, 1)
    wanted = (shown > 0) & (size >= least)
    smallest = torch.where(wanted, size, torch.inf).argmin(dim=1, keepdim=True)
    chosen = shown.gather(1, smallest)[:, 0]
    none = torch.where((shown > 0).any(dim=1), -1, 0)
    grid = (ids.shape[1] // CELL, ids.shape[2] // CELL)
    return torch.where(wanted.any(dim=1), chosen, none).unflatten(1, grid)


def pick_cells(objects: Tensor, number: int, random: torch.Generator) -> Tensor:
    """Cells of every picture, each object's with the same probability in all.

    Args:
        objects: ``[b h w]`` as `cell_objects` gives them.
        number: of cells a picture.
        random: advanced by the call.

    Returns:
        ``[b number]`` flat indices; where there are too few cells of objects, others fill up.
    """
    flat = objects.flatten(1).clamp(min=0)
    cells = torch.zeros(len(flat), IDS, device=flat.device)
    cells.scatter_add_(1, flat, torch.ones_like(flat, dtype=cells.dtype))
    weight = torch.where(flat > 0, 1 / cells.gather(1, flat), 1e-9)
    return weight.multinomial(number, generator=random)
