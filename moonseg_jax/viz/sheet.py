"""Pictures in rows on one sheet, with words above them."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

WIDTH = 1800
GAP = 12
_LINE = 44
_INK = (40, 40, 40)


def stack(rows: Sequence[Image.Image]) -> Image.Image:
    """Rows as `beside` and `line` make them, one below the other."""
    height = sum(row.height for row in rows) + GAP * (len(rows) + 1)
    sheet = Image.new("RGB", (WIDTH, height), "white")
    top = GAP
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height + GAP
    return sheet


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Images of one height as a row."""
    row = Image.new("RGB", (WIDTH, images[0].height), "white")
    left = GAP
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + GAP
    return row


def cell_width(count: int) -> int:
    """Of ``count`` images in a row."""
    return (WIDTH - GAP * (count + 1)) // count


def line(words: Sequence[str]) -> Image.Image:
    """Words as a row, with dots between them."""
    row = Image.new("RGB", (WIDTH, _LINE), "white")
    font = ImageFont.load_default(size=26)
    ImageDraw.Draw(row).text((GAP, 6), "   ·   ".join(words), _INK, font)
    return row
