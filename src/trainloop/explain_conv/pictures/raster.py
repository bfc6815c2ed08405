"""Scenes as PNG and GIF, drawn by Pillow with matplotlib's DejaVu fonts, so that they look the same on every machine."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from trainloop.explain_conv.pictures.scene import (
    DASHED,
    INK,
    LETTER,
    LETTER_BASE,
    LETTER_LEFT,
    LOOKS,
    PALE,
    PAPER,
    Look,
    Scene,
    Tile,
    Words,
)

PNG_SCALE = 2
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}
SHORT = 4
"""letters of a text that is kept for the next time"""
SHADES = 2
"""steps between the colours of text and ground that a picture has"""


def png(scene: Scene, comment: str = "") -> bytes:
    """Return a scene as PNG, two dots for each of its units.

    Args:
        scene: to draw.
        comment: kept in the file.
    """
    out, facts = io.BytesIO(), PngImagePlugin.PngInfo()
    if comment:
        facts.add_itxt("Comment", comment)
    picture = draw(scene, PNG_SCALE).quantize(palette=_palette(), dither=Image.Dither.NONE)
    picture.save(out, "PNG", optimize=True, pnginfo=facts)
    return out.getvalue()


def gif(scenes: Iterable[Scene], milliseconds: int, last: int, comment: str = "") -> bytes:
    """Return scenes as an animation that runs for ever.

    Args:
        scenes: one for each frame, at least one.
        milliseconds: that a frame stands.
        last: that the last one stands.
        comment: kept in the file.
    """
    known = list(scenes)
    width, height = max(scene.width for scene in known), max(scene.height for scene in known)
    palette = _palette()
    frames = [draw(scene, 1, (width, height)).quantize(palette=palette, dither=Image.Dither.NONE) for scene in known]
    out = io.BytesIO()
    frames[0].save(
        out,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[*[milliseconds] * (len(frames) - 1), last],
        loop=0,
        comment=comment.encode(),
        # One palette for all frames, of which each draws only what is different from the one before.
        palette=bytes(_colours()),
        optimize=True,
    )
    return out.getvalue()


def draw(scene: Scene, scale: int, size: tuple[int, int] | None = None) -> Image.Image:
    """Return a scene as an image of RGB.

    Args:
        scene: to draw.
        scale: dots for each of its units.
        size: (width, height) of the image; None for what the scene needs.
    """
    image = Image.new("RGB", size or (scene.width * scale, scene.height * scale), PAPER)
    pen = ImageDraw.Draw(image)
    for shape in scene.shapes:
        if isinstance(shape, Words):
            _words(image, pen, shape, scale)
        else:
            image.paste(_tile(shape._replace(x=0, y=0, plane=""), scale), _corner(shape, scale))
    return image


def _corner(tile: Tile, scale: int) -> tuple[int, int]:
    edge = _edge(LOOKS[tile.look], scale)
    return tile.x * scale - edge, tile.y * scale - edge


def _edge(look: Look, scale: int) -> int:
    """Return how far the outline reaches beyond its rectangle."""
    return look.width * scale // 2


@functools.lru_cache(maxsize=4096)
def _tile(tile: Tile, scale: int) -> Image.Image:
    """Return a rectangle with its outline; the same ones come again in every frame."""
    look = LOOKS[tile.look]
    # An outline of 1 lies on its neighbour's, one of 2 half on either side.
    w, h = ((side + look.width) * scale for side in (tile.width, tile.height))
    image = Image.new("RGB", (max(1, w), max(1, h)), look.fill)
    pen = ImageDraw.Draw(image)
    if look.hatch:
        for start in range(-h, w, 6 * scale):
            pen.line((start, h, start + h, 0), fill=look.hatch, width=2 * scale)
    if look.width and look.line == DASHED:
        _dashed(pen, w, h, look, scale)
    elif look.width:
        pen.rectangle((0, 0, w - 1, h - 1), outline=look.outline, width=look.width * scale)
    if tile.text:
        x, y = w // 2, round(h / 2 + (tile.middle - tile.height // 2 + 0.36 * tile.size) * scale)
        pen.text((x, y), tile.text, fill=look.ink, font=_font(tile.size * scale, look.bold), anchor="ms")
    if tile.letter:
        place = (LETTER_LEFT * scale + _edge(look, scale), LETTER_BASE * scale + _edge(look, scale))
        pen.text(place, tile.letter, fill=look.ink, font=_font(LETTER * scale, bold=False), anchor="ls")
    return image


def _dashed(pen: ImageDraw.ImageDraw, w: int, h: int, look: Look, scale: int) -> None:
    thick = look.width * scale
    for start in range(0, max(w, h), 6 * scale):
        end = start + 4 * scale - 1
        for box in (
            (start, 0, end, thick - 1),
            (start, h - thick, end, h - 1),
            (0, start, thick - 1, end),
            (w - thick, start, w - 1, end),
        ):
            pen.rectangle(box, fill=look.outline)


def _words(image: Image.Image, pen: ImageDraw.ImageDraw, words: Words, scale: int) -> None:
    x, y = words.x * scale, round((words.y + 0.36 * words.size) * scale)
    if len(words.text) > SHORT:
        pen.text(
            (x, y), words.text, fill=words.ink, font=_font(words.size * scale, words.bold), anchor=ANCHORS[words.anchor]
        )
        return
    label, left, top = _label(words._replace(x=0, y=0), scale)
    image.paste(label, (x + left, y + top))


@functools.lru_cache(maxsize=4096)
def _label(words: Words, scale: int) -> tuple[Image.Image, int, int]:
    """Return a short text on paper, and where its corner lies from its place; the same come again and again."""
    font, anchor = _font(words.size * scale, words.bold), ANCHORS[words.anchor]
    left, top, right, bottom = map(round, font.getbbox(words.text, anchor=anchor))
    image = Image.new("RGB", (right - left + 2, bottom - top + 2), PAPER)
    ImageDraw.Draw(image).text((1 - left, 1 - top), words.text, fill=words.ink, font=font, anchor=anchor)
    return image, left - 1, top - 1


@functools.lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", name), size)


def _palette() -> Image.Image:
    palette = Image.new("P", (1, 1))
    palette.putpalette(_colours())
    return palette


def _colours() -> list[int]:
    """Return the palette of every picture: each look's colours, and what lies between its text and its ground."""
    pairs = [(look.fill, look.ink) for look in LOOKS.values()]
    pairs += [(PAPER, ink) for ink in (INK, PALE)]
    found = dict.fromkeys(
        _rgb(colour) for look in LOOKS.values() for colour in (look.fill, look.outline, look.hatch) if colour
    )
    for ground, ink in pairs:
        for step in range(SHADES + 2):
            share = step / (SHADES + 1)
            mixed = [round(a + (b - a) * share) for a, b in zip(_rgb(ground), _rgb(ink), strict=True)]
            found[(mixed[0], mixed[1], mixed[2])] = None
    assert len(found) <= 256
    return [number for colour in found for number in colour]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
