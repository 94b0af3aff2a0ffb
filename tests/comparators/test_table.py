"""The command of Table 1 and its stand-in for predicted geometry, on tiny input."""

import json

import numpy as np
from PIL import Image

from experiments.table1.drifted import depth_errors, pose_errors, write_drifted
from experiments.table1.run import main
from tests.cli.recordings import write_recording
from tests.comparators.scene import TiledRoom


def test_table(tmp_path, capsys):
    cache, truth = TiledRoom(frames=6, spoil=False).write(tmp_path)
    for root, file in (("caches/tiles", cache), ("truth/tiles.npz", truth)):
        (tmp_path / root).parent.mkdir()
        (tmp_path / root).symlink_to(file)
    words = [f"--caches={tmp_path}/caches", f"--ground-truth={tmp_path}/truth", "--workers=1"]
    main([*words, f"--out={tmp_path}/out", "--methods", "features", "ovir3d", "--turns=2"])
    printed = capsys.readouterr().out
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.strip() in printed and "paper" not in table
    rows = json.loads((tmp_path / "out" / "table.json").read_text())["rows"]
    assert list(rows) == ["features", "ovir3d"]
    for name, row in rows.items():
        assert f"| {row['title']} | {100 * row['ap']:.1f} |" in table
        assert row["ap25"] > 0.3
        assert row["megabytes"] > 0 < row["ms_per_frame"]
        assert row["memory_growth"] >= 1
        assert (tmp_path / "out" / name / "tiles" / "scene.ply").exists()


def test_no_errors_at_level_0(tmp_path):
    recording = write_recording(tmp_path / "room", seed=0)
    write_drifted(recording, tmp_path / "same", level=0.0, seed=0)
    write_drifted(recording, tmp_path / "worse", level=1.0, seed=0)
    for name in ("depth/000003.png", "color/000003.png"):
        expected = np.asarray(Image.open(recording / name))
        assert np.array_equal(np.asarray(Image.open(tmp_path / "same" / name)), expected)
    worse = np.asarray(Image.open(tmp_path / "worse" / "depth" / "000003.png"))
    assert not np.array_equal(worse, expected[..., 0])
    pose = np.loadtxt(tmp_path / "same" / "pose" / "000003.txt")
    np.testing.assert_allclose(pose, np.loadtxt(recording / "pose" / "000003.txt"), atol=1e-9)


def test_errors_are_as_large_as_said():
    walks = [pose_errors(np.random.default_rng(seed), 1.0) for seed in range(40)]
    ends = np.stack([[next(walk) for _ in range(101)][100] for walk in walks])
    assert 0.06 < np.sqrt((ends[:, :3, 3] ** 2).sum(1).mean()) < 0.12
    turned = np.degrees(np.arccos((np.trace(ends[:, :3, :3], axis1=1, axis2=2) - 1) / 2))
    assert 1.8 < np.sqrt((turned**2).mean()) < 3.4
    errors = depth_errors(np.random.default_rng(0), 1.0)
    logs = np.stack([next(errors) for _ in range(2000)])
    assert 0.036 < logs.std() < 0.048
