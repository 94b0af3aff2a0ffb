import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.fastsam import FastSam
from bridges.backbones.yolov8_seg import YoloV8Seg, random_network
from moonseg_jax.structs import InputError, SourceFrame

torch.set_num_threads(1)  # Of tiny tensors, threads wait for each other only.
FRAME = SourceFrame("a", 0.0, np.zeros((64, 96, 3), np.uint8))
# Outputs of the network of ultralytics 8.0.120, the one in FastSAM's repository, with the weights
# and on the image below.
CELLS = [0, 50, 100, 125]
BOXES = [
    [-77.5858154296875, -74.48300170898438, 69.11676025390625, 74.02641296386719],
    [-61.30366134643555, -41.05939865112305, 84.56163024902344, 104.72404479980469],
    [-43.421539306640625, -161.78558349609375, 213.16717529296875, 133.87420654296875],
    [-113.49200439453125, -209.98414611816406, 409.764892578125, 318.6656494140625],
]
SCORES = [0.7788815498352051, 0.7808187007904053, 0.7050025463104248, 0.8028811812400818]
COEFFICIENTS = [
    [1.6359474658966064, -1.9231959581375122, -1.4018094539642334],
    [1.830093502998352, -1.9944530725479126, -1.599900722503662],
    [0.9634996652603149, -1.5980315208435059, -1.1196742057800293],
    [0.43380337953567505, -0.8245248198509216, -0.5317161083221436],
]
PROTOTYPES = [0.8721856474876404, -0.1666678488254547, 0.6304334402084351]


def _set_weights(network):
    for i, (name, tensor) in enumerate(sorted(network.state_dict().items())):
        if name.endswith("num_batches_tracked") or ".dfl." in name:
            continue
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * 0.7 + i)
        if name.endswith("running_var"):
            wave = 1 + 0.5 * wave
        elif tensor.ndim > 1:
            wave *= 0.9 / tensor[0].numel() ** 0.5
        tensor.copy_(wave.view(tensor.shape))


@pytest.mark.parametrize("fused", [False, True])
def test_network_says_what_the_original_says(fused):
    network = YoloV8Seg("n").eval().requires_grad_(False)
    _set_weights(network)
    if fused:
        network.fuse()
    y, x = torch.meshgrid(torch.arange(64) * 0.1, torch.arange(96) * 0.07, indexing="ij")
    image = torch.stack([torch.sin(x + y), torch.cos(x * y), torch.sin(x - y)])[None] * 0.5 + 0.5
    boxes, scores, coefficients, prototypes = network(image)
    assert boxes.shape == (1, 126, 4) and prototypes.shape == (1, 32, 16, 24)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(boxes[0, CELLS], BOXES, **close)
    np.testing.assert_allclose(scores[0, CELLS], SCORES, **close)
    np.testing.assert_allclose(coefficients[0, CELLS][:, [0, 13, 31]], COEFFICIENTS, **close)
    np.testing.assert_allclose(prototypes[0, [0, 13, 31], 3, 5], PROTOTYPES, **close)


