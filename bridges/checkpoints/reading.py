"""Tensors out of weights files, without running anything that is in them."""

import pickletools
import re
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, TYPE_CHECKING, Any

from moonseg_jax.structs import InputError

if TYPE_CHECKING:
    from torch import Tensor

ENTRIES = ("model", "state_dict")
NOT_WEIGHTS = {
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "a server's refusal",
    b"version https://git-lfs": "a git-lfs pointer",
}


def read_tensors(path: str | Path) -> "dict[str, Tensor]":
    """Reads the tensors of a model from a ``.safetensors`` or a PyTorch file.

    Of a training checkpoint only the model is taken. A PyTorch file may hold tensors and plain
    data: PyTorch's own restricted unpickler reads it, and a file that names any other callable is
    refused before anything of it runs. Tensors are mapped from the file where its format allows,
    and take memory as they are used.

    Args:
        path: of the file; PyTorch's may have any suffix.

    Returns:
        Name to tensor, on the CPU, in the file's dtypes.

    Raises:
        InputError: no such file, not weights, damaged, or one that would run code.
    """
    path = Path(path)
    _check_weights(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _unpickle(path)
    for entry in ENTRIES:
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    return _tensors(path, content)


def _check_weights(path: Path) -> None:
    """Refuses what is known not to be weights: a look at the first bytes."""
    if not path.is_file():
        raise InputError(f"{path} is no file: give a weights file.")
    with open(path, "rb") as file:
        head = file.read(64).lstrip().lower()
    if not head:
        raise InputError(f"{path} is empty: download it again.")
    for start, what in NOT_WEIGHTS.items():
        if head.startswith(start):
            raise InputError(f"{path} is {what}, not weights: download the file itself.")


def _read_safetensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"{path} is cut short or no safetensors file ({error}): download it again."
        ) from error


def _unpickle(path: Path) -> Any:
    """The content of a PyTorch file; what is harmless but no tensor or plain data is left out."""
    import torch

    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About pickle protocols; they end in words below.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=_mappable(path))
    except UnpicklingError as error:
        raise InputError(_refusal(path, str(error))) from error
    except Exception as error:  # A damaged pickle fails in whatever way it happens to.
        raise InputError(
            f"{path} is cut short or damaged, or no weights file: download it again."
        ) from error


def _mappable(path: Path) -> bool:
    """Whether tensors lie in a file as they lie in memory.

    Not in the format before torch 1.6, and not in an archive that someone packed anew, whose
    compressed bytes PyTorch would map as they are.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _tensors(path: Path, content: Any) -> "dict[str, Tensor]":
    from torch import Tensor

    if isinstance(content, Mapping):
        tensors = {str(k): v.detach() for k, v in content.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise InputError(
        f"{path} holds no tensors by name: give a state dict, or a training checkpoint with one"
        f" under {' or '.join(ENTRIES)}."
    )


def _refusal(path: Path, reason: str) -> str:
    """Says why the restricted unpickler stopped, naming the callable."""
    named = re.search(r"GLOBAL (\S+)", reason)
    callables = [named[1]] if named else _modern_callables(path)
    if callables:
        return (
            f"{path} would run {', '.join(callables)} on being read, so it was not: take the file"
            " from those who made it, and as tensors only."
        )
    return (
        f"{path} is not pickled as weights are: save its state dict again with torch.save, or as"
        " safetensors."
    )


def _modern_callables(path: Path) -> list[str]:
    """Callables named by opcodes that the restricted unpickler does not know, read off the file.

    It stops at such an opcode without a name. Nothing is run here: `pickletools` only decodes.
    """
    names: set[str] = set()
    pushed: list[str] = []  # Strings in the order of the stack; a name is the last two.
    memo: dict[int, Any] = {}
    value = None
    for opcode, argument, _ in _opcodes(path):
        if opcode.name == "PROTO":  # The next pickle.
            memo.clear()
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = value
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(pushed[-2:]))
        elif opcode.name == "INST":
            names.add(str(argument).replace(" ", "."))
        else:
            value = memo.get(argument) if opcode.name in ("BINGET", "LONG_BINGET") else argument
            pushed += [value] if isinstance(value, str) else []
    harmless = {name for _, name in _HARMLESS} | {"collections.OrderedDict"}
    return sorted(name for name in names - harmless if not name.startswith("torch."))


def _opcodes(path: Path) -> Iterator[Any]:
    """Decodes the pickles of a file, one behind the other, up to where it is something else."""
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(open(path, "rb"))
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
            file = stack.enter_context(archive.open(name))
        with suppress(ValueError):
            while True:
                yield from pickletools.genops(file)


class _Inert:
    """Stands for an object of no use here; takes whatever made it and keeps nothing."""

    def __new__(cls, *arguments: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


# What training codes keep beside the model: their arguments (argparse; OmegaConf, as CUT3R's
# training does) and numbers of NumPy. Never the real classes, so none need be installed.
_HARMLESS: list[Any] = [
    *(
        (_Inert, name)
        for name in (
            "argparse.Namespace",
            "omegaconf.base.ContainerMetadata",
            "omegaconf.base.Metadata",
            "omegaconf.dictconfig.DictConfig",
            "omegaconf.listconfig.ListConfig",
            "omegaconf.nodes.AnyNode",
            "typing.Any",
            "pathlib.PosixPath",
            "pathlib.WindowsPath",
            "numpy.dtype",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
        )
    ),
    *(
        (plain, f"builtins.{plain.__name__}")
        for plain in (dict, list, tuple, int, float, bool, str)
    ),
    (defaultdict, "collections.defaultdict"),
]
