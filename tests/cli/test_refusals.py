"""What every command says of numbers, places, disks and Ctrl-C: one line."""

import errno
import logging
import os
import subprocess
import sys

import pytest

from bridges.checkpoints import KNOWN
from moonseg_cli import demo
from moonseg_cli.main import _Stderr, main
from moonseg_cli.progress import track
from moonseg_cli.runtime import enable_compilation_cache
from moonseg_jax import __version__
from tests.cli.recordings import digests, write_recording

SHORT_TRAINING = {
    "segment": [],
    "train": ["--config.data.batch_clips=1", "--config.data.clip_frames=2"],
}


@pytest.fixture
def room(tmp_path):
    return write_recording(tmp_path / "room", 0, frames=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("cache --stride=0", "--stride: 0 is not a whole number of 1 or more"),
        ("cache --max-frames=-1", "--max-frames: -1 is not a whole number of 0 or more"),
        ("cache --scenes-at-once=-2", "--scenes-at-once: -2 is not a whole number of 0 or more"),
        ("segment --stride=two", "--stride: two is not a whole number of 1 or more"),
        ("segment --reset-every=-5", "--reset-every: -5 is not a whole number of 0 or more"),
        ("demo --frames=2", "--frames: 2 is not a whole number of 3 or more"),
        ("view a --turn-frames=0", "--turn-frames: 0 is not a whole number of 1 or more"),
        ("view a --port=99999", "--port: 99999 is not a number of 1 to 65535"),
        ("segment --cache=a --source=b", "not allowed with argument"),
    ],
)
def test_numbers_that_cannot_be(refused, words, said):
    sentence = refused(*words.split())
    assert said in sentence and "--help" in sentence


def test_every_command_says_where_nothing_can_be_written(pristine, tmp_path, refused, monkeypatch):
    (tmp_path / "file").touch()
    place = f"{tmp_path}/file"
    monkeypatch.setattr(demo, "make_recording", None)  # Told before a minute of work.
    assert place in refused("demo", f"--out={place}/demo")
    cache = f"--cache={pristine}/cache"
    assert place in refused("segment", cache, f"--out={place}/result")
    short = SHORT_TRAINING["train"]
    assert place in refused("train", cache, *short, f"--workdir={place}/run")
    source = f"--source={pristine}/room"
    # Before weights are looked for, and before room is.
    monkeypatch.setattr("shutil.disk_usage", None)
    assert place in refused("cache", source, "--rfm=cut3r", f"--out={place}/cache")
    assert "is not a cache" in refused("cache", source, "--rfm=cut3r", f"--out={tmp_path}")


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "cannot be written")]
)
@pytest.mark.parametrize(
    "writer", ["moonseg_jax.eval.predictions.write_ply", "moonseg_jax.viz.write_contact_sheet"]
)
def test_a_disk_that_fills_up_leaves_no_half_result(
    pristine, tmp_path, refused, monkeypatch, writer, code, said
):
    def full(path, *_):
        path.write_text("half")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(writer, full)
    out = tmp_path / "result"
    sentence = refused("segment", f"--cache={pristine}/cache", f"--out={out}")
    assert str(out) in sentence and said in sentence
    left = [path.name for path in tmp_path.rglob("*") if "p" in path.suffix]
    whole = ["scene.ply", *(f"{i:06d}.png" for i in range(6))] if "viz" in writer else []
    assert sorted(name for name in left if not name.endswith("npz")) == sorted(whole)


def test_what_the_system_refuses_elsewhere_is_a_sentence_too(refused, tmp_path, monkeypatch):
    def refuse(args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/closed/file")

    monkeypatch.setattr("moonseg_cli.export.run", refuse)
    sentence = refused("export", "--predictions=a", f"--out={tmp_path}/b")
    assert "/closed/file: Permission denied" in sentence


@pytest.mark.parametrize("words", ["segment --cache=a --out=", "train --cache={} --workdir="])
def test_a_name_that_is_too_long_for_the_disk(pristine, refused, tmp_path, words):
    words = f"{words}{tmp_path}/{'long' * 80}".format(f"{pristine}/cache").split()
    assert "File name too long: name another place" in refused(*words, *SHORT_TRAINING[words[0]])


def test_an_interrupt_while_a_command_loads(monkeypatch, capsys):
    def interrupted(command):
        raise KeyboardInterrupt

    monkeypatch.setattr("moonseg_cli.main._module", interrupted)
    assert main(["cache", "--source=a", "--out=b"]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("moonseg cache: stopped; ")


def test_other_packages_say_only_what_goes_wrong():
    code = (
        "import logging; from moonseg_cli.main import main; main(['doctor', '--json']);"
        "logging.getLogger('elsewhere').info('chatter');"
        "logging.getLogger('bridges.x').info('ours')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr == "ours\n"


def test_programs_are_kept_where_that_is_possible(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    told = {}
    monkeypatch.setattr("jax.config.update", told.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    enable_compilation_cache()
    assert told.pop("jax_compilation_cache_dir") == f"{tmp_path}/moonseg_jax/xla"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/file")
    enable_compilation_cache()
    assert "jax_compilation_cache_dir" not in told


def test_the_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"moonseg {__version__}\n")


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("cache --source=a --out=b", "the same command goes on with the others"),
        ("train --cache=a --workdir=b", "the same command goes on from it"),
        ("segment --cache=a --out=b", "the same command begins anew"),
    ],
)
def test_an_interrupt_says_how_to_go_on(command, kept, monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    name = command.split()[0]
    monkeypatch.setattr(f"moonseg_cli.{name}.run", interrupted)
    assert main(command.split()) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"moonseg {name}: stopped; ") and kept in line


def test_a_bar_leaves_nothing_behind(monkeypatch, capsys):
    assert list(track([1, 2], "look", total=2)) == [1, 2]
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert list(track([1, 2], "look", total=2)) == [1, 2]
    shown = capsys.readouterr().err
    erase_line = "\x1b[2K"
    assert "look" in shown and erase_line in shown[shown.rindex("look") :]


@pytest.mark.usefixtures("found_weights")
def test_what_loads_is_named(room, tmp_path, caplog, tiny_weights):
    caplog.set_level(logging.INFO)
    words = [f"--source={room}", f"--out={tmp_path}/cache", "--masks=fastsam", "--max-frames=1"]
    assert main(["cache", *words]) == 0
    assert f"loading fastsam from {tiny_weights}/FastSAM-x.safetensors" in caplog.messages


def test_messages_go_to_where_stderr_is_now(capsys, monkeypatch):
    handler = _Stderr()
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    handler.emit(logging.makeLogRecord({"msg": "hello"}))
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.parametrize("command", ["cache", "segment"])
def test_help_names_the_weights_and_where_they_are_looked_for(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "$MOONSEG_WEIGHTS" in told and "--with-state-attention" in told
    for known in KNOWN:
        assert known.name in told.replace("- ", "-"), known.name


def test_a_flag_that_changes_nothing_is_refused(room, refused, tmp_path):
    sentence = refused("cache", f"--source={room}", f"--out={tmp_path}/cache", "--device=cuda")
    assert "--device would change nothing" in sentence
    assert digests(tmp_path).keys() == {f"room/{name}" for name in digests(room)}
