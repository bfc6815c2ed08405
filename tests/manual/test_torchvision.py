"""Every classification CNN of torchvision: the tape's gradients, buffers and loss against autograd's, bit for bit.

The smallest network of each family runs in ``make test``, every other one in ``make test-long``. Images are as small as
the network takes.
"""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch.nn import functional as F

from trainloop.manual import Tape
from trainloop.tolerance import tolerance

FAMILIES = {
    "alexnet": ("alexnet",),
    "vgg": ("vgg11", "vgg13", "vgg16", "vgg19"),
    "vgg_bn": ("vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"),
    "resnet": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "resnext": ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    "wide_resnet": ("wide_resnet50_2", "wide_resnet101_2"),
    "squeezenet": ("squeezenet1_1", "squeezenet1_0"),
    "densenet": ("densenet121", "densenet161", "densenet169", "densenet201"),
    "inception": ("inception_v3",),
    "googlenet": ("googlenet",),
    "shufflenet": ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"),
    "mobilenet_v2": ("mobilenet_v2",),
    "mobilenet_v3": ("mobilenet_v3_small", "mobilenet_v3_large"),
    "mnasnet": ("mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"),
    "efficientnet": ("efficientnet_b0", *(f"efficientnet_b{size}" for size in range(1, 8))),
    "efficientnet_v2": ("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    "regnet_x": (
        "regnet_x_400mf",
        *(f"regnet_x_{size}" for size in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    ),
    "regnet_y": (
        "regnet_y_400mf",
        *(f"regnet_y_{size}" for size in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")),
    ),
    "convnext": ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
}
SMALLEST = [names[0] for names in FAMILIES.values()]
OTHERS = [name for names in FAMILIES.values() for name in names[1:]]
SIDES = {"alexnet": 63, "inception_v3": 299, "squeezenet1_0": 21, "squeezenet1_1": 17}
LEFT_OUT = {"regnet_y_128gf": "644 million parameters: weights, gradients and a second copy of both are 10 GB"}


def build(name):
    """Return the network with weights that are quick to make; its own initialisation takes longer than the test."""
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    # A RegNet computes its widths with tensors, so it cannot be built without memory.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = torchvision.models.get_model(name, num_classes=10, **options)
    model.to_empty(device="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
    with torch.no_grad():
        for param in model.parameters():
            if param.dim() > 1:
                param.normal_(0, (2 / param[0].numel()) ** 0.5)
            else:
                param.uniform_(0.5, 1.0)
    return model


def loss_of(model, x, labels):
    output = model(x)
    if isinstance(output, torch.Tensor):
        return F.cross_entropy(output, labels)
    return sum(F.cross_entropy(logits, labels) for logits in output if logits is not None)


def outcome(name, *, train, form=None, memory_format=torch.contiguous_format):
    model = build(name).train(train).to(memory_format=memory_format)
    side = SIDES.get(name, 32)
    generator = torch.Generator().manual_seed(1)
    x, labels = torch.randn(2, 3, side, side, generator=generator), torch.tensor([3, 7])
    x = x.to(memory_format=memory_format)
    torch.manual_seed(2)
    if form is None:
        loss = loss_of(model, x, labels)
        loss.backward()
    else:
        with Tape(form=form) as tape:
            loss = loss_of(model, x, labels)
        tape.backward(loss)
    grads = {name: param.grad for name, param in model.named_parameters()}
    return loss.detach(), grads, dict(model.named_buffers())


def assert_same_bits(ours, theirs):
    assert torch.equal(ours[0], theirs[0])
    for mine, reference in zip(ours[1:], theirs[1:], strict=True):
        assert mine.keys() == reference.keys()
        for name, value in reference.items():
            assert (mine[name] is None) == (value is None), name
            if value is not None:
                assert torch.equal(mine[name], value), f"{name}: {(mine[name] - value).abs().max()}"


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", SMALLEST)
def test_gradients_have_the_bits_of_autograd(name, train):
    theirs = outcome(name, train=train)
    assert sum(grad is not None and bool((grad != 0).any()) for grad in theirs[1].values()) > len(theirs[1]) // 2
    assert_same_bits(outcome(name, train=train, form="aten"), theirs)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_gradients_have_the_bits_of_autograd_in_channels_last(name):
    setting = {"train": True, "memory_format": torch.channels_last}
    assert_same_bits(outcome(name, form="aten", **setting), outcome(name, **setting))


@pytest.mark.long
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", OTHERS)
def test_gradients_of_the_larger_ones_have_the_bits_of_autograd(name, train):
    assert_same_bits(outcome(name, train=train, form="aten"), outcome(name, train=train))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_gradients_by_formula_are_within_the_table(name):
    """Rounding grows from layer to layer; each parameter is judged against the float32 line of the table."""
    allowed = tolerance("float32", "model gradient")
    ours, theirs = outcome(name, train=False, form="formula"), outcome(name, train=False)
    for key, reference in theirs[1].items():
        error = float((ours[1][key] - reference).abs().max())
        assert error <= allowed.bound(float(reference.abs().max())), key


def test_every_cnn_of_torchvision_is_in_the_table():
    everything = set(torchvision.models.list_models(module=torchvision.models))
    attention = {name for name in everything if name.startswith(("vit_", "swin_", "maxvit_"))}
    assert everything - attention == {name for names in FAMILIES.values() for name in names} | set(LEFT_OUT)
