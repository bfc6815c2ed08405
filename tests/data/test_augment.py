import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.config.schema import AugmentConfig
from trainloop.data.augment import Draws, cut_holes_, draw, move_pixels, normalise, reflect


def pictures(count: int = 6, channels: int = 3, height: int = 7, width: int = 9) -> Tensor:
    """uint8 images without two equal neighbours."""
    numbers = torch.arange(count * channels * height * width)
    return (numbers * 37 % 251).to(torch.uint8).view(count, channels, height, width)


def draws_of(config: AugmentConfig, *, epoch: int = 0, count: int = 2_000) -> Draws:
    return draw(torch.arange(count), config, seed=0, epoch=epoch, size=(7, 9))


def flips(config: AugmentConfig, epoch: int) -> Tensor:
    flip = draws_of(config, epoch=epoch).flip
    assert flip is not None
    return flip


def test_nothing_is_drawn_when_nothing_is_asked_for() -> None:
    assert draws_of(AugmentConfig(flip="none")) == Draws(None, None, None)


def test_random_flip_is_an_own_coin_in_each_epoch() -> None:
    config = AugmentConfig(flip="random")
    first, second = flips(config, 0), flips(config, 1)
    assert first.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (first == second).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_alternating_flip_shows_the_other_side_in_every_epoch() -> None:
    config = AugmentConfig(flip="alternating")
    first = flips(config, 0)
    assert first.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(flips(config, 1), ~first)
    assert torch.equal(flips(config, 2), first)


def test_shifts_reach_from_minus_translate_to_translate_on_each_axis() -> None:
    shift_yx = draws_of(AugmentConfig(translate=2)).shift_yx
    assert shift_yx is not None
    assert shift_yx.min(0).values.tolist() == [-2, -2]
    assert shift_yx.max(0).values.tolist() == [2, 2]
    assert not torch.equal(shift_yx[:, 0], shift_yx[:, 1])


def test_hole_centres_reach_every_pixel() -> None:
    hole_yx = draws_of(AugmentConfig(cutout=3)).hole_yx
    assert hole_yx is not None
    assert hole_yx.min(0).values.tolist() == [0, 0]
    assert hole_yx.max(0).values.tolist() == [6, 8]


def test_a_run_of_draws_is_what_these_images_would_get_alone() -> None:
    config = AugmentConfig(flip="random", translate=3, cutout=2)
    part = draws_of(config)[100:130]
    alone = draw(torch.arange(100, 130), config, seed=0, epoch=0, size=(7, 9))
    for name in ("flip", "shift_yx", "hole_yx"):
        assert torch.equal(getattr(part, name), getattr(alone, name))


def test_flip_mirrors_left_and_right() -> None:
    images = pictures(2)
    got = move_pixels(images, Draws(flip=torch.tensor([True, False])))
    assert torch.equal(got[0], images[0].flip(2))
    assert torch.equal(got[1], images[1])


@pytest.mark.parametrize("shift", [(0, 0), (2, 0), (0, -3), (-3, 3), (1, -2)])
@pytest.mark.parametrize("flipped", [False, True])
def test_translate_is_a_window_of_the_flipped_and_reflect_padded_image(shift: tuple[int, int], flipped: bool) -> None:
    images, pad = pictures(1), 3
    got = move_pixels(images, Draws(torch.tensor([flipped]), torch.tensor([shift])))
    before = images.flip(3) if flipped else images
    padded = F.pad(before.float(), (pad, pad, pad, pad), mode="reflect").to(torch.uint8)
    top, left = pad + shift[0], pad + shift[1]
    assert torch.equal(got, padded[:, :, top : top + 7, left : left + 9])


def test_every_image_moves_by_its_own_draw() -> None:
    images = pictures(6)
    config = AugmentConfig(flip="random", translate=2)
    draws = draw(torch.arange(6), config, seed=1, epoch=0, size=(7, 9))
    together = move_pixels(images, draws)
    one_by_one = [move_pixels(images[n : n + 1], draws[n : n + 1]) for n in range(6)]
    assert torch.equal(together, torch.cat(one_by_one))


def test_nothing_moves_without_draws() -> None:
    images = pictures()
    assert move_pixels(images, Draws()) is images


def test_reflection_does_not_repeat_the_border() -> None:
    assert reflect(torch.tensor([-2, -1, 0, 3, 4, 5]), 4).tolist() == [2, 1, 0, 3, 2, 1]


def test_reflection_folds_again_far_outside() -> None:
    assert reflect(torch.tensor([-4, 5, 6, 100]), 3).tolist() == [0, 1, 2, 0]


def test_reflection_of_a_single_pixel_is_that_pixel() -> None:
    assert reflect(torch.tensor([-2, 0, 5]), 1).tolist() == [0, 0, 0]


def test_normalise_equals_the_textbook_formula() -> None:
    images = pictures()
    mean, std = torch.tensor([0.49, 0.48, 0.45]).view(3, 1, 1), torch.tensor([0.25, 0.24, 0.26]).view(3, 1, 1)
    got = normalise(images, 255 * mean, 255 * std)
    expected = (images.double() / 255 - mean.double()) / std.double()
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=1e-6)


def test_normalise_leaves_the_images_as_they_are() -> None:
    images = pictures()
    normalise(images, torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    assert torch.equal(images, pictures())


def hole(centre: tuple[int, int], side: int) -> list[list[int]]:
    x = cut_holes_(torch.ones(1, 2, 4, 5), torch.tensor([centre]), side)
    assert torch.equal(x[0, 0], x[0, 1])
    return x[0, 0].int().tolist()


def test_an_odd_hole_lies_around_its_centre() -> None:
    assert hole((1, 2), 3) == [[1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]


def test_an_even_hole_has_its_centre_below_and_right_of_the_middle() -> None:
    assert hole((2, 2), 2) == [[1, 1, 1, 1, 1], [1, 0, 0, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 1, 1]]


def test_a_hole_is_cut_off_at_the_border() -> None:
    assert hole((0, 4), 3) == [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]


def test_a_hole_larger_than_the_image_leaves_nothing() -> None:
    assert sum(map(sum, hole((1, 1), 20))) == 0