@pytest.mark.parametrize(("size", "millions"), [("s", 11.79), ("x", 71.75)])
def test_published_sizes(size, millions):
    with torch.device("meta"):
        network = YoloV8Seg(size)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def _say(masker, detections, height=64, width=96):
    """Makes the network say ``(box, score, coefficient)``; there is one prototype, a split.

    It is positive in the image's left half and negative in its right half.
    """
    boxes, scores, coefficients = (torch.tensor(part) for part in zip(*detections, strict=True))
    prototypes = torch.ones(1, 1, height // 2, width // 2)
    prototypes[..., width // 4 :] = -1
    said = (boxes[None].float(), scores[None], coefficients[None, :, None].float(), prototypes)
    masker.network = lambda image: said


@pytest.fixture
def masker():
    # A network's image twice the processed one, as 1024 is of 512.
    return FastSam.random("n", image_size=192, min_area=0)


def test_masks_are_the_prototypes_inside_boxes(masker):
    _say(masker, [([40, 40, 160, 80], 0.9, 1.0), ([40, 40, 160, 100], 0.8, -1.0)])
    found = masker(FRAME, np.zeros((64, 96, 3), np.uint8))
    left, right = np.zeros((2, 32, 48), bool)
    left[10:20, 10:24] = True
    right[10:25, 24:40] = True
    np.testing.assert_array_equal(found.masks, [left, right])
    np.testing.assert_array_equal(found.scores, np.float32([0.9, 0.8]))


def test_boxes_near_the_border_reach_it(masker):
    _say(masker, [([15, 15, 100, 60], 0.9, 1.0), ([21, 18, 178, 120], 0.8, 1.0)])
    found = masker(FRAME, np.zeros((64, 96, 3), np.uint8))
    assert found.masks[0][:15, :24].all() and found.masks[0].sum() == 15 * 24
    assert found.masks[1][:, 5:24].all() and found.masks[1].sum() == 32 * 19


def test_a_box_that_is_nearly_the_image_is_the_image(masker):
    _say(masker, [([22, 0, 384, 256], 0.9, 1.0)], 128, 192)
    masker.image_size = 384
    assert masker(FRAME, np.zeros((128, 192, 3), np.uint8)).masks[0][:, :48].all()


def test_unsure_and_double_detections_go(masker):
    box = [40, 40, 90, 80]
    _say(masker, [(box, 0.5, 1.0), ([40, 40, 91, 80], 0.7, 1.0), (box, 0.39, 1.0)])
    found = masker(FRAME, np.zeros((64, 96, 3), np.uint8))
    assert found.scores.tolist() == [np.float32(0.7)]


def test_a_frame_without_masks(masker):
    for detections in ([([40, 40, 90, 80], 0.1, 1.0)], [([100, 40, 150, 80], 0.9, 1.0)]):
        _say(masker, detections)
        found = masker(FRAME, np.zeros((64, 96, 3), np.uint8))
        assert found.masks.shape == (0, 32, 48) and found.scores.shape == (0,)
        assert found.masks.dtype == bool and found.scores.dtype == np.float32


def test_the_best_are_kept_and_the_others_counted(masker):
    masker.max_masks = 2
    tall = [([40, 30, 80, 40 + 20 * i], 0.5 + 0.1 * i, 1.0) for i in range(4)]
    _say(masker, tall)
    found = masker(FRAME, np.zeros((64, 96, 3), np.uint8))
    np.testing.assert_allclose(found.scores, [0.8, 0.7])
    assert masker.dropped == 2


@pytest.mark.parametrize("size", [(64, 96), (48, 96), (80, 80), (36, 64)])
def test_masks_are_on_the_cache_s_grid(size):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    found = FastSam.random("n", image_size=192, confidence=0.45)(FRAME, image)
    assert len(found.masks) > 0 and found.masks.shape[1:] == (size[0] // 2, size[1] // 2)
    assert found.masks.any((1, 2)).all() and ((found.scores >= 0) & (found.scores <= 1)).all()
    assert (found.masks.sum((1, 2)) * 4 >= 256).all()


def test_a_batch_is_its_images():
    masker = FastSam.random("n", image_size=192, confidence=0.45, max_masks=16)
    images = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), dtype=np.uint8)
    for one, image in zip(masker.batch(images), images, strict=True):
        alone = masker(FRAME, image)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-5)
        assert (one.masks == alone.masks).mean() > 0.999


def test_half_precision():
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    masker = FastSam.random("n", image_size=192, confidence=0.45, dtype=torch.bfloat16)
    found = masker(FRAME, image)
    assert len(found.masks) > 0 and found.scores.dtype == np.float32
    assert masker.config["dtype"] == "bfloat16"


def test_pickled_modules_load_without_their_code(tmp_path):
    """As FastSAM is given out: the object itself, in half precision, of a package we lack."""
    network = random_network("n", 0).half()
    vanished = types.ModuleType("vanished")
    vanished.Model = type("Model", (YoloV8Seg,), {"__module__": "vanished"})
    network.__class__ = vanished.Model
    sys.modules["vanished"] = vanished
    torch.save({"epoch": -1, "model": network, "ema": None}, tmp_path / "FastSAM-n.pt")
    del sys.modules["vanished"]
    save_file(network.state_dict(), tmp_path / "FastSAM-n.safetensors")
    loaded = [FastSam(tmp_path / f"FastSAM-n.{suffix}") for suffix in ("pt", "safetensors")]
    assert loaded[0].weights_sha256 == loaded[1].weights_sha256 != ""
    expected = network.float().eval().fuse().state_dict()
    for masker in loaded:
        assert masker.config["size"] == "n"
        for name, tensor in masker.network.state_dict().items():
            torch.testing.assert_close(tensor, expected[name])


class _Evil:
    def __init__(self, function, argument):
        self.made_by = function, (argument,)

    def __reduce__(self):
        return self.made_by


@pytest.mark.parametrize("name", ["system", "exec"])
def test_nothing_in_a_file_runs(tmp_path, name):
    import os

    touched = tmp_path / "touched"
    evil = {
        "system": _Evil(os.system, f"touch {touched}"),
        "exec": _Evil(exec, f"open({str(touched)!r}, 'w')"),
    }[name]
    torch.save({"model": random_network("n", 0), "evil": evil}, tmp_path / "evil.pt")
    if name == "system":  # PyTorch blocks it by name.
        with pytest.raises(InputError, match=r"evil\.pt names .*system"):
            FastSam(tmp_path / "evil.pt")
    else:  # Inert as anything else.
        FastSam(tmp_path / "evil.pt")
    assert not touched.exists()


def test_wrong_files(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "other.pt")
    save_file({"model.0.conv.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "part.safetensors")
    torch.save({"model": random_network("n", 0)}, tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    for name, said in (
        ("other.pt", "does not hold FastSAM's network"),
        ("part.safetensors", "does not hold FastSAM's network"),
        ("cut.pt", "cut"),
        ("missing.pt", "is no file"),
    ):
        with pytest.raises(InputError, match=said):
            FastSam(tmp_path / name)
