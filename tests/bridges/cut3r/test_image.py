"""Input images as the published loader makes them; positions."""

import numpy as np
import pytest
import torch
from PIL import Image

from bridges.backbones.cut3r import VARIANTS, normalise_images, plan_image, prepare_image
from bridges.backbones.cut3r.rope import image_positions, rope_table, rotate, state_positions


@pytest.mark.parametrize(
    ("size", "variant", "expected"),
    [
        ((480, 640), "dpt_512", (384, 512)),
        ((720, 1280), "dpt_512", (288, 512)),
        ((600, 600), "dpt_512", (384, 512)),
        ((480, 640), "linear_224", (224, 224)),
        ((1080, 1920), "linear_224", (224, 224)),
        ((968, 1296), "linear_224", (224, 224)),
        ((150, 100), "linear_224", (224, 224)),
    ],
)
def test_sizes(size, variant, expected):
    assert plan_image(size, VARIANTS[variant]).image_size == expected


def test_square_crop_as_the_published_loader():
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    ours = prepare_image(image, VARIANTS["linear_224"])
    # Long side round(224·4/3) = 299, Lanczos, centre square.
    resized = Image.fromarray(image).resize((299, 224), Image.Resampling.LANCZOS)
    pixels = np.asarray(resized.crop((149 - 112, 0, 149 + 112, 224)), np.float32) / 255
    assert ours.shape == (1, 3, 224, 224)
    np.testing.assert_array_equal(ours[0].movedim(0, -1), (pixels - 0.5) / 0.5)


def test_normalised_range():
    x = normalise_images(np.array([[[[0, 51, 255]]]], np.uint8))
    torch.testing.assert_close(x.flatten(), torch.tensor([-1.0, -0.6, 1.0]))


def test_rotation_is_relative_and_knows_negative_positions():
    x, y = torch.randn(2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def product(at, other):
        tables = (rope_table(torch.tensor([p]), 8, 100.0)[:, 0] for p in (at, other))
        turned = [rotate(v, table) for v, table in zip((x, y), tables, strict=True)]
        return turned[0] @ turned[1]

    torch.testing.assert_close(
        product((-1, -1), (2, 5)), product((0, 0), (3, 6)), rtol=1e-5, atol=1e-6
    )
    assert not torch.isclose(product((0, 0), (3, 6)), product((0, 0), (6, 3)))
    torch.testing.assert_close(rotate(x, rope_table(torch.tensor([[0, 0]]), 8, 100.0)[:, 0]), x)


def test_positions():
    assert state_positions(768)[[0, 27, 28, 767]].tolist() == [[0, 0], [0, 27], [1, 0], [27, 11]]
    assert image_positions(2, 3)[[0, 1, 4]].tolist() == [[-1, -1], [0, 0], [1, 0]]
