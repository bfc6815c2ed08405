import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.models.speednet import (
    LOGIT_SCALE,
    WHITENING_IMAGES,
    Group,
    SpeedNet,
    near_identity,
    speednet,
    unscaled_norm,
    whitening_filters,
)

MEAN, STD = (0.2, 0.5, 0.7), (0.1, 0.2, 0.3)
SMALL = {"width1": 32, "width2": 48, "width3": 40}


@pytest.fixture
def images() -> Tensor:
    """Noise whose neighbours are alike, so that the patches have strong and weak directions."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(200, 3, 32, 32, generator=generator)
    smooth = F.avg_pool2d(noise, 3, stride=1, padding=1)
    return (smooth * 255).to(torch.uint8)


def normalised(images: Tensor) -> Tensor:
    shift, scale = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return (images.float() / 255 - shift) / scale


@pytest.mark.parametrize("side", [32, 31, 9])
def test_it_gives_a_row_of_logits_for_each_image(side: int) -> None:
    assert speednet(7, **SMALL)(torch.zeros(2, 3, side, side)).shape == (2, 7)


def test_an_image_below_the_documented_size_is_refused() -> None:
    with pytest.raises(RuntimeError, match="too small"):
        speednet(7, **SMALL)(torch.zeros(2, 3, 8, 8))


def multiplications(model: SpeedNet) -> int:
    """Count the convolutions' multiplications for one 32×32 image, layer by layer."""
    total = 0

    def count(layer: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += layer.weight.numel() * output[0, 0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    model.eval()(torch.zeros(1, 3, 32, 32))
    return total


def test_the_cost_is_the_documented_one() -> None:
    a, b, c = 64, 256, 256
    formula = 9 * (31**2 * 24 * a + 15**2 * a**2 + 15**2 * a * b + 7**2 * b**2 + 7**2 * b * c + 3**2 * c**2)
    assert multiplications(speednet(width1=a, width2=b, width3=c)) == formula + 31**2 * 12 * 24 == 118_144_800


def test_the_names_of_the_trained_parameters_are_readable() -> None:
    names = [name for name, parameter in speednet(**SMALL).named_parameters() if parameter.requires_grad]
    of_a_group = ["conv1.weight", "norm1.bias", "conv2.weight", "norm2.bias"]
    groups = [f"group{number}.{name}" for number in (1, 2, 3) for name in of_a_group]
    assert names == ["whitening.bias", *groups, "head.weight"]


def test_the_whitening_weight_and_the_norm_scales_are_frozen() -> None:
    names = [name for name, parameter in speednet(**SMALL).named_parameters() if not parameter.requires_grad]
    norms = [f"group{group}.norm{norm}.weight" for group in (1, 2, 3) for norm in (1, 2)]
    assert names == ["whitening.weight", *norms]


def test_whitened_patches_are_uncorrelated_with_variance_one(images: Tensor) -> None:
    filters = whitening_filters(images, MEAN, STD)
    responses = F.conv2d(normalised(images), filters[:12]).transpose(0, 1).flatten(1)
    moments = responses @ responses.T / responses.shape[1]
    # eps takes a little off the variance of the weakest directions: λ / (λ + eps)
    assert torch.allclose(moments, torch.eye(12), atol=0.06)


def test_the_second_half_of_the_filters_negates_the_first(images: Tensor) -> None:
    filters = whitening_filters(images, MEAN, STD)
    assert torch.equal(filters[12:], -filters[:12])


def test_the_strongest_direction_comes_first(images: Tensor) -> None:
    lengths = whitening_filters(images, MEAN, STD)[:12].flatten(1).norm(dim=1)
    assert torch.equal(lengths, lengths.sort().values)


def test_the_sign_of_an_eigenvector_does_not_depend_on_the_library(images: Tensor) -> None:
    filters = whitening_filters(images, MEAN, STD)[:12].flatten(1)
    assert bool((filters.amax(1) >= -filters.amin(1)).all())


def test_images_without_any_contrast_give_finite_filters() -> None:
    grey = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    assert whitening_filters(grey, MEAN, STD).isfinite().all()


def test_only_the_first_images_shape_the_filters(images: Tensor) -> None:
    many = images.repeat(WHITENING_IMAGES // len(images), 1, 1, 1)[:, :, :4, :4]
    more = torch.cat([many, torch.zeros_like(many[:100])])
    assert torch.equal(whitening_filters(more, MEAN, STD), whitening_filters(many, MEAN, STD))


def test_the_network_starts_with_the_filters_of_its_images(images: Tensor) -> None:
    model = speednet(images=images, mean=MEAN, std=STD, **SMALL)
    assert torch.equal(model.whitening.weight, whitening_filters(images, MEAN, STD))


def test_the_filters_do_not_depend_on_the_seed(images: Tensor) -> None:
    torch.manual_seed(1)
    first = speednet(images=images, mean=MEAN, std=STD, **SMALL)
    torch.manual_seed(2)
    second = speednet(images=images, mean=MEAN, std=STD, **SMALL)
    assert torch.equal(first.whitening.weight, second.whitening.weight)
    assert not torch.equal(first.head.weight, second.head.weight)


def test_without_images_the_first_convolution_keeps_its_random_start() -> None:
    torch.manual_seed(0)
    expected = nn.Conv2d(3, 24, 2).weight
    torch.manual_seed(0)
    assert torch.equal(speednet(**SMALL).whitening.weight, expected)


@pytest.mark.parametrize(("in_channels", "out_channels"), [(4, 6), (6, 4), (5, 5)])
def test_a_near_identity_convolution_passes_its_inputs_on(in_channels: int, out_channels: int) -> None:
    conv = near_identity(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False))
    x = torch.rand(2, in_channels, 5, 5)
    kept = min(in_channels, out_channels)
    assert torch.equal(conv(x)[:, :kept], x[:, :kept])


def test_the_channels_beyond_the_identity_start_at_random() -> None:
    conv = near_identity(nn.Conv2d(4, 6, 3, padding=1, bias=False))
    assert conv.weight[4:].count_nonzero() == conv.weight[4:].numel()


def test_a_group_pools_before_its_first_norm() -> None:
    group = Group(3, 3)
    x = torch.randn(4, 3, 6, 6)
    pooled = unscaled_norm(3)(F.max_pool2d(x, 2))
    assert torch.allclose(group(x), F.gelu(unscaled_norm(3)(F.gelu(pooled))), atol=1e-6)


def test_the_logits_are_damped() -> None:
    model = speednet(**SMALL).eval()
    features: list[Tensor] = []
    model.head.register_forward_hook(lambda _layer, _inputs, output: features.append(output))
    assert torch.equal(model(torch.rand(2, 3, 32, 32)), features[0] * LOGIT_SCALE)
