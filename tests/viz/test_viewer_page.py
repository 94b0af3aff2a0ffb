"""The page itself: what it sends, and what a browser makes of it."""

import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("viser")

from moonseg_cli.view import open_viewer, recording_of
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import read_predictions
from moonseg_jax.structs import FrameResult
from moonseg_jax.viz import instance_colors
from moonseg_jax.viz.viewer import levels
from moonseg_jax.viz.viewer.pace import Pace
from moonseg_jax.viz.viewer.page import Viewer
from moonseg_jax.viz.viewer.scene import BY_COLOR
from tests.viz.chromium import EXECUTABLE, Chromium


@pytest.fixture
def page(recording):
    """Of an empty scene, and its recording's reader."""
    reader = CacheReader(recording.cache)
    viewer = Viewer(reader.info, port=18421)
    yield viewer, reader
    viewer.close()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def add_frame(viewer, frame, num_rows):
    id_map = np.zeros(frame.masks.shape[:2], np.int32)
    id_map[:10] = num_rows
    result = FrameResult(
        instance=np.array([0]), is_new=np.array([False]), similarity=np.zeros(1),
        id_map=id_map, num_rows=np.array(num_rows), num_keys=np.array(1),
    )  # fmt: skip
    viewer.add_frame(frame, result)


def test_live_then_finished(page, recording):
    viewer, reader = page
    add_frame(viewer, reader.frame(0), 1)
    until(lambda: viewer._stage._clouds)
    seen = len(viewer._scene.points)
    add_frame(viewer, reader.frame(1), 2)
    until(lambda: len(viewer._scene.points) > seen)
    assert "2 instances so far" in viewer._panel._status.content
    assert not any(row.visible for row in viewer._panel._rows)
    predictions = read_predictions(recording.result)
    viewer.set_result(predictions, reader)
    until(lambda: viewer._panel._rows[0].visible)
    assert len(viewer._scene.points) == len(predictions.points)
    assert "3 instances, 5 frames" in viewer._panel._status.content


def clouds(viewer):
    """Those that are shown, by name."""
    handles = viewer._stage._clouds.items()
    return {name: cloud for name, cloud in handles if cloud.visible}


def drawn(viewer):
    """How many points."""
    return sum(len(cloud.points) for cloud in clouds(viewer).values())


def test_choices_reach_the_page(page, recording):
    viewer, reader = page
    predictions = read_predictions(recording.result)
    viewer.set_result(predictions, reader)
    panel = viewer._panel
    viewer._change(cut=np.inf)
    until(lambda: drawn(viewer) == len(predictions.points))
    viewer._change(color_by=BY_COLOR)
    (cloud,) = clouds(viewer).values()
    until(lambda: (cloud.colors == in_order(predictions, cloud)).all())
    viewer._change(frame=0)
    until(lambda: 0 < drawn(viewer) < len(predictions.points))
    viewer._change(frame=4, selected=2)
    until(lambda: "Instance 2" in panel._selected.content)
    assert panel._best_frames.visible and panel._clear.visible
    assert viewer._server.scene.get_handle_by_name("/boxes").points.shape == (12, 2, 3)
    viewer._change(boxes=True, selected=0)
    until(lambda: viewer._server.scene.get_handle_by_name("/boxes").points.shape == (36, 2, 3))
    viewer._change(cameras=False)
    until(lambda: not viewer._server.scene.get_handle_by_name("/camera").visible)
    assert viewer._server.request_share_url() is None


def in_order(predictions, cloud):
    """The recorded colours of a cloud's points."""
    order = (predictions.points[:, None] == cloud.points).all(-1).argmax(0)
    return predictions.colors[order]


@pytest.fixture
def small_levels(monkeypatch):
    """So that a small cloud has three."""
    monkeypatch.setattr(levels, "_FIRST", 60)
    monkeypatch.setattr(levels, "_TIMES", 5)
    monkeypatch.setattr(levels, "_PIECE", 400)


def test_what_moves_is_drawn_coarsely(page, recording, small_levels):
    viewer, reader = page
    predictions = read_predictions(recording.result)
    total, size = len(predictions.points), viewer._panel.point_size
    viewer.set_result(predictions, reader)
    viewer._change(cut=np.inf)
    until(lambda: drawn(viewer) == pytest.approx(300, abs=60))  # A level more than is smooth.
    viewer._pace.moved(1, time.time() + 1000, 3)
    viewer._wake.set()
    until(lambda: drawn(viewer) == pytest.approx(60, abs=30))
    size = viewer._panel.point_size
    assert all(cloud.point_size > 2 * size for cloud in clouds(viewer).values())
    viewer._pace = Pace()  # At rest.
    viewer._change(whole=True)
    until(lambda: drawn(viewer) == total)
    assert all(cloud.point_size == size for cloud in clouds(viewer).values())


