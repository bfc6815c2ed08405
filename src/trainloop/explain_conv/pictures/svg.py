"""A scene as SVG: text is text, nothing is fetched or run, and it says what it shows."""

from __future__ import annotations

from html import escape

from trainloop.explain_conv.pictures.scene import (
    DASHED,
    LETTER,
    LETTER_BASE,
    LETTER_LEFT,
    LOOKS,
    PAPER,
    Look,
    Scene,
    Tile,
    Words,
)

FONT = "DejaVu Sans, Verdana, Geneva, sans-serif"


def svg(scene: Scene) -> str:
    """Return the text of an SVG file.

    Args:
        scene: to draw.
    """
    used = sorted({shape.look for shape in scene.shapes if isinstance(shape, Tile)})
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {scene.width} {scene.height}" '
        f'width="{scene.width}" height="{scene.height}" role="img" aria-labelledby="title desc" font-family="{FONT}">',
        f'<title id="title">{_safe(scene.title)}</title>',
        f'<desc id="desc">{_safe(scene.description)}</desc>',
        "<defs>",
        *(_pattern(name, LOOKS[name]) for name in used if LOOKS[name].hatch),
        "</defs>",
        f'<rect width="{scene.width}" height="{scene.height}" fill="{PAPER}"/>',
    ]
    for shape in scene.shapes:
        lines += _tile(shape) if isinstance(shape, Tile) else [_words(shape)]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _pattern(name: str, look: Look) -> str:
    return (
        f'<pattern id="hatch-{name}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="6" height="6" fill="{look.fill}"/><line y2="6" stroke="{look.hatch}" stroke-width="3"/></pattern>'
    )


def _tile(tile: Tile) -> list[str]:
    look = LOOKS[tile.look]
    fill = f"url(#hatch-{tile.look})" if look.hatch else look.fill
    dash = ' stroke-dasharray="3 2"' if look.line == DASHED else ""
    stroke = f' stroke="{look.outline}" stroke-width="{look.width}"{dash}' if look.width else ""
    plane = f' data-plane="{_safe(tile.plane)}"' if tile.plane else ""
    lines = [
        f'<rect class="{tile.look}"{plane} x="{tile.x}" y="{tile.y}" width="{tile.width}" height="{tile.height}" '
        f'fill="{fill}"{stroke}/>'
    ]
    if tile.text:
        middle = Words(
            tile.x + tile.width // 2, tile.y + tile.middle, tile.text, tile.size, look.bold, look.ink, "middle"
        )
        lines.append(_words(middle, plane))
    if tile.letter:
        lines.append(
            f'<text class="letter" x="{tile.x + LETTER_LEFT}" y="{tile.y + LETTER_BASE}" font-size="{LETTER}" '
            f'fill="{look.ink}">{_safe(tile.letter)}</text>'
        )
    return lines


def _words(words: Words, more: str = "") -> str:
    bold = ' font-weight="bold"' if words.bold else ""
    anchor = "" if words.anchor == "start" else f' text-anchor="{words.anchor}"'
    return (
        f'<text{more} x="{words.x}" y="{words.y + 0.36 * words.size:.1f}" font-size="{words.size}" '
        f'fill="{words.ink}"{bold}{anchor}>{_safe(words.text)}</text>'
    )


def _safe(text: str) -> str:
    return escape("".join(char for char in text if char.isprintable()))
