"""Poses that agree with the pixels: every frame is aligned with keyframes before it."""

from collections import deque
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from torch import Tensor

from bridges.backbones.cut3r.stream import rigid_inverse
from bridges.backbones.interfaces import POINT_STRIDE
from moonseg_jax.structs import Frame

KEYFRAMES, EVERY = 2, 2  # Kept; frames from one to the next.
SPACING = (2, 1, 1)  # Of a keyframe's points, by level; the grid halves from level to level.
ROUNDS = 3  # Of Gauss-Newton on each level.
GREY = 0.015  # A difference that counts half, in shares of white.
INDEPENDENT = 0.05  # Share of the pixels: neighbours are wrong together.
TURN, SHIFT = 0.02, 0.02  # Deviation of the network's motions: radians, median depths.
LONGEST = 0.15  # A round's step at most, likewise.
NEAREST = 0.04  # Of the points that are looked at, median depths.


@dataclass(frozen=True)
class _Keyframe:
    """A pose, what the network ``told``, and by level points ``[n 3]``, values ``[c n]``."""

    T_world_from_cam: Tensor
    told: Tensor
    levels: list[tuple[Tensor, Tensor]]


class DirectAlignment:
    """Corrects the poses that a network tells of one scene, frame after frame.

    A camera is moved until the keyframes' points have, where it sees them, the colours that they
    have there: Gauss-Newton on robust differences, from coarse to fine, around the motion that the
    network tells. Points move with their camera. Two keyframes are kept, nothing else of the past.

    Source: Kerl et al., "Robust Odometry Estimation for RGB-D Cameras", 2013; Engel et al., "Direct
    Sparse Odometry", 2018. Not part of MoonSeg3R.
    """

    def __init__(self) -> None:
        self._keyframes: deque[_Keyframe] = deque(maxlen=KEYFRAMES)
        self._last: tuple[Tensor, Tensor] | None = None
        self._count = 0
        self._unit = 1.0

    def __call__(self, frame: Frame) -> Frame:
        """The next frame with another ``T_world_from_cam``, and ``points`` from there."""
        points = torch.as_tensor(frame.points)
        colors = torch.as_tensor(frame.colors).to(points) / 255
        told = torch.as_tensor(frame.T_world_from_cam).to(points)
        K = torch.as_tensor(frame.intrinsics).to(points)[:2] / POINT_STRIDE
        T, points = self.correct(colors, points, told, K)
        return replace(frame, T_world_from_cam=T, points=points)

    @torch.no_grad()
    def correct(
        self, colors: Tensor, points: Tensor, told: Tensor, K: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The next pose, and the points from there.

        Args:
            colors: ``[H W c]`` in 0..1.
            points: ``[H W 3]`` of the world as told, NaN where there is none.
            told: ``[4 4]`` T_world_from_cam.
            K: ``[2 3]`` of the colours, in pixels.

        Returns:
            ``[4 4]`` and ``[H W 3]``.
        """
        own = (points - told[:3, 3]) @ told[:3, :3]
        if self._last is None:
            self._unit = float(own[..., 2].nanmedian().nan_to_num(1.0).clamp(min=1e-6))
        images, depth = pyramid(colors.movedim(-1, 0)), own[..., 2] / self._unit
        # Poses are on the host: a GPU is slow at what is as small.
        T = self._track(_scaled(told.cpu(), 1 / self._unit), images, K.cpu(), depth)
        T = _scaled(T, self._unit).to(points)
        return T, own @ T[:3, :3].T + T[:3, 3]

    def _track(self, told: Tensor, images: list[Tensor], K: Tensor, depth: Tensor) -> Tensor:
        T = told
        if self._last is not None:
            oldest = self._keyframes[0]
            prior = _led(oldest.T_world_from_cam, oldest.told, told)
            T = _orthonormal(self._aligned(_led(*self._last, told), prior, images, K))
        if self._count % EVERY == 0:
            levels = [seen_points(depth, image, K, T, i) for i, image in enumerate(images)]
            self._keyframes.append(_Keyframe(T, told, levels))
        self._last = T, told
        self._count += 1
        return T

    def _aligned(self, T: Tensor, prior: Tensor, images: list[Tensor], K: Tensor) -> Tensor:
        trust = torch.tensor([TURN**-2] * 3 + [SHIFT**-2] * 3)
        for level in reversed(range(len(images))):
            points, values = zip(*(key.levels[level] for key in self._keyframes), strict=True)
            known = torch.cat(points), torch.cat(values, dim=1)
            image = with_slopes(images[level])
            for _ in range(ROUNDS):
                told = normal_equations(T, *known, image, K / 2**level).cpu()
                A, g = told[:, :6] + trust.diag(), told[:, 6] + trust * difference(prior, T)
                step = -torch.linalg.solve(A, g)
                T = T @ motion(step * (LONGEST / step.norm()).clamp(max=1))
        return T


def pyramid(image: Tensor) -> list[Tensor]:
    """``[c H W]``, blurred, at its own size, half and a quarter of it."""
    padded = F.pad(image[None], (1, 1, 1, 1), mode="replicate")
    images = [F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)[0]]
    for _ in SPACING[1:]:
        images.append(F.avg_pool2d(images[-1], 2))
    return images


def with_slopes(image: Tensor) -> Tensor:
    """``[c H W]`` to ``[3c H W]``: values, and how they rise to the right and downwards."""
    right = F.pad((image[:, :, 2:] - image[:, :, :-2]) / 2, (1, 1, 0, 0))
    down = F.pad((image[:, 2:] - image[:, :-2]) / 2, (0, 0, 1, 1))
    return torch.cat([image, right, down])


def seen_points(
    depth: Tensor, image: Tensor, K: Tensor, T: Tensor, level: int
) -> tuple[Tensor, Tensor]:
    """World points ``[n 3]`` of a keyframe at a level of its pyramid, and their values ``[c n]``.

    Args:
        depth: ``[H W]``, NaN where there is none.
        image: ``[c H/2^level W/2^level]``.
        K: ``[2 3]`` of the depth map.
        T: ``[4 4]`` T_world_from_cam.
        level: of the pyramid.
    """
    coarse = F.avg_pool2d(depth[None], 2**level)[0]
    y, x = (torch.arange(n, device=depth.device) + 0.5 for n in coarse.shape)
    (fx, _, cx), (_, fy, cy) = K / 2**level
    v, u = torch.meshgrid((y - cy) / fy, (x - cx) / fx, indexing="ij")
    own = torch.stack([u * coarse, v * coarse, coarse], dim=-1)
    step = SPACING[level]
    T = T.to(own)
    points = own[::step, ::step].flatten(0, 1) @ T[:3, :3].T + T[:3, 3]
    return points, image[:, ::step, ::step].flatten(1)


def normal_equations(T: Tensor, points: Tensor, values: Tensor, image: Tensor, K: Tensor) -> Tensor:
    """JᵀWJ and JᵀWr ``[6 6+1]`` of differences in colour, by turns and shifts of a camera.

    Args:
        T: ``[4 4]`` T_world_from_cam.
        points: ``[n 3]`` of the world.
        values: ``[c n]``, their colours.
        image: ``[3c H W]`` of `with_slopes`.
        K: ``[2 3]`` of the image.
    """
    height, width = image.shape[1:]
    (fx, _, cx), (_, fy, cy) = K
    T = T.to(points)
    q = ((points - T[:3, 3]) @ T[:3, :3]).nan_to_num()  # What has no depth is behind the camera.
    near = q[:, 2].clamp(min=NEAREST)
    x, y = q[:, 0] / near, q[:, 1] / near
    u, v = fx * x + cx, fy * y + cy
    # Without the outermost pixels, which have no slope.
    inside = (u > 1) & (u < width - 1) & (v > 1) & (v < height - 1) & (q[:, 2] > NEAREST)
    where = torch.stack([2 * u / width - 1, 2 * v / height - 1], dim=-1)
    sampled = F.grid_sample(image[None], where[None, None], align_corners=False)[0, :, 0]
    now, right, down = sampled.unflatten(0, (3, -1))
    residual = torch.where(inside, now - values, torch.nan)
    # Exposures differ: what all of a channel differs by says nothing.
    residual = (residual - residual.nanmedian(dim=1, keepdim=True).values).nan_to_num()
    weight = INDEPENDENT * inside / (GREY**2 + residual**2)
    # A channel's J is its slopes times how u and v change: colours are summed up before motions.
    seen = torch.stack([right, down, residual])
    moments = (weight * seen[:2, None] * seen).sum(dim=2)
    o, far = torch.zeros_like(x), 1 / near
    J = torch.stack(
        [
            fx * torch.stack([x * y, -1 - x * x, y, -far, o, x * far]),
            fy * torch.stack([1 + y * y, -x * y, -x, o, -far, y * far]),
        ]
    )
    weighted = (moments[:, :2, None] * J).sum(dim=1)
    return (J @ torch.cat([weighted, moments[:, 2:]], dim=1).mT).sum(dim=0)


def motion(step: Tensor) -> Tensor:
    """``[6]``, a turn and a shift in the camera's frame, to ``[4 4]``."""
    T = torch.eye(4)
    T[:3, :3] = torch.from_numpy(Rotation.from_rotvec(step[:3].numpy()).as_matrix())
    T[:3, 3] = step[3:]
    return T


def difference(prior: Tensor, T: Tensor) -> Tensor:
    """The ``[6]`` whose `motion` leads from one pose to another close to it, to first order."""
    D = rigid_inverse(prior) @ T
    turn = torch.stack([D[2, 1] - D[1, 2], D[0, 2] - D[2, 0], D[1, 0] - D[0, 1]]) / 2
    return torch.cat([turn, T[:3, :3].T @ (T[:3, 3] - prior[:3, 3])])


def _led(T: Tensor, told: Tensor, now: Tensor) -> Tensor:
    """Where a camera at ``T`` is after the motion from ``told`` to ``now``."""
    return T @ rigid_inverse(told) @ now


def _orthonormal(T: Tensor) -> Tensor:
    U, _, Vh = torch.linalg.svd(T[:3, :3])
    T = T.clone()
    T[:3, :3] = U @ Vh
    return T


def _scaled(T: Tensor, factor: float) -> Tensor:
    T = T.clone()
    T[:3, 3] *= factor
    return T
