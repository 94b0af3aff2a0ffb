import json

import numpy as np
import pytest
from PIL import Image

from bridges.backbones.felzenszwalb import FelzenszwalbMasks
from bridges.backbones.masks import LabelMapFolder
from bridges.preprocess import plan_transform
from bridges.sources import open_source
from moonseg_jax.structs import InputError, SourceFrame


def _open(recording, folder):
    source = open_source(recording.path)
    transform = plan_transform(source.image_size)
    return LabelMapFolder(folder, transform, source), list(source), transform


def _read(recording, folder, index=0):
    masks, frames, transform = _open(recording, folder)
    return masks(frames[index], transform.image(frames[index].image))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [1, 2])
def test_label_maps_of_any_resolution(make_rgbd, make_labels, dtype, scale):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names, dtype=dtype)
    labels = np.array(Image.open(folder / "000000.png"))
    Image.fromarray(labels.repeat(scale, 0).repeat(scale, 1)).save(folder / "000000.png")
    found = _read(recording, folder)
    assert found.masks.shape == (2, 192, 256) and found.masks.dtype == bool
    assert found.masks.mean((1, 2)) == pytest.approx(
        [(labels == 3).mean(), (labels == 7).mean()], rel=0.02
    )
    np.testing.assert_array_equal(found.scores, [1, 1])
    rows, cols = np.nonzero(found.masks[0])
    assert (rows.min(), rows.max()) == (32, 95) and (cols.min(), cols.max()) == (32, 127)


def test_65535_and_0_are_no_masks(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    labels = np.array(Image.open(folder / "000000.png"))
    labels[labels == 3] = 65535
    Image.fromarray(labels).save(folder / "000000.png")
    assert len(_read(recording, folder).masks) == 1


def test_empty_maps_are_fine(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(folder / "000000.png")
    found = _read(recording, folder)
    assert found.masks.shape == (0, 192, 256) and found.scores.shape == (0,)


def test_masks_without_a_sample_are_gone(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    labels = np.zeros((1200, 1600), np.uint16)
    labels[600, 800] = 5
    labels[0:600] = 6
    Image.fromarray(labels).save(folder / "000000.png")
    assert len(_read(recording, folder).masks) == 1


def test_matched_by_stem_under_a_stride_else_by_position(make_rgbd, make_labels):
    recording = make_rgbd(frames=4)
    by_stem = make_labels(recording.names)
    by_position = make_labels([f"mask_{i}" for i in (1, 2, 3, 10)], folder="other")
    for folder, marked, how in (
        (by_stem, "000002", "stem"),
        (by_position, "mask_3", "position"),
    ):
        Image.fromarray(np.full((60, 80), 9, np.uint8)).save(folder / f"{marked}.png")
        source = open_source(recording.path, stride=2)
        transform = plan_transform(source.image_size)
        masks = LabelMapFolder(folder, transform, source)
        counts = [len(masks(f, transform.image(f.image)).masks) for f in source]
        assert counts == [2, 1] and masks.config["matched_by"] == how


def test_missing_map_is_named_before_anything_runs(make_rgbd, make_labels):
    recording = make_rgbd(frames=3)
    folder = make_labels(recording.names)
    (folder / "000001.png").unlink()
    with pytest.raises(InputError, match=r"no label map for frame 000001: write 000001\.png"):
        _open(recording, folder)


def test_maps_of_another_count_and_name(make_rgbd, make_labels):
    recording = make_rgbd(frames=3)
    with pytest.raises(InputError, match="no label map for frame 000000"):
        _open(recording, make_labels(["a", "b"]))


def test_no_folder(make_rgbd, tmp_path):
    (tmp_path / "none").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "none"):
        with pytest.raises(InputError, match="is not a folder of PNG files"):
            _open(make_rgbd(name=folder.name + "_room"), folder)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colour_maps(make_rgbd, make_labels, mode):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    Image.new(mode, (80, 60)).save(folder / "000000.png")
    with pytest.raises(InputError, match=r"masks/000000\.png is a colour image"):
        _read(recording, folder)


@pytest.mark.parametrize("size", [(60, 60), (80, 60), (60, 82)])
def test_wrong_sized_maps(make_rgbd, make_labels, size):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names, size=size)
    with pytest.raises(InputError, match=r"masks/000000\.png is .* and its image 80x60"):
        _read(recording, folder)


def test_truncated_map(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    path = make_labels(recording.names) / "000000.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"masks/000000\.png cannot be read as an image"):
        _read(recording, path.parent)


MANIFEST = {
    "generator": "CropFormer, Hornet-L",
    "thresholds": {"score": 0.5, "area": 400},
    "paint_order": "ascending",
    "min_area": 400,
    "scores": {"000000": {"3": 0.6, "7": 0.9, "9": 0.9}},
}


def _with_manifest(make_labels, names, manifest):
    folder = make_labels(names)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_manifest_tells_scores_and_provenance(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = _with_manifest(make_labels, recording.names, MANIFEST)
    labels = np.array(Image.open(folder / "000000.png"))
    labels[:10, :20] = 9  # 200 pixels, under min_area.
    Image.fromarray(labels).save(folder / "000000.png")
    masks, frames, transform = _open(recording, folder)
    found = masks(frames[0], transform.image(frames[0].image))
    np.testing.assert_array_equal(found.scores, np.float32([0.6, 0.9]))
    assert found.scores.dtype == np.float32 and found.masks.shape == (2, 192, 256)
    expected = {key: MANIFEST[key] for key in ("generator", "thresholds", "paint_order")}
    assert masks.config.items() >= (expected | {"min_area": 400, "scores": True}).items()


def test_paint_order_alone_makes_no_scores(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = _with_manifest(make_labels, recording.names, {"paint_order": "descending"})
    np.testing.assert_array_equal(_read(recording, folder).scores, [1, 1])


def test_scores_in_paint_order(make_rgbd, make_labels):
    scores = {"000000": {"10": 0.2, "9": 0.3, "7": 0.3, "3": 0.9}}
    falling = MANIFEST | {"scores": scores, "paint_order": "descending"}
    recording = make_rgbd(frames=1)
    folder = _with_manifest(make_labels, recording.names, falling)
    np.testing.assert_array_equal(_read(recording, folder).scores, np.float32([0.9, 0.3]))


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"order": "ascending"}, "unknown field order: known are generator, thresholds"),
        ([1], "is no JSON object"),
        ({"paint_order": "best first"}, 'paint_order = "best first": it must be "ascending"'),
        ({"generator": 3}, "generator = 3: it must be a text"),
        ({"thresholds": {"score": "high"}}, "it must be an object of numbers"),
        ({"min_area": -1}, "min_area = -1"),
        ({"min_area": True}, "min_area = true"),
        ({"scores": {"000000": {"3": 1.5}}}, "map to id to score in 0..1"),
        ({"scores": {"000000": {"3": float("nan")}}}, "map to id to score in 0..1"),
        ({"scores": {"000000": {"x": 0.5}}}, "map to id to score in 0..1"),
        ({"scores": {"000000": [0.5]}}, "map to id to score in 0..1"),
        (
            MANIFEST | {"paint_order": "descending"},
            "paint_order = descending, but the scores of ids 3 and 7 of 000000 go the other way",
        ),
    ],
)
def test_wrong_manifests(make_rgbd, make_labels, manifest, said):
    recording = make_rgbd(frames=1)
    folder = _with_manifest(make_labels, recording.names, manifest)
    with pytest.raises(InputError, match=r"manifest\.json.*" + said):
        _open(recording, folder)


