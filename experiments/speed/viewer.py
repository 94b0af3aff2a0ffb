"""The viewer's page in a headless browser: first picture, turning, the timeline, bytes.

    python -m experiments.speed.viewer [--points 150000 1000000 3000000] [--out FILE]
    python -m experiments.speed.viewer --points 50000 --seconds 3             # to try

A rendered room as a result folder, opened as `moonseg view` does, in a Chromium that draws WebGL in
software (SwiftShader) on the cores that the server and this script use too: no graphics card is
measured here. The floors are viser's page with nothing on it, and with one cloud of so many points.
While turning, frames are counted as the browser paints them; all other times end when a pixel of
the new picture has been read back.
"""

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import viser
from websockets.asyncio.server import ServerConnection

from experiments.speed.measuring import Row, finish, new_parser, print_table, summary
from moonseg_cli.view import open_viewer
from moonseg_jax.eval import read_predictions, write_predictions
from moonseg_jax.online.results import SegmentedScene
from moonseg_jax.rooms import camera_path, default_intrinsics, render, sample_room
from moonseg_jax.structs import Backbone, SceneInfo
from moonseg_jax.viz.viewer.page import Viewer
from tests.viz.chromium import Chromium

SIZE, FRAMES, VOXEL, SEED = (384, 512), 64, 0.002, 7
FIRST, STEPS = 20, 10  # Frames of the timeline.
REST = 3.0  # Seconds without a change after which a picture is whole.
PORT = 18600
COLUMNS = {
    "points": "{:,}", "ready_s": "{:.1f}", "first_s": "{:.2f}", "whole_s": "{:.2f}",
    "drawn": "{:,}", "opening_mb": "{:.2f}", "turning_drawn": "{:,}", "frames_per_s": "{:.1f}",
    "longest_ms": "{:.0f}", "turning_mb": "{:.2f}",
}  # fmt: skip
TIMELINE = {"points": "{:,}", "ms": "{:.0f}", "p95": "{:.0f}", "whole_ms": "{:.0f}", "mb": "{:.2f}"}
FLOORS = {"plain_points": "{:,}", "frames_per_s": "{:.1f}", "longest_ms": "{:.0f}"}

# Notes every frame: when, points drawn, whether they were other ones than in the frame before.
PROBE = """
window.frames_seen = []; window.wait = true;
let last = -1, look = '';
const tick = () => {
  requestAnimationFrame(tick);
  const info = window.__viserTestpoints?.rendererInfo, scene = window.__viserMutable?.scene;
  if (!info || !scene || info.render.frame === last) return;
  last = info.render.frame;
  let points = 0, now = '';
  scene.traverseVisible(node => {
    const {position, color} = node.geometry?.attributes ?? {};
    if (!node.isPoints || !position) return;
    points += position.count;
    now += [node.uuid, position.count, position.version, color?.version] + ';';
  });
  if (window.wait && now !== look) {
    const canvas = [...document.querySelectorAll('canvas')].find(c => c.getContext('webgl2'));
    const gl = canvas.getContext('webgl2');
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
  }
  window.frames_seen.push([performance.timeOrigin + performance.now(), points, now !== look]);
  look = now;
};
tick();
"""


def main() -> None:
    parser = new_parser(__doc__, seconds=8)
    parser.add_argument("--points", type=int, nargs="+", default=[150_000, 1_000_000, 3_000_000])
    args = parser.parse_args()
    room, sent = Walk(), counted_bytes()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(room, count, Path(folder) / str(count), args, sent) for count in args.points
        ]
    print_table(rows, COLUMNS)
    print_table([row["timeline"] | {"points": row["points"]} for row in rows], TIMELINE)
    floors = [plain(room, count, args.seconds) for count in (0, *args.points)]
    print_table(floors, FLOORS)
    print("Chromium, software WebGL (SwiftShader), on the cores of the server:")
    finish({"webgl": "software (SwiftShader)", "rows": rows, "floors": floors}, args.out)


