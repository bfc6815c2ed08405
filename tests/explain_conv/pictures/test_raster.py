"""PNG and GIF, decoded: sizes, frames, durations, and the colours of what is marked."""

from __future__ import annotations

import io
import string

import pytest
from PIL import Image

from trainloop.explain_conv.pictures.pictures import MOST_FRAMES, animation, still
from trainloop.explain_conv.pictures.planes import SCATTER
from trainloop.explain_conv.pictures.raster import draw, gif, png
from trainloop.explain_conv.pictures.scene import LOOKS, Scene, Tile, Words
from trainloop.explain_conv.pictures.walks import Walk


def rgb(colour):
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def near_corner(image, tile, scale):
    """The dot inside the outline, where no digit and no letter is."""
    return image.getpixel(((tile.x + 3) * scale, (tile.y + tile.height - 4) * scale))


def plain_tiles(scene):
    return [
        shape
        for shape in scene.shapes
        if isinstance(shape, Tile) and shape.plane in ("input", "weight", "output") and not LOOKS[shape.look].hatch
    ]


def test_a_png_has_twice_the_dots_and_every_cell_its_colour(conv):
    scene = still(conv.explained())
    image = Image.open(io.BytesIO(png(scene, "a comment"))).convert("RGB")
    assert image.size == (2 * scene.width, 2 * scene.height)
    tiles = plain_tiles(scene)
    assert len(tiles) > 200
    assert all(near_corner(image, tile, 2) == rgb(LOOKS[tile.look].fill) for tile in tiles)


def test_a_cell_of_another_colour_would_be_noticed(conv):
    scene = still(conv.explained())
    image = Image.open(io.BytesIO(png(scene))).convert("RGB")
    (chosen, *_) = [tile for tile in plain_tiles(scene) if tile.look == "chosen"]
    assert near_corner(image, chosen, 2) != rgb(LOOKS["read"].fill)


@pytest.mark.parametrize(("text", "size"), [("Conv2d(1, 1, 3, padding=1)", "3x4"), ("ConvTranspose2d(1, 1, 3)", "2x3")])
def test_an_animation_has_a_frame_for_each_step(conv, text, size):
    walk = Walk(conv.explained(text, size))
    scenes = list(animation(walk))
    image = Image.open(io.BytesIO(gif(scenes, 500, 2000, "what it is")))
    assert (image.n_frames, image.info["loop"], image.info["comment"]) == (len(walk), 0, b"what it is")
    assert image.size == (max(scene.width for scene in scenes), max(scene.height for scene in scenes))
    durations = []
    for step, scene in enumerate(scenes):
        image.seek(step)
        durations.append(image.info["duration"])
        frame = image.convert("RGB")
        assert all(near_corner(frame, tile, 1) == rgb(LOOKS[tile.look].fill) for tile in plain_tiles(scene))
    assert durations == [*[500] * (len(walk) - 1), 2000]


def test_a_long_walk_is_cut_and_says_so(conv):
    scenes = list(animation(Walk(conv.explained("ConvTranspose2d(1, 1, 2, stride=2)", "11x11"), SCATTER)))
    assert len(scenes) == MOST_FRAMES
    for scene in (scenes[0], scenes[-1]):
        assert any(isinstance(shape, Words) and "The first 100 of 122 steps." in shape.text for shape in scene.shapes)


def dark(image, ground):
    """The dots that are not of the ground."""
    return {(x, y) for x in range(image.width) for y in range(image.height) if image.getpixel((x, y)) != ground}


@pytest.mark.parametrize("letter", string.ascii_lowercase)
def test_a_letter_is_drawn_beside_the_number(letter):
    """In the smallest cell that there is."""
    ground, blank = rgb(LOOKS["read"].fill), Tile(8, 8, 24, 24, "read")

    def drawn(**changes):
        tile = blank._replace(**changes)
        return dark(draw(Scene(40, 40, "", "", (tile,)), 2), ground)

    frame = drawn()
    alone = drawn(letter=letter) - frame
    # Where the number lies under a letter: its text gives way.
    number = drawn(letter=letter, text="8") - frame - alone
    assert len(alone) > 10
    assert len(number) > 60
    assert not {(x + dx, y + dy) for x, y in alone for dx in (-1, 0, 1) for dy in (-1, 0, 1)} & number
    assert all(16 < x < 64 and 16 < y < 64 for x, y in alone)


def test_letters_stand_in_the_picture_and_its_legend(conv):
    scene = still(conv.explained())
    tiles = [shape for shape in scene.shapes if isinstance(shape, Tile)]
    assert sorted(tile.letter for tile in tiles if tile.letter) == [*"aabbccdd"]
    assert {tile.text for tile in tiles if not tile.plane} == {"", "a"}
    assert any(isinstance(shape, Words) and "multiplied with each other" in shape.text for shape in scene.shapes)
    with_letters = png(scene)
    bare = Scene(
        scene.width,
        scene.height,
        "",
        "",
        tuple(shape._replace(letter="") if isinstance(shape, Tile) else shape for shape in scene.shapes),
    )
    assert png(bare) != with_letters
    plain = still(conv.explained("Conv2d(1, 1, 3)", "5x5"))
    assert not any(isinstance(shape, Words) and "multiplied with" in shape.text for shape in plain.shapes)


def test_the_digest_is_that_of_what_is_drawn(conv):
    scene = still(conv.explained())
    assert scene.digest == still(conv.explained()).digest
    first, *rest = scene.shapes
    other = Scene(scene.width, scene.height, "", "", (first._replace(x=first.x + 1), *rest))
    assert other.digest != scene.digest
