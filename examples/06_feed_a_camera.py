"""A camera's arrays, fed one by one: what a robot's node does in its callback. No ROS needed.

`camera` stands for the driver: put your own there. With `BridgeConfig(rfm="cut3r",
semantic="dinov3", masks="fastsam")` and their weights `push` needs the image alone.

python examples/06_feed_a_camera.py [--frames=N]
"""

import argparse
from collections.abc import Iterator

import jax
import numpy as np

import bridges
import moonseg_jax
from moonseg_jax.rooms import camera_path, default_intrinsics, render, sample_room

SIZE = (192, 256)


def camera(frames: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Image ``[H W 3]`` uint8, depth ``[H W]`` metres, pose ``[4 4]``, intrinsics ``[3 3]``."""
    room, K = sample_room(7007), default_intrinsics(SIZE)
    shoot = jax.jit(render, static_argnames="size")
    calibration = K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]  # First pixel's centre at 0.
    for i, pose in enumerate(camera_path(room, seed=7007, frames=frames)):
        shot = shoot(room, pose, K.astype(np.float32), size=SIZE, key=jax.random.key(i))
        yield np.asarray(shot.image), np.asarray(shot.depth), pose, calibration


def main() -> None:
    """Pushes, steps, and says where the largest object in sight is, in metres."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20, help="default: %(default)s")
    frames = parser.parse_args().frames

    bridge = bridges.CameraBridge(SIZE, bridges.load_backbones(bridges.BridgeConfig()))
    segmenter = moonseg_jax.Segmenter(bridge.info, keep_label_maps=False)
    for rgb, depth, pose, K in camera(frames):
        frame = bridge.push(rgb, depth, T_world_from_cam=pose, intrinsics=K)
        result = segmenter.step(frame)

        # The same object has the same id in every frame: ask where it is when you need it.
        known = segmenter.instances()
        print(f"{len(known)} objects known, {len(result.seen)} in sight", end="")
        if in_sight := [one for one in known if one.id in result.seen]:
            largest = max(in_sight, key=lambda one: len(one.points))
            x, y, z = largest.box.mean(axis=0)
            print(f"; the largest is {largest.id}, at {x:.2f} {y:.2f} {z:.2f}", end="")
        print()


if __name__ == "__main__":
    main()
