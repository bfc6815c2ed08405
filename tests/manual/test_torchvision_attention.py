"""torchvision's networks with attention: the tape's gradients, buffers and loss against autograd's, bit for bit.

Small networks of each family, with every option that drops something, run in ``make test``; the smallest of torchvision's own
in ``make test-long``, on the smallest images they take.
"""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchvision import models
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformerBlockV2

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

SWIN = {
    "patch_size": [4, 4],
    "embed_dim": 12,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "stochastic_depth_prob": 0.2,
    "num_classes": 5,
}
SMALL = {
    "vit": (
        lambda: models.VisionTransformer(16, 8, 2, 2, 16, 32, dropout=0.1, attention_dropout=0.1, num_classes=5),
        16,
    ),
    "vit without dropout": (lambda: models.VisionTransformer(16, 8, 2, 2, 16, 32, num_classes=5), 16),
    "swin": (
        lambda: models.SwinTransformer(window_size=[3, 3], dropout=0.1, attention_dropout=0.1, **SWIN),
        32,
    ),
    "swin_v2": (
        lambda: models.SwinTransformer(
            window_size=[4, 4], block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2, **SWIN
        ),
        32,
    ),
    "maxvit": (
        lambda: models.MaxVit(
            input_size=(32, 32),
            stem_channels=8,
            partition_size=4,
            block_channels=[8, 16],
            block_layers=[1, 2],
            head_dim=4,
            stochastic_depth_prob=0.2,
            num_classes=5,
        ),
        32,
    ),
}
OWN = {
    "vit_b_16": (lambda: models.vit_b_16(image_size=32, num_classes=5), 32),
    "swin_t": (lambda: models.swin_t(num_classes=5), 32),
    "swin_v2_t": (lambda: models.swin_v2_t(num_classes=5), 32),
    "maxvit_t": (lambda: models.maxvit_t(num_classes=5), 224),
}


def outcome(build, side, *, train, form=None):
    torch.manual_seed(0)
    model = build().train(train)
    with torch.no_grad():  # some weights begin as zeros, and would hide everything before them
        for param in model.parameters():
            param.add_(0.05 * torch.randn_like(param))
    x, labels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1)), torch.tensor([3, 1])
    torch.manual_seed(2)
    if form is None:
        loss = F.cross_entropy(model(x), labels)
        loss.backward()
    else:
        with Tape(form=form) as tape:
            loss = F.cross_entropy(model(x), labels)
        tape.backward(loss)
    return loss.detach(), {name: param.grad for name, param in model.named_parameters()}, dict(model.named_buffers())


def assert_same_bits(ours, theirs):
    assert torch.equal(ours[0], theirs[0])
    for mine, reference in zip(ours[1:], theirs[1:], strict=True):
        assert mine.keys() == reference.keys()
        for name, value in reference.items():
            assert mine[name].stride() == value.stride(), name
            assert torch.equal(mine[name], value), f"{name}: {(mine[name] - value).abs().max()}"


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("build", "side"), SMALL.values(), ids=SMALL)
def test_gradients_have_the_bits_of_autograd(build, side, train):
    theirs = outcome(build, side, train=train)
    assert all(bool((grad != 0).any()) for grad in theirs[1].values())
    assert_same_bits(outcome(build, side, train=train, form="aten"), theirs)


@pytest.mark.long
@pytest.mark.parametrize(("build", "side"), OWN.values(), ids=OWN)
def test_gradients_of_torchvisions_own_have_the_bits_of_autograd(build, side):
    assert_same_bits(outcome(build, side, train=True, form="aten"), outcome(build, side, train=True))


@pytest.mark.parametrize(("build", "side"), SMALL.values(), ids=SMALL)
def test_gradients_by_formula_are_within_the_table(build, side):
    """Rounding grows from layer to layer; each parameter is judged against the float32 line of the table."""
    allowed = tolerance("float32", "model gradient")
    ours, theirs = outcome(build, side, train=False, form="formula"), outcome(build, side, train=False)
    for name, reference in theirs[1].items():
        error = float((ours[1][name] - reference).abs().max())
        assert error <= allowed.bound(float(reference.abs().max())), name