def test_the_timeline_sends_only_what_changes(page, recording, small_levels, monkeypatch):
    viewer, reader = page
    predictions = read_predictions(recording.result)
    viewer.set_result(predictions, reader)
    viewer._change(cut=np.inf, whole=True)
    until(lambda: drawn(viewer) == len(predictions.points))
    sent, add = [], viewer._server.scene.add_point_cloud

    def counting(name, points, *args, **options):
        sent.append(len(points))
        return add(name, points, *args, **options)

    monkeypatch.setattr(viewer._server.scene, "add_point_cloud", counting)
    viewer._change(frame=3)
    expected = int((viewer._scene.first_seen <= 3).sum())
    until(lambda: drawn(viewer) == expected)
    assert 0 < sum(sent) < 0.6 * len(predictions.points)


@pytest.mark.slow
@pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium")
def test_in_a_browser(page, recording, tmp_path):
    viewer, reader = page
    viewer.set_result(read_predictions(recording.result), reader)
    browser = Chromium(viewer.address)
    try:
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        browser.wait_for("document.body.innerText.includes('3 instances, 5 frames')")
        colors = instance_colors(np.arange(1, 4))
        picture = tmp_path / "page.png"
        until(lambda: all(_covers(browser.screenshot(picture), color) for color in colors))
        x, y = _middle_of(picture, colors[0])
        browser.click(x, y)
        browser.wait_for("document.body.innerText.includes('Instance 1, score')")
        assert viewer._view.selected == 1
        until(lambda: not _covers(browser.screenshot(picture), colors[2]))
        browser.press("Show all")
        until(lambda: _covers(browser.screenshot(picture), colors[2]))
        browser.press(viewer._details.label(3)[:1])
        until(lambda: viewer._view.selected == 3)
        for label, kind in (("Screenshot", "png"), ("GLB", "glb"), ("PLY", "ply")):
            browser.wait_for(f"document.body.innerText.includes('{label}')")
            browser.press(label)
            file = tmp_path / f"{reader.info.scene}.{kind}"
            until(lambda file=file: file.exists() and file.stat().st_size > 1000)
    finally:
        browser.close()


@pytest.mark.slow
@pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium")
def test_a_real_run_in_a_browser(run_of_a_room, tmp_path):
    predictions = read_predictions(run_of_a_room)
    viewer = open_viewer(predictions.info, port=18431)
    browser = None
    try:
        viewer.set_result(predictions, recording_of(predictions))
        viewer._change(cameras=False)  # Their orange could pass for an instance.
        browser = Chromium(viewer.address)
        count = predictions.num_instances
        browser.wait_for(f"document.body.innerText.includes('{count} instances, 12 frames')")
        browser.wait_for("document.body.innerText.includes('000011')")  # The last frame's name.
        colors = instance_colors(np.arange(1, count + 1))
        picture = tmp_path / "page.png"
        until(lambda: sum(_covers(browser.screenshot(picture), c) for c in colors) >= 3)
        largest = int(np.argmax([_pixels_of(picture, color).sum() for color in colors]))
        browser.click(*_middle_of(picture, colors[largest]))
        browser.wait_for(f"document.body.innerText.includes('Instance {largest + 1}, score')")
        others = [color for i, color in enumerate(colors) if i != largest]
        until(lambda: not any(_covers(browser.screenshot(picture), color) for color in others))
        assert _covers(picture, colors[largest])
    finally:
        if browser is not None:
            browser.close()
        viewer.close()


def _pixels_of(picture, color):
    """Those of the scene, left of the panel, in a colour of whatever brightness."""
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))[:, :930].astype(float)
    pixels[:150, :315] = 255  # A notice that the graphics are software; its bar is orange.
    unit = pixels / np.linalg.norm(pixels, axis=-1, keepdims=True).clip(1)
    return unit @ (color / np.linalg.norm(color)) > 0.995


def _covers(picture, color):
    return _pixels_of(picture, color).sum() > 300


def _middle_of(picture, color):
    """A pixel of a colour all around which is of that colour."""
    from scipy.ndimage import distance_transform_edt

    inside = distance_transform_edt(_pixels_of(picture, color))
    row, col = np.unravel_index(np.argmax(inside), inside.shape)
    return float(col), float(row)
