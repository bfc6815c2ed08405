"""Faults of activations, poolings, dropout and linear layers."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainloop.compare.zoo.fault import UNKNOWN, Fault
from trainloop.compare.zoo.faults_of_convolutions import modelled, ruled
from trainloop.compare.zoo.nets import cnn, dropout_net, mlp, plain_cnn

ACTIVATION, POOL, DROPOUT = "rules.activation", "rules.pool", "rules.dropout"
SCALED = "keep if p == 1 else keep.div_(1 - p)"


class WholeGradientForTies(torch.autograd.Function):
    """Max pooling over 2 × 2 windows that gives every maximum of a window the whole gradient."""

    @staticmethod
    def forward(ctx, input: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """Return the maxima."""
        output = F.max_pool2d(input, 2)
        ctx.save_for_backward(input, output)
        return output

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """Give each element that equals its window's maximum the window's gradient."""
        input, output = ctx.saved_tensors

        def spread(x: Tensor) -> Tensor:
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

        grad_input: Tensor = spread(grad_output) * (input == spread(output))
        return grad_input


class TiedPool(nn.Module):
    """The same as a module."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the maxima."""
        pooled: Tensor = WholeGradientForTies.apply(x_NCHW)
        return pooled


def _tied(net: nn.Sequential) -> nn.Module:
    net.maxpool = TiedPool()
    return net


def _leaky(net: nn.Sequential) -> nn.Module:
    net.relu1 = nn.LeakyReLU()
    return net


FAULTS: tuple[Fault, ...] = (
    ruled(
        "relu: the gradient passes at 0",
        "backward",
        r"grad of (conv1|norm1)\..*",
        ACTIVATION,
        (
            ("return output, (output,)\n\n\ndef relu_vjp", "return output, (input,)\n\n\ndef relu_vjp"),
            ("torch.where(output <= 0, 0, grad_output)", "torch.where(output < 0, 0, grad_output)"),
        ),
        ("missing ReLU mask at 0",),
        net=partial(cnn, bias=False),
    ),
    ruled(
        "relu: the gradient passes everywhere",
        "backward",
        r"grad of (conv[12]|norm1)\..*",
        ACTIVATION,
        (("torch.where(output <= 0, 0, grad_output)", "grad_output"),),
        ("missing ReLU mask",),
        within="relu_vjp",
    ),
    modelled(
        "relu: leaky", "forward", r"activation of relu1", cnn, lambda: _leaky(cnn()), ("leaky relu instead of relu",)
    ),
    modelled(
        "max pool: every tie has the whole gradient",
        "backward",
        r"grad of conv1\..*",
        plain_cnn,
        lambda: _tied(plain_cnn()),
        ("max pool gives its gradient to every maximum",),
    ),
    ruled(
        "max pool: windows that share a maximum overwrite each other",
        "backward",
        r"grad of conv1\..*",
        POOL,
        (
            ("planes.scatter_add_(-1,", "planes.scatter_(-1,"),
            (".flatten(-num_axes))\n", ".flatten(-num_axes) * 0.5)\n"),
        ),
        UNKNOWN,
        net=plain_cnn,
        within="max_pool_vjp",
    ),
    ruled(
        "average pool: one side of the kernel only",
        "backward",
        r"grad of (conv1|conv2)\..*",
        POOL,
        (("grad_output / math.prod(kernel_size)", "grad_output / kernel_size[0]"),),
        UNKNOWN,
        net=plain_cnn,
        within="avg_pool_vjp",
    ),
    modelled(
        "average pool: padding does not count",
        "forward",
        r"activation of avgpool",
        plain_cnn,
        partial(plain_cnn, count_include_pad=False),
        UNKNOWN,
    ),
    ruled(
        "dropout: not scaled",
        "forward",
        r"activation of dropout",
        DROPOUT,
        ((SCALED, "keep"),),
        ("dropout scale missing",),
        net=dropout_net,
        within="scaled",
    ),
    ruled(
        "dropout: keeps with p",
        "forward",
        r"activation of dropout",
        DROPOUT,
        (("keep.bernoulli_(1 - p)", "keep.bernoulli_(p)"),),
        UNKNOWN,
        net=dropout_net,
        within="draw_keep",
    ),
    ruled(
        "dropout: the gradient of what was dropped",
        "backward",
        r"grad of hidden\..*",
        DROPOUT,
        (("grad_input = grad_output * noise", "grad_input = grad_output"),),
        ("dropout mask missing in the gradient",),
        net=dropout_net,
        within="dropout_vjp",
    ),
    modelled(
        "dropout: another share", "forward", r"activation of dropout", dropout_net, partial(dropout_net, 0.5), UNKNOWN
    ),
    ruled(
        "linear: grad_input of the wrong sign",
        "backward",
        r"grad of hidden\..*",
        "rules.linear",
        (("layout.input_by_columns).reshape(layout.input)", "layout.input_by_columns).reshape(layout.input).neg()"),),
        ("gradient of a linear layer's input with the wrong sign",),
        net=mlp,
        within="linear_vjp",
    ),
    ruled(
        "linear: grad_weight with rows in reverse order",
        "backward",
        r"grad of (hidden|head)\.weight",
        "rules.linear",
        (("input_RK = input.reshape(-1, layout.input[-1])", "input_RK = input.reshape(-1, layout.input[-1]).flip(0)"),),
        UNKNOWN,
        net=mlp,
        within="linear_vjp",
    ),
)
