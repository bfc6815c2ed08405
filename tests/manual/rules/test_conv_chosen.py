"""A tape whose convolutions are done by an algorithm of choice, for every one of them, beside autograd in float64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from trainloop.manual import RULES, Tape
from trainloop.manual.conv import CONV2D
from trainloop.manual.conv.choice import AUTO, Choice
from trainloop.manual.errors import UnsupportedConvError
from trainloop.manual.rules.conv_chosen import with_convolution
from trainloop.tolerance import tolerance


class Net(nn.Module):
    """Convolutions that every algorithm can do: 3 × 3, stride 1; one of each kind of padding, one frozen, one unbatched."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding="same", groups=2, bias=False)
        self.frozen = nn.Conv2d(4, 3, 3, padding="valid").requires_grad_(False)
        self.last = nn.Conv2d(3, 2, 3, padding=2, padding_mode="reflect")

    def forward(self, x):
        y = self.frozen(self.second(torch.tanh(self.first(x))))
        return self.last(y[0]).sum() + self.last(y).square().mean()


def gradients(name, dtype):
    torch.manual_seed(0)
    net, x = Net().to(dtype), torch.linspace(-1, 1, 3 * 2 * 7 * 6, dtype=dtype).view(3, 2, 7, 6)
    if name is None:
        net(x).backward()
    else:
        choose = Choice(name, CONV2D)
        with Tape(rules=with_convolution(RULES, choose)) as tape:
            loss = net(x)
        tape.backward(loss)
        assert set(choose.chosen.values()) == {"aten" if name == AUTO else name}
    return {key: param.grad for key, param in net.named_parameters() if param.requires_grad}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", [*CONV2D, AUTO])
def test_every_algorithm_trains(name, dtype):
    found, oracle = gradients(name, dtype), gradients(None, torch.float64)
    bound = tolerance(str(dtype).removeprefix("torch."), "gradient")
    assert found.keys() == oracle.keys()
    for key, grad in oracle.items():
        assert found[key].dtype == dtype
        assert float((found[key] - grad).abs().max()) <= bound.bound(float(grad.abs().max())), key


def test_what_no_algorithm_can_do_names_the_module():
    net = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3, stride=2))
    with (
        pytest.raises(UnsupportedConvError, match="stride must be 1, found 2×2") as caught,
        Tape(rules=with_convolution(RULES, Choice("winograd", CONV2D))),
    ):
        net(torch.ones(1, 2, 8, 8))
    assert caught.value.module == "1 (Conv2d)"


def test_shapes_that_do_not_fit_are_refused_as_ever():
    weight = torch.ones(2, 3, 3, 3, requires_grad=True)
    with (
        Tape(rules=with_convolution(RULES, Choice("winograd", CONV2D))),
        pytest.raises(RuntimeError, match="input of 4 channels"),
    ):
        F.conv2d(torch.ones(1, 4, 8, 8), weight)


def test_a_second_backward_is_the_same():
    net, x = nn.Conv2d(2, 3, 3, padding=1), torch.ones(2, 2, 5, 5)
    with Tape(rules=with_convolution(RULES, Choice("winograd", CONV2D))) as tape:
        loss = net(x).square().sum()
    first = tape.gradients(loss, [net.weight], retain_graph=True)[0]
    assert torch.equal(first, tape.gradients(loss, [net.weight])[0])
