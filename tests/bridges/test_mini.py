"""The small backbones behind ``--rfm=mini --semantic=mini --masks=mini``, with random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.cut3r import MINI, Cut3r, Cut3rStream, normalise_images, plan_image
from bridges.backbones.cut3r.checkpoint import published_tensors
from bridges.backbones.mini_mask_net import MiniMaskConfig, MiniMaskNet
from bridges.backbones.mini_vit import MiniVit, MiniVitConfig
from bridges.bridge import Bridge, BridgeConfig, load_backbones
from bridges.sources import open_source
from moonseg_jax.structs import InputError


@pytest.fixture
def model():
    return Cut3r.random(MINI, 0)


@pytest.fixture
def backbones(model, tmp_path):
    torch.manual_seed(0)
    names = ("cut3r", "semantic", "masks")
    cut3r, semantic, masks = (str(tmp_path / f"{name}.safetensors") for name in names)
    save_file(MiniMaskNet(MiniMaskConfig((4, 6, 8, 8), 1, 3)).state_dict(), masks)
    save_file(published_tensors(model.named_parameters(), MINI.head), cut3r)
    save_file(MiniVit(MiniVitConfig(32, 2)).state_dict(), semantic)
    config = BridgeConfig(
        rfm="mini",
        semantic="mini",
        rfm_weights=cut3r,
        masks="mini",
        semantic_weights=semantic,
        mask_weights=masks,
        state_attention=True,
        device="cpu",
    )
    return load_backbones(config)


def test_aligned_poses_move_the_points_with_their_cameras(make_rgbd, backbones):
    source = make_rgbd(frames=4).path
    bridge = Bridge(open_source(source), backbones)  # So by default.
    frames = [frame for _, frame in bridge.frames()]
    assert bridge.info.geometry.config["poses"] == "aligned" and bridge.seconds["align"] > 0
    backbones.config = replace(backbones.config, align_poses=False)
    told = [frame for _, frame in Bridge(open_source(source), backbones).frames()]
    poses, before = (torch.stack([f.T_world_from_cam for f in x]) for x in (frames, told))
    moved = (poses - before).norm(dim=(1, 2))
    assert moved[0] == 0 and moved[1:].min() > 0
    for a, b in zip(frames, told, strict=True):
        own = [(f.points - f.T_world_from_cam[:3, 3]) @ f.T_world_from_cam[:3, :3] for f in (a, b)]
        torch.testing.assert_close(*own, rtol=1e-4, atol=1e-4)
        assert a.features_3d is not None and a.state_attention.shape == b.state_attention.shape


def test_frames_lie_on_the_grids_of_every_scene(make_rgbd, backbones, model):
    backbones.config = replace(backbones.config, align_poses=False)
    bridge = Bridge(open_source(make_rgbd(frames=3).path), backbones)
    info = bridge.info
    assert (info.image_size, info.patch, info.grid) == ((384, 512), 16, (24, 32))
    assert (info.geometry.name, info.semantics.name, info.masks.name) == ("mini",) * 3
    assert len(info.masks.weights_sha256) == 64
    assert (info.geometry.channels, info.semantics.channels) == (192, 32)
    assert info.geometry.config["variant"] == "mini"
    assert info.poses == "predicted"
    frames = [frame for _, frame in bridge.frames()]
    stream = Cut3rStream(model)
    for source, frame in zip(open_source(bridge.source.path), frames, strict=True):
        pixels = normalise_images(bridge.transform.image(source.image)[None])
        expected = stream(torch.nn.functional.avg_pool2d(pixels, 4), with_attention=True)
        # The pointmap's cells are the pixels that the model sees.
        torch.testing.assert_close(
            torch.as_tensor(frame.points), expected.points_world[0], rtol=1e-3, atol=1e-3
        )
        K = torch.diag(torch.tensor([4.0, 4.0, 1.0])) @ expected.intrinsics[0]
        torch.testing.assert_close(torch.as_tensor(frame.intrinsics), K, rtol=1e-3, atol=1e-2)
        attention = torch.as_tensor(frame.state_attention).float()
        cells = attention.unflatten(2, (16, 2)).unflatten(1, (12, 2)).sum(dim=(2, 4))
        torch.testing.assert_close(cells, expected.state_attention[0], rtol=1e-2, atol=1e-4)
        features = torch.as_tensor(frame.features_3d).float()
        assert features.shape == (24, 32, 192)
        planes = expected.features.movedim(-1, 1)
        finer = torch.nn.functional.interpolate(planes, scale_factor=2, mode="bilinear")
        torch.testing.assert_close(features, finer[0].movedim(0, -1), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (384, 512)), ((720, 1280), (288, 512)), ((600, 600), (384, 512))],
)
def test_processed_images_are_those_of_cut3r(size, expected):
    assert plan_image(size, MINI).image_size == expected


def test_sizes():
    with torch.device("meta"):
        millions = sum(p.numel() for p in Cut3r(MINI).parameters()) / 1e6
    assert 5 < millions < 15


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"other\.safetensors does not fit CUT3R's mini"):
        load_backbones(BridgeConfig(rfm="mini", rfm_weights=str(path)))


@pytest.mark.parametrize(
    ("role", "option"), [("rfm", "rfm"), ("semantic", "semantic"), ("masks", "mask")]
)
def test_an_installation_without_weights(role, option, monkeypatch, tmp_path):
    path = tmp_path / "mini.safetensors"
    monkeypatch.setattr("bridges.loading.MINI_CUT3R", path)
    monkeypatch.setattr("bridges.loading.MINI_SEMANTIC", path)
    monkeypatch.setattr("bridges.loading.MINI_MASKS", path)
    monkeypatch.setattr("bridges.weights.OPTIONS", {path: f"--{option}-weights"})
    with pytest.raises(
        InputError, match=rf"mini\.safetensors is missing .* --{option}-weights=FILE"
    ):
        load_backbones(BridgeConfig(**{role: "mini"}))


def test_semantics_see_an_image_of_half_the_size(backbones):
    image = np.full((1, 384, 512, 3), 90, np.uint8)
    features = backbones.semantics.batch(image)[0].float()
    assert features.shape == (24, 32, 32)
