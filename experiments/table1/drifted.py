"""A recording with errors in depth and poses, of the kinds that predicted geometry has.

    python -m experiments.table1.drifted --recordings REC [REC ...] --out OUT [--level 1]

A stand-in where a monocular model is not at hand, no prediction of how one would do. At level 1
depth is off by a scale of 3 % per frame and by 3 % that vary smoothly over the image, both slowly
changing, and blurred over 1.5 pixels, so that rims hang in the air; poses are off by a random walk
of 0.5 cm and 0.15 degrees per axis and frame: about 9 cm and 2.6 degrees after 100 frames.
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial.transform import Rotation

SCALE, WARP, BLUR = 0.03, 0.03, 1.5
STEP, TURN = 0.005, np.deg2rad(0.15)
MEMORY = 0.9  # Of an error, from frame to frame.
KNOTS = (4, 5)  # Of the smooth part, over the image.


def main() -> None:
    parser = argparse.ArgumentParser(description="Recordings with errors in depth and poses.")
    parser.add_argument("--recordings", nargs="+", type=Path, required=True, help="posed RGB-D")
    parser.add_argument("--level", type=float, default=1.0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for seed, recording in enumerate(args.recordings):
        write_drifted(recording, args.out / recording.name, args.level, seed)
        print(args.out / recording.name)


def write_drifted(recording: Path, out: Path, level: float, seed: int) -> None:
    """A posed RGB-D folder with the colours of another and worse depth and poses."""
    rng = np.random.default_rng(seed)
    shutil.copytree(recording / "color", out / "color")
    shutil.copy(recording / "intrinsics.txt", out)
    for folder in ("depth", "pose"):
        (out / folder).mkdir()
    poses = sorted((recording / "pose").glob("*.txt"))
    errors = zip(poses, pose_errors(rng, level), depth_errors(rng, level), strict=False)
    for file, T_error, log_error in errors:
        np.savetxt(out / "pose" / file.name, np.loadtxt(file) @ T_error, fmt="%.9f")
        name = f"depth/{file.stem}.png"
        depth = np.asarray(Image.open(recording / name)).astype(float)
        worse = blurred(depth, BLUR * level) * np.exp(stretched(log_error, depth.shape))
        Image.fromarray(np.rint(worse).astype(np.uint16)).save(out / name)


def pose_errors(rng: np.random.Generator, level: float) -> Iterator[np.ndarray]:
    """``[4 4]`` per frame: a random walk from the identity."""
    T = np.eye(4)
    while True:
        yield T
        step = np.eye(4)
        step[:3, :3] = Rotation.from_rotvec(rng.normal(0, TURN * level, 3)).as_matrix()
        step[:3, 3] = rng.normal(0, STEP * level, 3)
        T = T @ step


def depth_errors(rng: np.random.Generator, level: float) -> Iterator[np.ndarray]:
    """Per frame the log of depth's error at a few knots of the image."""
    scale, warp = rng.normal(0, SCALE), rng.normal(0, WARP, KNOTS)
    fresh = np.sqrt(1 - MEMORY**2)
    while True:
        yield level * (scale + warp)
        scale = MEMORY * scale + fresh * rng.normal(0, SCALE)
        warp = MEMORY * warp + fresh * rng.normal(0, WARP, KNOTS)


def stretched(knots: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """``[H W]``, smooth between the knots."""
    factors = size[0] / knots.shape[0], size[1] / knots.shape[1]
    return np.asarray(zoom(knots, factors, order=3))


def blurred(depth: np.ndarray, sigma: float) -> np.ndarray:
    """Depth averaged over valid pixels; those without a measurement keep none."""
    valid = depth > 0
    weight = gaussian_filter(valid.astype(float), sigma)
    return np.where(valid, gaussian_filter(depth, sigma) / np.maximum(weight, 1e-6), 0)


if __name__ == "__main__":
    main()
