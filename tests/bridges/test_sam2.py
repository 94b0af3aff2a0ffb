import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate

from bridges.backbones.mask_filters import box_iou, boxes_of
from bridges.backbones.sam2 import MEAN, STD, Sam2
from bridges.backbones.sam2_tiny import tiny_config
from moonseg_jax.structs import InputError, SourceFrame

transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)  # Of tiny tensors, threads wait for each other only.
FRAME = SourceFrame("a", 0.0, np.zeros((96, 128, 3), np.uint8))
# What an untrained model reaches.
LOW = {"points_per_side": 8, "predicted_iou": 0.4, "stability": 0.1, "min_area": 64}


def _image(seed=0, size=(96, 128)):
    blocks = np.random.default_rng(seed).integers(0, 255, (size[0] // 16, size[1] // 16, 3))
    return np.kron(blocks, np.ones((16, 16, 1))).astype(np.uint8)


def _reference(masker, image):
    """The same by the model's own forward, mask by mask."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None] / 255
    pixels = interpolate(pixels, (128, 128), mode="bilinear")
    pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    points = torch.tensor([[x * 16 + 8.0, y * 16 + 8.0] for y in range(8) for x in range(8)])
    with torch.no_grad():
        said = masker.model(pixel_values=pixels, input_points=points[None, :, None])
    found = []
    for logits, score in zip(said.pred_masks.flatten(0, 2), said.iou_scores.flatten(), strict=True):
        logits = interpolate(logits[None, None], (48, 64), mode="bilinear")[0, 0]
        inner, outer = (logits > 1).sum(), (logits > -1).sum()
        if score > 0.4 and outer > 0 and inner / outer >= 0.1:
            found.append((float(score), logits > 0))
    kept = []
    for score, mask in sorted(found, key=lambda item: -item[0]):
        if all(_box_iou(mask, other) <= masker.box_iou for _, other in kept):
            kept.append((score, mask))
    return [(score, mask.numpy()) for score, mask in kept if mask.sum() * 4 >= 64]


def _box_iou(a, b):
    """Of boxes that end at the last pixel."""
    a, b = (boxes_of(mask[None]) - torch.tensor([0, 0, 1, 1]) for mask in (a, b))
    return box_iou(a, b)


# Untrained, all masks reach over the whole image; with 1 none is a double.
@pytest.mark.parametrize(("box_iou", "least"), [(0.7, 1), (1.0, 20)])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_mask_by_mask(seed, box_iou, least):
    masker = Sam2.random(seed=seed, box_iou=box_iou, max_masks=999, **LOW)
    found, expected = masker(FRAME, _image()), _reference(masker, _image())
    assert len(found.masks) == len(expected) >= least
    np.testing.assert_allclose(found.scores, [score for score, _ in expected], atol=1e-5)
    for mask, (_, expected_mask) in zip(found.masks, expected, strict=True):
        assert (mask == expected_mask).mean() > 0.99


@pytest.mark.parametrize("size", [(96, 128), (64, 128), (128, 128)])
def test_masks_are_on_the_cache_s_grid(size):
    found = Sam2.random(seed=1, **LOW)(FRAME, _image(size=size))
    assert len(found.masks) > 0 and found.masks.shape[1:] == (size[0] // 2, size[1] // 2)
    assert found.masks.dtype == bool and found.scores.dtype == np.float32
    assert (found.masks.sum((1, 2)) * 4 >= 64).all()
    assert ((found.scores > 0.4) & (found.scores <= 1)).all()


def test_a_frame_without_masks():
    found = Sam2.random(points_per_side=4, predicted_iou=0.999)(FRAME, _image())
    assert found.masks.shape == (0, 48, 64) and found.scores.shape == (0,)


def test_how_many_points_are_decoded_at_once_does_not_matter():
    all_at_once, few = (Sam2.random(seed=1, points_per_batch=n, **LOW) for n in (64, 5))
    a, b = all_at_once(FRAME, _image()), few(FRAME, _image())
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
    assert (a.masks == b.masks).mean() > 0.999


def test_a_batch_is_its_images():
    masker = Sam2.random(seed=1, **LOW)
    images = np.stack([_image(0), _image(1)])
    for one, image in zip(masker.batch(images), images, strict=True):
        np.testing.assert_allclose(one.scores, masker(FRAME, image).scores, atol=1e-5)


def test_the_best_are_kept_and_the_others_counted():
    every = Sam2.random(seed=1, **LOW, box_iou=1.0)
    some = Sam2.random(seed=1, **LOW, box_iou=1.0, max_masks=2)
    a, b = every(FRAME, _image()), some(FRAME, _image())
    np.testing.assert_array_equal(a.masks[:2], b.masks)
    assert every.dropped == 0 and some.dropped == len(a.masks) - 2 > 0


def test_half_precision_keeps_the_points_fine():
    masker = Sam2.random(seed=1, dtype=torch.bfloat16, **LOW)
    exact = Sam2.random(seed=1, **LOW)
    torch.testing.assert_close(masker._sparse, exact._sparse, atol=0.02, rtol=0.02)
    found = masker(FRAME, _image())
    assert len(found.masks) > 0 and found.scores.dtype == np.float32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The video model, as the hub has it."""
    config = tiny_config(transformers)
    sizes = {f"memory_{name}_hidden_size": 32 for name in ("attention", "encoder")}
    video = transformers.Sam2VideoConfig(
        vision_config=config.vision_config,
        prompt_encoder_config=config.prompt_encoder_config.to_dict(),
        mask_decoder_config=config.mask_decoder_config.to_dict(),
        image_size=128,
        memory_encoder_output_channels=8,
        mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
        memory_attention_feed_forward_hidden_size=32,
        **sizes,
    )
    path = tmp_path_factory.mktemp("sam2")
    transformers.Sam2VideoModel(video).save_pretrained(path)
    return path


def test_the_hub_s_folder(folder, capfd):
    masker = Sam2(folder, points_per_side=4)
    assert len(masker.weights_sha256) == 64
    assert masker.config["image_size"] == 128 and json.dumps(masker.config)
    tensors = load_file(folder / "model.safetensors")
    state = masker.model.state_dict()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in state.items())
    assert capfd.readouterr() == ("", "")


def test_wrong_folders(folder, tmp_path):
    def copy(name, config=None, drop=""):
        (tmp_path / name).mkdir()
        known = json.loads((folder / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps(known | (config or {})))
        tensors = load_file(folder / "model.safetensors")
        kept = {key: tensor for key, tensor in tensors.items() if key != drop}
        save_file(kept, tmp_path / name / "model.safetensors", {"format": "pt"})
        return tmp_path / name

    with pytest.raises(InputError, match=r"missing is no model's folder"):
        Sam2(tmp_path / "missing")
    with pytest.raises(InputError, match=r"other holds a model of type dinov3_vit"):
        Sam2(copy("other", {"model_type": "dinov3_vit"}))
    lost = "mask_decoder.conv_s0.weight"
    with pytest.raises(InputError, match=rf"part is not the Sam2Model .* such as {lost}"):
        Sam2(copy("part", drop=lost))
