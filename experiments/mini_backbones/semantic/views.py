"""What student and teacher see of a frame, and which point of the room each patch shows."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bridges.backbones.mini_vit import PATCH
from experiments.mini_backbones.semantic.recipe import Recipe
from experiments.mini_backbones.single_frames.feed import Chunk

WALL = 2.0  # Metres to the imagined wall that a picture hangs on, in the variant without geometry.


@dataclass(frozen=True)
class Views:
    """Pictures of ``b`` = rooms x views, and what their ``h·w`` patches show.

    Attributes:
        pixels: ``[b H W 3]`` in 0..1.
        points: ``[b h w 3]`` of each patch's middle, world frame, metres.
        spacing: ``[b h w]`` metres between neighbouring patches on a surface that faces us.
    """

    pixels: Tensor
    points: Tensor
    spacing: Tensor


def teacher_views(chunk: Chunk, frames: slice, recipe: Recipe, random: torch.Generator) -> Views:
    """Whole frames, colours changed a little."""
    images, geometry = _frames(chunk, frames, recipe)
    window = torch.tensor([1.0, 1.0, 0.0, 0.0], device=images.device).expand(len(images), 4)
    return _views(images, geometry, window, random)


def student_views(chunk: Chunk, frames: slice, recipe: Recipe, random: torch.Generator) -> Views:
    """Random crops, every other one mirrored, at the size of the frame; colours changed."""
    images, geometry = _frames(chunk, frames, recipe)
    b, device = len(images), images.device
    side = recipe.crop + (1 - recipe.crop) * torch.rand(b, device=device, generator=random)
    at = (2 * torch.rand(b, 2, device=device, generator=random) - 1) * (1 - side)[:, None]
    mirror = 1 - 2 * torch.randint(2, (b,), device=device, generator=random)
    window = torch.stack([mirror * side, side, at[:, 0], at[:, 1]], dim=-1)
    return _views(images, geometry, window, random)


def hidden_patches(grid: tuple[int, ...], most: float, random: torch.Generator) -> Tensor:
    """Blocks of 2x2 patches, up to the part ``most`` of an image: ``[b h w]`` bool."""
    b, h, w = grid
    noise = torch.rand(b, (h + 1) // 2, (w + 1) // 2, device=random.device, generator=random)
    part = most * torch.rand(b, 1, 1, device=random.device, generator=random)
    blocks = (noise < part).repeat_interleave(2, 1).repeat_interleave(2, 2)
    return blocks[:, :h, :w]


def _frames(
    chunk: Chunk, frames: slice, recipe: Recipe
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Images ``[b H W 3]`` and depth, pose, focal length in pixels of each."""
    images = chunk.images[:, frames].flatten(0, 1)
    depth, poses = chunk.depth[:, frames].flatten(0, 1), chunk.poses[:, frames].flatten(0, 1)
    focal = chunk.focal.repeat_interleave(len(poses) // len(chunk.focal)) * images.shape[2]
    if not recipe.geometry:
        depth, poses = (
            torch.full_like(depth, WALL),
            torch.eye(4, device=poses.device).expand_as(poses),
        )
    return images, (depth, poses, focal)


def _views(
    images: Tensor, geometry: tuple[Tensor, Tensor, Tensor], window: Tensor, random: torch.Generator
) -> Views:
    """Cuts out windows ``[b 4]``: scale of x and y and middle, in half frames."""
    (b, height, width, _), device = images.shape, images.device
    theta = torch.zeros(b, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = window[:, 0], window[:, 1]
    theta[:, :, 2] = window[:, 2:]
    grid = F.affine_grid(theta, [b, 3, height, width], align_corners=False)
    pixels = images.permute(0, 3, 1, 2).float() / 255
    pixels = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    middles = F.affine_grid(theta, [b, 3, height // PATCH, width // PATCH], align_corners=False)
    points, z = _points(middles, geometry)
    spacing = z * window[:, 1, None, None] * PATCH / geometry[2][:, None, None]
    return Views(recolour(pixels, random).permute(0, 2, 3, 1), points, spacing)


def _points(middles: Tensor, geometry: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """World points ``[b h w 3]`` and depth ``[b h w]`` at places of the frame in -1..1."""
    depth, poses, focal = geometry
    size = torch.tensor([depth.shape[2], depth.shape[1]], device=depth.device)
    z = F.grid_sample(depth[:, None], middles, "nearest", "border", align_corners=False)[:, 0]
    xy = middles * (size / 2) / focal[:, None, None, None]
    camera = torch.cat([xy, torch.ones_like(z)[..., None]], dim=-1) * z[..., None]
    turned = torch.einsum("bij,bhwj->bhwi", poses[:, :3, :3], camera)
    return turned + poses[:, None, None, :3, 3], z


def recolour(pixels: Tensor, random: torch.Generator) -> Tensor:
    """Exposure, white balance, contrast, saturation, blur and noise of ``[b 3 H W]``."""
    b = len(pixels)

    def normal(*shape: int) -> Tensor:
        return torch.randn(b, *shape, device=pixels.device, generator=random)

    gain = torch.exp(0.2 * normal(1, 1, 1) + 0.06 * normal(3, 1, 1))
    gamma = torch.exp(0.15 * normal(1, 1, 1))
    pixels = (pixels * gain).clamp(1e-3, 1) ** gamma
    grey = pixels.mean(dim=1, keepdim=True)
    pixels = grey + (pixels - grey) * torch.exp(0.2 * normal(1, 1, 1))
    blurred = F.avg_pool2d(F.pad(pixels, [1] * 4, mode="replicate"), 3, stride=1)
    pixels = torch.lerp(pixels, blurred, (0.5 * normal(1, 1, 1)).clamp(0, 1))
    grain = 0.02 * normal(1, 1, 1).abs() * normal(*pixels.shape[1:])
    return (pixels + grain).clamp(0, 1)
