import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from moonseg_jax.models import file_sha256, load_weights, save_weights, weights_metadata
from moonseg_jax.structs import Backbone, InputError, SceneInfo
from tests.models.conftest import C2, C3, make_core, run_core, small_config


def scene(**changes):
    info = SceneInfo(
        scene="room",
        image_size=(48, 64),
        patch=16,
        point_stride=4,
        mask_stride=2,
        units="metre",
        poses="sensor",
        stride=1,
        geometry=Backbone("sensor", C3),
        semantics=Backbone("classical", C2, weights_sha256="ab"),
        masks=Backbone("felzenszwalb"),
    )
    return dataclasses.replace(info, **changes)


@pytest.fixture
def saved(tmp_path):
    # Eleven layers: a path's numbers must not be sorted as words.
    config = small_config(psi_layers=11)
    graphdef, params = make_core(config)
    path = tmp_path / "core.safetensors"
    save_weights(path, params, weights_metadata(config, scene(), recipe={"steps": 3}))
    return path, graphdef, params


def rewrite(path, change, metadata=None):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=header if metadata is None else metadata)


def test_what_is_loaded_is_what_was_saved(saved, view):
    path, graphdef, params = saved
    loaded_def, loaded, info = load_weights(path)
    assert loaded_def == graphdef
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    before = run_core(nnx.merge(graphdef, params), view)
    jax.tree.map(
        np.testing.assert_array_equal, run_core(nnx.merge(loaded_def, loaded), view), before
    )
    assert info.units == "metre"
    assert info.extra == {"recipe": {"steps": 3}}
    assert info.sha256 == file_sha256(path)
    info.check_fits(scene(), "room.zarr")
    assert [x.name for x in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"geometry": Backbone("cut3r", C3)}, "cut3r"),
        ({"semantics": Backbone("classical", C2 + 1)}, f"channels {C2 + 1}"),
        ({"semantics": Backbone("classical", C2, weights_sha256="cd")}, "cd"),
    ],
)
def test_a_cache_of_another_backbone_is_refused(saved, change, word):
    *_, info = load_weights(saved[0])
    with pytest.raises(InputError, match=r"^room\.zarr: .*" + word):
        info.check_fits(scene(**change), "room.zarr")


def test_a_hash_that_was_not_recorded_is_not_a_misfit(saved):
    *_, info = load_weights(saved[0])
    info.check_fits(scene(semantics=Backbone("classical", C2)), "room.zarr")


@pytest.mark.parametrize("fault", ["missing", "surplus", "misshapen"])
def test_other_tensors_are_refused(saved, fault):
    path = saved[0]
    name = "phi.0.mlp.layers.0.kernel"
    changes = {
        "missing": lambda t: t.pop(name),
        "surplus": lambda t: t.update({"phi.9.extra": np.zeros(3, np.float32)}),
        "misshapen": lambda t: t.update({name: t[name].T.copy()}),
    }
    rewrite(path, changes[fault])
    with pytest.raises(InputError, match=r"core\.safetensors: 1 tensors do not fit.*phi\."):
        load_weights(path)


@pytest.mark.parametrize("fault", ["absent", "text", "truncated", "no_header", "unknown_field"])
def test_files_that_are_not_weights_are_refused(saved, fault):
    path = saved[0]
    data = path.read_bytes()
    if fault == "absent":
        path.unlink()
    elif fault == "text":
        path.write_text("not weights at all, whatever the name says")
    elif fault == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif fault == "no_header":
        rewrite(path, lambda t: None, metadata={"format": "np"})
    else:
        path.write_bytes(data.replace(b'\\"psi_layers\\"', b'\\"phi_layers\\"'))
    with pytest.raises(InputError, match=r"core\.safetensors: "):
        load_weights(path)
