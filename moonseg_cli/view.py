"""`moonseg view`: a result in the browser, or in pictures on a machine without a display."""

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from moonseg_cli.backbones import at_least

if TYPE_CHECKING:
    from moonseg_jax.eval.predictions import Predictions
    from moonseg_jax.structs import Recording, SceneInfo
    from moonseg_jax.viz.viewer.page import Viewer

LOOPBACK = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which result; where the page is, or which pictures are written."""
    parser.add_argument("result", metavar="RESULT", help="made by `moonseg segment`")
    add_address(parser)
    pictures = parser.add_argument_group("pictures, without a browser or a display")
    pictures.add_argument("--headless", action="store_true", help="write pictures and end")
    pictures.add_argument("--png", metavar="FILE", help="with --headless: one picture")
    pictures.add_argument("--mp4", metavar="FILE", help="with --headless: a turn around the scene")
    pictures.add_argument(
        "--turn-frames",
        type=at_least(1),
        default=72,
        metavar="N",
        help="of the film, 18 a second; default: %(default)s",
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Where the page is served."""
    page = parser.add_argument_group("page in the browser")
    page.add_argument(
        "--host",
        default=LOOPBACK,
        help="address to listen at; default: %(default)s, this machine only. There is no password: "
        "with 0.0.0.0 everyone on the network can look",
    )
    page.add_argument(
        "--port",
        type=_port,
        default=8080,
        help="default: %(default)s, or the next one that is free",
    )


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C, or writes the pictures."""
    from moonseg_jax.eval import read_predictions
    from moonseg_jax.structs import InputError

    if args.headless != bool(args.png or args.mp4):
        raise InputError("--headless goes with --png=FILE, --mp4=FILE or both, and they with it")
    predictions = read_predictions(args.result)
    if args.headless:
        write_pictures(predictions, args.png, args.mp4, args.turn_frames)
        return
    viewer = open_viewer(predictions.info, args.host, args.port)
    viewer.set_result(predictions, recording_of(predictions))
    viewer.wait()


def open_viewer(info: "SceneInfo", host: str = LOOPBACK, port: int = 8080) -> "Viewer":
    """Starts an empty page and says where it is.

    Raises:
        InputError: viser is missing, or the address cannot be listened at.
    """
    from moonseg_jax.structs import InputError, install

    if not importlib.util.find_spec("viser"):
        raise InputError(
            f"the page needs viser: {install('viewer')}; "
            "`moonseg view RESULT --headless --png=FILE` works without"
        )
    from moonseg_jax.viz.viewer.page import Viewer

    try:
        viewer = Viewer(info, host=host, port=port)
    except OSError as error:
        raise InputError(f"--host={host} --port={port} cannot be listened at ({error})") from error
    print(f"{viewer.address} shows {info.scene}; Ctrl-C ends", flush=True)
    return viewer


class LivePage:
    """A page that fills in while a scene is segmented; opened once that is known.

    Args:
        host, port: as the flags say.
    """

    viewer: "Viewer"

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def open(self, info: "SceneInfo") -> None:
        """Starts the page, empty."""
        self.viewer = open_viewer(info, self._host, self._port)

    def wait(self) -> None:
        """Serves the result until Ctrl-C."""
        self.viewer.wait()


def recording_of(predictions: "Predictions") -> "Recording | None":
    """The cache that a result was made from, for the pictures of its frames; None if it is gone."""
    from moonseg_jax.cache import CacheReader
    from moonseg_jax.structs import InputError

    if not predictions.cache:
        return None
    try:
        return CacheReader(predictions.cache)
    except InputError as error:
        print(f"frames are shown without pictures: {error}")
        return None


def write_pictures(
    predictions: "Predictions", png: str | None, mp4: str | None, turn_frames: int
) -> None:
    """Draws a result: one picture, a film around it, or both.

    Raises:
        InputError: a file cannot be written, or there is next to nothing to draw.
    """
    from moonseg_cli.progress import track
    from moonseg_jax.structs import InputError
    from moonseg_jax.viz.viewer.turntable import Turntable, write_film

    turntable = Turntable(predictions)
    try:
        if png:
            _made(png)
            turntable.picture().save(png, "png")
            print(png)
        if mp4:
            _made(mp4)
            write_film(mp4, track(turntable.turn(turn_frames), "turn", turn_frames))
            print(mp4)
    except OSError as error:
        raise InputError(f"{error.filename or png or mp4} cannot be written ({error})") from error


def _made(file: str) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