def test_manifest_that_is_no_json(make_rgbd, make_labels):
    recording = make_rgbd(frames=1)
    folder = make_labels(recording.names)
    (folder / "manifest.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match=r"manifest\.json cannot be read as JSON"):
        _open(recording, folder)


def test_score_that_is_missing(make_rgbd, make_labels):
    recording = make_rgbd(frames=2)
    folder = _with_manifest(make_labels, recording.names, MANIFEST)
    with pytest.raises(InputError, match=r"none of id 3 of 000001\.png"):
        _read(recording, folder, index=1)


def _squares(depth=None):
    """A red and a blue square on grey."""
    image = np.full((96, 128, 3), 128, np.uint8)
    image[10:40, 10:50] = (200, 30, 30)
    image[50:90, 70:120] = (30, 40, 190)
    K = np.array([[110.0, 0, 64], [0, 110, 48], [0, 0, 1]])
    return SourceFrame("a", 0.0, image, depth, np.eye(4), K)


def _best_iou(found, target):
    inter = (found.masks & target).sum((1, 2))
    return (inter / (found.masks | target).sum((1, 2))).max()


def _target(rows, cols):
    target = np.zeros((192, 256), bool)
    target[2 * rows[0] : 2 * rows[1], 2 * cols[0] : 2 * cols[1]] = True
    return target


def test_felzenszwalb_finds_what_differs_in_colour():
    frame = _squares()
    transform = plan_transform((96, 128))
    segment = FelzenszwalbMasks(transform)
    image = transform.image(frame.image)
    found = segment(frame, image)
    assert len(found.masks) == 3 and (found.masks.sum(0) == 1).all()
    assert ((found.scores > 0.5) & (found.scores < 1)).all() and found.scores.dtype == np.float32
    assert _best_iou(found, _target((10, 40), (10, 50))) > 0.9
    again = segment(frame, image)
    np.testing.assert_array_equal(again.masks, found.masks)
    without_wall = FelzenszwalbMasks(transform, max_area=0.5)(frame, image)
    assert len(without_wall.masks) == 2


def test_felzenszwalb_keeps_apart_what_depth_keeps_apart():
    image = np.full((384, 512, 3), 128, np.uint8)
    image[120:280, 160:360] = 140  # Hardly brighter: enough for a segment, not to stay one.
    depth = np.full((384, 512), 3.0, np.float32)
    K = np.array([[440.0, 0, 256], [0, 440, 192], [0, 0, 1]])
    frame = SourceFrame("a", 0.0, image, depth, np.eye(4), K)
    segment = FelzenszwalbMasks(plan_transform((384, 512)), scale=0.2)
    assert len(segment(frame, image).masks) == 1
    depth[120:280, 160:360] = 2.0
    found = segment(frame, image)
    assert len(found.masks) == 2 and _best_iou(found, _target((30, 70), (40, 90))) > 0.9


def test_felzenszwalb_on_a_flat_image():
    image = np.full((96, 128, 3), 50, np.uint8)
    transform = plan_transform((96, 128))
    found = FelzenszwalbMasks(transform)(SourceFrame("a", 0.0, image), transform.image(image))
    assert found.masks.shape == (1, 192, 256) and found.masks.all() and found.scores == 0


def test_felzenszwalb_without_any_valid_depth():
    frame = _squares(np.full((96, 128), np.nan, np.float32))
    transform = plan_transform((96, 128))
    assert len(FelzenszwalbMasks(transform)(frame, transform.image(frame.image)).masks) == 3