class Walk:
    """A walk through a rendered room: the recording, and what it saw, a point a voxel, shuffled."""

    cache = None

    def __init__(self) -> None:
        room, intrinsics = sample_room(SEED), default_intrinsics(SIZE)
        poses = camera_path(room, SEED, FRAMES)
        one = jax.jit(lambda pose, key: render(room, pose, jnp.asarray(intrinsics), SIZE, key))
        frames = [jax.device_get(one(pose, jax.random.key(i))) for i, pose in enumerate(poses)]
        self.cameras = poses, np.tile(intrinsics, (FRAMES, 1, 1))
        self.images = np.stack([frame.image for frame in frames])
        self.labels = np.stack([frame.instance for frame in frames])
        v, u = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
        rays = np.stack([u, v, np.ones_like(u)], axis=-1) @ np.linalg.inv(intrinsics).T
        depth = np.stack([frame.depth for frame in frames])[..., None]
        R, centre = poses[:, None, :3, :3], poses[:, None, None, :3, 3]
        points = ((rays * depth) @ R.swapaxes(-1, -2) + centre).reshape(-1, 3).astype(np.float32)
        cells = np.floor(points / VOXEL).astype(np.int64) @ (1, 1 << 20, 1 << 40)
        order = np.random.default_rng(0).permutation(np.unique(cells, return_index=True)[1])
        self.cloud = points[order], self.images.reshape(-1, 3)[order], self.labels.ravel()[order]
        names = tuple(f"{i:06d}" for i in range(FRAMES))
        made = Backbone("sensor"), Backbone("none"), Backbone("folder")
        self.info = SceneInfo(
            "room", SIZE, 16, 1, 1, "metre", "sensor", 1, *made, frame_names=names
        )

    def colors(self, index: int) -> np.ndarray:
        """``[H W 3]`` uint8 of a frame."""
        return self.images[index]

    def write(self, path: Path, count: int) -> None:
        """A result folder of so many of the points."""
        points, colors, instance = (array[:count] for array in self.cloud)
        assert len(points) == count, f"the room has only {len(points):,} points"
        ids = np.unique(instance[instance > 0])
        instance = np.searchsorted(ids, instance, side="right") * (instance > 0)
        labels = np.searchsorted(ids, self.labels, side="right") * np.isin(self.labels, ids)
        own = [points[instance == 1 + i] for i in range(len(ids))]
        seen = [np.flatnonzero((labels == 1 + i).any(axis=(1, 2))) for i in range(len(ids))]
        scene = SimpleNamespace(
            points=points,
            colors=colors,
            instance=instance.astype(np.int32),
            scores=np.linspace(1, 0.5, len(ids), dtype=np.float32),
            queries=np.zeros((len(ids), 1), np.float32),
            tokens=np.zeros((len(ids), 0), np.float32),
            boxes=np.stack([(part.min(axis=0), part.max(axis=0)) for part in own]),
            observations=np.array([len(frames) for frames in seen], np.int32),
            first_frame=np.array([frames[0] for frames in seen], np.int32),
            last_frame=np.array([frames[-1] for frames in seen], np.int32),
            label_maps=lambda: iter(labels),
        )
        write_predictions(path, cast(SegmentedScene, scene), self, config={}, checkpoint="none")


class Page(Chromium):
    """A page of which every painted frame is noted."""

    def __init__(self, address: str) -> None:
        super().__init__("about:blank")
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=PROBE)
        self.opened = 1e3 * time.time()
        self.call("Page.navigate", url=address)
        self.wait_for("window.frames_seen?.length > 0")

    def frames(self, since: float) -> np.ndarray:
        """``[n 3]``: milliseconds since 1970, points, whether other ones than before."""
        found = self.run(f"window.frames_seen.filter(([at]) => at >= {since})")
        return np.array(found, float).reshape(-1, 3)

    def change(self, since: float) -> np.ndarray:
        """The first frame with other points."""
        script = f"window.frames_seen.find(([at, points, other]) => at >= {since} && other)"
        self.wait_for(script)
        return np.array(self.run(script), float)

    def settled(self, since: float) -> np.ndarray:
        """The last frame with other points, once no other has followed for some time."""
        while True:
            last = self.frames(since)
            last = last[last[:, 2] > 0][-1]
            if 1e3 * time.time() - last[0] > 1e3 * REST:
                return last
            time.sleep(0.2)

    def turn(self, seconds: float) -> Row:
        """Drags the scene to and fro."""
        self.run("window.wait = false")
        self._mouse("mousePressed", 0)
        since, end, step = 1e3 * time.time(), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            step += 1
            self._mouse("mouseMoved", step)
            time.sleep(0.01)
        frames = self.frames(since)
        self._mouse("mouseReleased", step)
        time.sleep(REST)
        self.run("window.wait = true")
        gaps = np.diff(frames[:, 0])
        return {
            "turning_drawn": int(np.median(frames[:, 1])),
            "frames_per_s": 1e3 * len(gaps) / gaps.sum(),
            "longest_ms": gaps.max(),
            "gaps": summary(list(gaps)),
        }

    def _mouse(self, kind: str, step: int) -> None:
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        x = 450 + 250 * np.sin(step / 40)
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=450, **button)


