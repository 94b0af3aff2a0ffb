import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moonseg_jax.cache import CacheReader
from moonseg_jax.config import data_config
from moonseg_jax.data import make_loader
from moonseg_jax.structs import Backbone, InputError
from tests.cache.scenes import make_frame, make_info, random_scene, same_bits, write_scene

_FRAMES = (20, 3, 40, 16, 6, 25, 1)


def small_config(**changes):
    config = data_config()
    config.update({"clip_frames": 5, "batch_clips": 2, "max_masks": 32, **changes})
    return config


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes told apart by the timestamp: 100·scene + frame."""
    root = tmp_path_factory.mktemp("caches")
    for scene, count in enumerate(_FRAMES):
        info = make_info(scene=f"room{scene}")
        frames = [make_frame(info, 50 * scene + i, num_masks=4 * scene) for i in range(count)]
        stamped = [f.replace(timestamp=np.float64(100 * scene + i)) for i, f in enumerate(frames)]
        write_scene(root / str(scene), info, stamped)
    return [root / str(scene) for scene in range(len(_FRAMES))]


def batches(loader, count):
    result = [next(loader) for _ in range(count)]
    loader.close()
    return result


def clip_starts(result):
    """Timestamp of the first frame of each clip, in order."""
    return np.concatenate([frame.timestamp[:, 0] for frame, _ in result])


def same_batches(a, b):
    return len(a) == len(b) and all(
        same_bits(x, y) and m == n for (x, m), (y, n) in zip(a, b, strict=True)
    )


def test_a_batch_holds_what_the_caches_hold(scenes):
    for frame, metrics in batches(make_loader(scenes, small_config(), 3), 8):
        assert metrics == {"dropped_masks": 0}
        assert frame.state_attention is None
        assert frame.masks.shape == (2, 5, 8, 12, 1) and frame.mask_valid.shape == (2, 5, 32)
        for b in range(2):
            scene, start = divmod(int(frame.timestamp[b, 0]), 100)
            count = min(5, _FRAMES[scene] - start)
            clip = CacheReader(scenes[scene], state_attention=False).clip(start, count)
            for name in clip.__dataclass_fields__:
                expected = getattr(clip, name)
                if expected is not None:
                    found = getattr(frame, name)[b, :count]
                    assert found.dtype == expected.dtype
                    np.testing.assert_array_equal(found, expected, err_msg=name)


def test_masks_get_the_batch_s_width(tmp_path):
    random_scene(tmp_path / "a", 6, num_masks=40)
    frame, metrics = next(make_loader([tmp_path / "a"], small_config(max_masks=96), 0))
    assert frame.masks.shape[-1] == 3 and metrics["dropped_masks"] == 0
    stored = CacheReader(tmp_path / "a").clip(round(10 * frame.timestamp[0, 0]) - 600, 5)
    np.testing.assert_array_equal(frame.masks[0, ..., :2], stored.masks)
    np.testing.assert_array_equal(frame.mask_scores[0, :, :64], stored.mask_scores)
    assert not frame.masks[..., 2].any() and not frame.mask_valid[..., 64:].any()


def test_the_smallest_masks_are_dropped_and_counted(tmp_path):
    info = make_info()
    planes = np.zeros((8, 12, 2), np.uint32)
    for i in range(40):  # Mask i covers i + 1 cells.
        planes.reshape(-1, 2)[: i + 1, i // 32] |= np.uint32(1 << (i % 32))
    frame = make_frame(info, 0, num_masks=40).replace(masks=planes)
    write_scene(tmp_path / "a", info, [frame] * 5)
    config = small_config(batch_clips=1)
    batch, metrics = next(make_loader([tmp_path / "a"], config, 0))
    assert metrics == {"dropped_masks": 5 * 8}
    assert batch.mask_valid.all()
    areas = [(batch.masks[0, 0, ..., 0] >> np.uint32(i) & np.uint32(1)).sum() for i in range(32)]
    assert sorted(areas) == list(range(9, 41))


def test_a_short_scene_is_padded_without_masks(tmp_path):
    frames = random_scene(tmp_path / "a", 3, num_masks=40)
    frame, _ = next(make_loader([tmp_path / "a"], small_config(batch_clips=1, max_masks=64), 0))
    np.testing.assert_array_equal(frame.points[0, 2], frames[2].points)
    np.testing.assert_array_equal(frame.masks[0, 2], frames[2].masks)
    for t in (3, 4):
        np.testing.assert_array_equal(frame.points[0, t], frames[2].points)
        np.testing.assert_array_equal(frame.T_world_from_cam[0, t], frames[2].T_world_from_cam)
    assert frame.mask_valid[0, :3].any(-1).all()
    for field in (frame.masks, frame.mask_valid, frame.mask_scores):
        assert not field[0, 3:].any()


def test_an_epoch_has_every_scene_once_in_a_new_order(scenes):
    config = small_config(batch_clips=7)
    scene_order = clip_starts(batches(make_loader(scenes, config, 0), 6)).reshape(6, 7) // 100
    assert (np.sort(scene_order, axis=1) == np.arange(7)).all()
    assert len({tuple(order) for order in scene_order}) > 1


def test_clips_start_anywhere_and_end_inside(scenes):
    starts = clip_starts(batches(make_loader(scenes, small_config(batch_clips=7), 0), 15))
    assert set(starts[starts // 100 == 4]) == {400, 401}  # 6 frames, a clip has 5.
    assert set(starts[starts // 100 == 1]) == {100}
    assert set(starts[starts // 100 == 6]) == {600}


def test_the_seed_decides_everything(scenes):
    config = small_config()
    first = batches(make_loader(scenes, config, 5), 7)
    assert same_batches(first, batches(make_loader(scenes[::-1], config, 5), 7))
    other = batches(make_loader(scenes, config, 6), 7)
    assert clip_starts(first).tolist() != clip_starts(other).tolist()
    slow = small_config(prefetch_batches=0)
    assert same_batches(first, batches(make_loader(scenes, slow, 5), 7))


@settings(max_examples=8, deadline=None)
@given(before=st.integers(0, 9), after=st.integers(1, 4), ahead=st.integers(0, 3))
def test_resumes_at_the_exact_next_batch(scenes, before, after, ahead):
    config = small_config(prefetch_batches=ahead)
    loader = make_loader(scenes, config, 1)
    for _ in range(before):
        next(loader)
    state = json.loads(json.dumps(loader.get_state()))
    expected = batches(loader, after)
    resumed = make_loader(scenes, config, 1)
    next(resumed)
    resumed.set_state(state)
    assert resumed.get_state() == state
    assert same_batches(expected, batches(resumed, after))


def test_a_state_of_another_run_is_refused(scenes):
    state = make_loader(scenes, small_config(), 1).get_state()
    others = [
        make_loader(scenes, small_config(), 2),
        make_loader(scenes[1:], small_config(), 1),
        make_loader(scenes, small_config(batch_clips=3), 1),
    ]
    for loader in others:
        with pytest.raises(InputError, match="resume with the same"):
            loader.set_state(state)


@pytest.mark.parametrize("process_count", [2, 3, 6])
def test_processes_share_each_batch_without_overlap(scenes, process_count):
    config = small_config(batch_clips=6)
    whole = clip_starts(batches(make_loader(scenes, config, 4), 5)).reshape(5, 6)
    parts = [
        clip_starts(
            batches(
                make_loader(
                    scenes, config, 4, process_index=i, process_count=process_count
                ),
                5,
            )
        ).reshape(5, -1)
        for i in range(process_count)
    ]  # fmt: skip
    joined = np.stack(parts, axis=-1).reshape(5, 6)
    np.testing.assert_array_equal(joined, whole)


def test_a_state_serves_another_number_of_processes(scenes):
    config = small_config()
    loader = make_loader(scenes, config, 4)
    batches(loader, 3)
    halves = [make_loader(scenes, config, 4, process_index=i, process_count=2) for i in range(2)]
    for half in halves:
        half.set_state(loader.get_state())
    starts = [clip_starts(batches(half, 1))[0] for half in halves]
    fourth = clip_starts(batches(make_loader(scenes, config, 4), 4))[-2:]
    assert starts == fourth.tolist()


def test_fewer_scenes_than_clips_in_a_batch(scenes):
    loader = make_loader(scenes[:2], small_config(batch_clips=5), 0)
    assert loader.batches_per_epoch == 1 and loader.num_scenes == 2
    starts = clip_starts(batches(loader, 4))
    assert len(starts) == 20 and (starts >= 100).sum() == 10


def test_a_number_of_epochs_ends_with_what_is_left(scenes):
    result = list(make_loader(scenes, small_config(batch_clips=4), 0, num_epochs=1))
    assert [len(frame.timestamp) for frame, _ in result] == [4, 3]
    assert sorted(clip_starts(result) // 100) == list(range(7))
    assert make_loader(scenes, small_config(batch_clips=2), 0).batches_per_epoch == 3


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"c3": 7}, "geometry channels 6 and 7"),
        ({"image_size": (32, 64)}, "image size"),
        ({"units": "scene"}, "units metre and scene"),
        ({"semantics": Backbone("dinov3", 4)}, "semantics name classical and dinov3"),
        ({"geometry": Backbone("sensor", 6, {"window": 5})}, "geometry config"),
    ],
)
def test_caches_that_do_not_belong_together_are_both_named(tmp_path, changes, words):
    random_scene(tmp_path / "a", 2)
    random_scene(tmp_path / "b", 2, make_info(**changes))
    with pytest.raises(InputError, match=f"{tmp_path}/a and {tmp_path}/b .*{words}"):
        make_loader([tmp_path / "a", tmp_path / "b"], small_config(), 0)


def test_mask_models_and_state_tokens_may_differ(tmp_path):
    random_scene(tmp_path / "a", 2)
    random_scene(tmp_path / "b", 2, make_info(masks=Backbone("fastsam"), state_tokens=0))
    loader = make_loader([tmp_path / "a", tmp_path / "b"], small_config(), 0)
    assert next(loader)[0].state_attention is None


@pytest.mark.parametrize(
    "changes,words",
    [({"max_masks": 40}, "max_masks is 40"), ({"batch_clips": 0}, "batch_clips is 0")],
)
def test_settings_that_cannot_be_met(scenes, changes, words):
    with pytest.raises(InputError, match=words):
        make_loader(scenes, small_config(**changes), 0)


def test_no_caches_and_uneven_processes(scenes):
    with pytest.raises(InputError, match="no cache"):
        make_loader([], small_config(), 0)
    with pytest.raises(InputError, match="multiple of the 2 processes"):
        make_loader(scenes, small_config(batch_clips=3), 0, process_count=2)


def test_a_corrupt_chunk_reaches_the_trainer_as_an_input_error(tmp_path):
    random_scene(tmp_path / "a", 3)
    file = tmp_path / "a/points/c/0/0/0/0"
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"points/c/0/0/0/0: .*\(points, frame 0\)"):
        next(make_loader([tmp_path / "a"], small_config(), 0))
