"""Pictures side by side, with words above the columns and beside the rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP, LINE, INK = 8, 22, (40, 40, 40)
_FONT = ImageFont.load_default(size=15)


def write_sheet(
    path: Path,
    rows: Sequence[Sequence[Image.Image]],
    columns: Sequence[str] = (),
    beside: Sequence[str] = (),
    below: Sequence[Sequence[str]] = (),
) -> None:
    """Writes a table of pictures; a column is as wide as its widest, a row as high as its highest.

    Args:
        path: of the PNG.
        rows: of pictures.
        columns: words above each column.
        beside: words at the left of each row.
        below: words under each picture.
    """
    widths = [max(picture.width for picture in column) for column in zip(*rows, strict=True)]
    heights = [max(picture.height for picture in row) + LINE * bool(below) for row in rows]
    left = GAP + max((int(_FONT.getlength(words)) + GAP for words in beside), default=0)
    top = GAP + LINE * bool(columns)
    size = left + sum(widths) + GAP * len(widths), top + sum(heights) + GAP * len(heights)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    lefts = left + np.cumsum([0, *(width + GAP for width in widths)])
    for words, x in zip(columns, lefts, strict=False):
        draw.text((x, GAP // 2), words, INK, _FONT)
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        if beside:
            draw.text((GAP, top + height // 2 - LINE // 2), beside[number], INK, _FONT)
        for column, (picture, x) in enumerate(zip(row, lefts, strict=False)):
            sheet.paste(picture, (int(x), top))
            if below:
                draw.text((x, top + picture.height + 2), below[number][column], INK, _FONT)
        top += height + GAP
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def enlarged(pixels: np.ndarray, width: int, *, smooth: bool = True) -> Image.Image:
    """An image ``[H W 3]`` uint8 of another width."""
    rule = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    height = round(width * pixels.shape[0] / pixels.shape[1])
    return Image.fromarray(pixels).resize((width, height), rule)


def evenly(total: int, count: int) -> list[int]:
    """As many indices below ``total``, from the first to the last."""
    return np.unique(np.linspace(0, total - 1, count).round().astype(int)).tolist()