def counted_bytes() -> list[int]:
    """Of every message that a page is sent from now on."""
    sent: list[int] = []
    send = ServerConnection.send

    async def counting(self: ServerConnection, message: Any, text: bool | None = None) -> None:
        sent.append(len(message))
        await send(self, message, text)

    ServerConnection.send = counting
    return sent


def measure(room: Walk, count: int, folder: Path, args: argparse.Namespace, sent: list[int]) -> Row:
    """One result: opened, turned twice, its timeline moved."""
    room.write(folder, count)
    start = time.perf_counter()
    predictions = read_predictions(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        viewer = open_viewer(predictions.info, port=PORT)
    viewer.set_result(predictions, room)
    row: Row = {"points": count, "ready_s": time.perf_counter() - start}
    time.sleep(1)
    before = sum(sent)
    page = Page(viewer.address)
    try:
        row["first_s"] = (page.change(0)[0] - page.opened) / 1e3
        whole = page.settled(0)
        row |= {"whole_s": (whole[0] - page.opened) / 1e3, "drawn": int(whole[1])}
        row["opening_mb"] = (sum(sent) - before) / 1e6
        row["first_turn"] = page.turn(args.seconds)  # What a page learns from it, it may keep.
        before = sum(sent)
        row |= page.turn(args.seconds) | {"turning_mb": (sum(sent) - before) / 1e6}
        row["timeline"] = move_timeline(viewer, page, sent)
    finally:
        page.close()
        viewer.close()
    return row


def move_timeline(viewer: Viewer, page: Page, sent: list[int]) -> Row:
    """Steps by the arrow key, each once the one before can be seen."""
    viewer._change(frame=FIRST)
    time.sleep(REST)
    page.run(f"document.querySelector('[role=slider][aria-valuemax=\"{FRAMES - 1}\"]').focus()")
    before, times, since = sum(sent), [], 0.0
    for _ in range(STEPS):
        since = 1e3 * time.time()
        page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight",
                  windowsVirtualKeyCode=39)  # fmt: skip
        page.call("Input.dispatchKeyEvent", type="keyUp", key="ArrowRight", code="ArrowRight",
                  windowsVirtualKeyCode=39)  # fmt: skip
        times.append(page.change(since)[0] - since)
    whole = page.settled(since)[0] - since
    assert viewer._view.frame == FIRST + STEPS
    return summary(times) | {"whole_ms": whole, "mb": (sum(sent) - before) / 1e6 / STEPS}


def plain(room: Walk, count: int, seconds: float) -> Row:
    """Viser's own page: nothing, or one cloud."""
    points, colors, _ = (array[:count] for array in room.cloud)
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(port=PORT, verbose=False)
    middle = room.cloud[0].mean(axis=0)
    server.initial_camera.position, server.initial_camera.look_at = middle + np.full(3, 6.0), middle
    if count:
        server.scene.add_point_cloud("/cloud", points, colors, point_size=0.01)
    page = Page(f"http://127.0.0.1:{PORT}")
    try:
        time.sleep(2 * REST)
        return {"plain_points": count} | page.turn(seconds)
    finally:
        page.close()
        with contextlib.redirect_stdout(io.StringIO()):
            server.stop()


if __name__ == "__main__":
    main()
