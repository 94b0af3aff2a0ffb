import argparse
import os
import pathlib
import sys
import types
import typing
import zipfile
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.checkpoints import file_sha256, read_tensors, tensors_sha256
from moonseg_jax.structs import InputError


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(40, 30, generator=generator),
        "b": torch.arange(5, dtype=torch.int64),
        "c": torch.ones(2, 2, dtype=torch.bfloat16),
    }


@pytest.fixture
def marker(tmp_path):
    """A file that a malicious pickle would make."""
    file = tmp_path / "it-ran"
    yield file
    assert not file.exists(), "code of the file was run"


def assert_same(read, expected):
    assert read.keys() == expected.keys()
    for name, tensor in expected.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("entry", [None, "model", "state_dict"])
def test_pytorch_files(tmp_path, tensors, zipped, entry):
    content = tensors if entry is None else {entry: tensors, "epoch": 3, "loss": [0.5, None]}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert_same(read_tensors(tmp_path / "w.pth"), tensors)


def test_safetensors_and_the_hash_of_what_is_in_it(tmp_path, tensors):
    save_file(tensors, tmp_path / "w.safetensors")
    torch.save({"model": dict(reversed(tensors.items()))}, tmp_path / "w.pth")
    read = [read_tensors(tmp_path / name) for name in ("w.safetensors", "w.pth")]
    assert_same(read[0], tensors)
    assert tensors_sha256(read[0]) == tensors_sha256(read[1])
    assert file_sha256(tmp_path / "w.safetensors") != file_sha256(tmp_path / "w.pth")
    tensors["b"][0] = 7
    assert tensors_sha256(tensors) != tensors_sha256(read[0])


def test_parameters_come_without_their_gradients(tmp_path):
    torch.save(dict(torch.nn.Linear(2, 2).named_parameters()), tmp_path / "w.pth")
    assert not any(t.requires_grad for t in read_tensors(tmp_path / "w.pth").values())


def test_an_address_behind_the_suffix_does_no_harm(tmp_path, tensors):
    torch.save(tensors, tmp_path / "w.pth?Policy=abc")
    assert_same(read_tensors(tmp_path / "w.pth?Policy=abc"), tensors)


class Stateful:
    """Pickled as OmegaConf's containers are: a bare object, then its state."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


@pytest.fixture
def omegaconf(monkeypatch):
    """Classes of OmegaConf's names, which are gone when the file is read."""
    names = {
        "base": ("ContainerMetadata", "Metadata"),
        "dictconfig": ("DictConfig",),
        "listconfig": ("ListConfig",),
        "nodes": ("AnyNode",),
    }
    found = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))
    for module_name, classes in names.items():
        module = types.ModuleType(f"omegaconf.{module_name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for name in classes:
            cls = type(name, (Stateful,), {"__module__": module.__name__})
            setattr(module, name, cls)
            setattr(found, name, cls)
    return found


def test_what_training_keeps_beside_the_model_is_left_out(
    tmp_path, tensors, omegaconf, monkeypatch
):
    metadata = omegaconf.ContainerMetadata(
        ref_type=typing.Any, object_type=dict, key_type=int, resolver_cache=defaultdict(dict)
    )
    node = omegaconf.AnyNode(_val="ARCroco3DStereo()", _metadata=omegaconf.Metadata(optional=True))
    nodes = omegaconf.ListConfig(_content=[node], _metadata=metadata)
    content = {
        "model": tensors,
        "args": omegaconf.DictConfig(_content={"model": node, "views": nodes}, _metadata=metadata),
        "namespace": argparse.Namespace(lr=1e-4, path=pathlib.Path("/x")),
        "optimizer": torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))]).state_dict(),
        "best_so_far": np.float64(0.5),
    }
    torch.save(content, tmp_path / "w.pth")
    for name in [name for name in sys.modules if name.startswith("omegaconf")]:
        monkeypatch.delitem(sys.modules, name)
    assert_same(read_tensors(tmp_path / "w.pth"), tensors)


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("protocol", [2, 4], ids=["GLOBAL", "STACK_GLOBAL"])
@pytest.mark.parametrize("place", ["root", "model", "nested", "args", "state", "key"])
def test_a_file_that_would_run_something_is_refused(
    tmp_path, tensors, marker, zipped, protocol, place
):
    call = Call(os.system, f"touch {marker}")
    content = {
        "root": call,
        "model": {"model": call},
        "nested": {"model": {**tensors, "x": [({"y": call},)]}},
        "args": {"model": tensors, "args": argparse.Namespace(model=call)},
        "state": {"model": tensors, "args": Call(argparse.Namespace, call)},
        "key": {"model": tensors, call: 1},
    }[place]
    torch.save(
        content,
        tmp_path / "evil.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(InputError, match=r"evil\.pth would run posix\.system"):
        read_tensors(tmp_path / "evil.pth")


@pytest.mark.parametrize(
    ("function", "named"),
    [(eval, "eval"), (exec, "exec"), (__import__, "__import__"), (getattr, "getattr")],
)
def test_builtins_are_refused_by_name(tmp_path, tensors, marker, function, named):
    call = Call(function, f"open({str(marker)!r}, 'w')")
    torch.save({"model": {**tensors, "x": call}}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=f"would run {named} "):
        read_tensors(tmp_path / "evil.pth")


@pytest.mark.parametrize("opcode", ["INST", "GLOBAL"])
def test_hand_made_pickles_are_refused(tmp_path, marker, opcode):
    command = f"S'touch {marker}'\n".encode()
    evil = {
        "INST": b"(" + command + b"iposix\nsystem\n.",
        "GLOBAL": b"\x80\x02cposix\nsystem\n(" + command + b"tR.",
    }[opcode]
    (tmp_path / "evil.pt").write_bytes(evil)
    with pytest.raises(InputError, match=r"would run posix\.system"):
        read_tensors(tmp_path / "evil.pt")


def test_a_pickled_module_is_refused(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"would run torch\.nn\.modules\.linear\.Linear"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0, 3, 40, 0.5, 0.97])
def test_truncated_files(tmp_path, tensors, kind, kept):
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(InputError, match=r"w\.\w+ (is empty|is cut short|is not pickled)"):
        read_tensors(path)


def test_an_archive_packed_anew_is_read_as_it_was(tmp_path, tensors):
    torch.save(tensors, tmp_path / "w.pth")
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as given,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in given.namelist():
            packed.writestr(name, given.read(name))
    assert_same(read_tensors(tmp_path / "packed.pth"), tensors)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("\n<!DOCTYPE html>\n<html>Google Drive can't scan this file", "a web page"),
        ('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a server's refusal"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer"),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_is_no_weights_is_called_by_its_name(tmp_path, text, what, name):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"is {what}, not weights"):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": {"a": 1.0}}, torch.ones(2)])
def test_files_without_named_tensors(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(InputError, match="no tensors by name"):
        read_tensors(tmp_path / "w.pth")


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(InputError, match="is no file"):
            read_tensors(path)


def test_tensors_in_a_newer_pickle_are_no_accusation(tmp_path, tensors):
    torch.save({"model": tensors}, tmp_path / "w.pth", pickle_protocol=4)
    with pytest.raises(InputError, match="not pickled as weights are: save") as caught:
        read_tensors(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
