"""What torch makes of a problem: the module itself, called once, against which everything is compared."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from trainloop.explain_conv.problem import SAME, Problem

MODULES: dict[str, type[nn.Module]] = {
    "Conv1d": nn.Conv1d,
    "Conv2d": nn.Conv2d,
    "ConvTranspose1d": nn.ConvTranspose1d,
    "ConvTranspose2d": nn.ConvTranspose2d,
}


def torch_output(problem: Problem, input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the output of torch's module, float64, shape (G·O, P, Q).

    Whole numbers below 2⁵³ are exact in float64, in whatever order they are added. What is compared with it is compared before
    it becomes whole numbers: rounding would hide a small error.

    Args:
        problem: whose module.
        input: int64, shape (G·C, H, W).
        weight: int64, shape of the problem's weight.
        bias: int64, shape (G·O,).
    """
    with torch.no_grad():
        output = _call(_module(problem, weight, bias), _own(problem, input.double()).unsqueeze(0)).squeeze(0)
    return output if problem.num_axes == 2 else output.unsqueeze(-2)


def torch_counts(problem: Problem) -> Tensor:
    """Return how often each output is written, of a convolution each input read, int64, shape of that plane, by torch.

    One channel of ones, and weights of one: the output of a transposed convolution counts the stamps. How often a convolution
    reads an input is the gradient of the sum of its outputs, by autograd.

    Args:
        problem: any; channels, groups and bias do not matter.
    """
    single = problem.replaced(in_channels=1, out_channels=1, groups=1, bias=False)
    ones = torch.ones(1, *problem.input_sizes, dtype=torch.float64)
    module = _module(single, torch.ones(single.weight_shape, dtype=torch.int64), torch.zeros(1))
    with torch.enable_grad():
        x = _own(problem, ones).unsqueeze(0).requires_grad_(not problem.transposed)
        output = _call(module, x)
        counts = output if problem.transposed else torch.autograd.grad(output.sum(), x)[0]
    sizes = problem.output_sizes if problem.transposed else problem.input_sizes
    return counts.detach().reshape(sizes).long()


def _call(module: nn.Module, x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # Of "same" with an even kernel torch warns that it copies the input, which is what it is asked for.
        warnings.filterwarnings("ignore", message="Using padding='same'")
        output: Tensor = module(x)
    return output


def _own(problem: Problem, plane: Tensor) -> Tensor:
    """Return a plane without its row, for a module of one axis."""
    return plane if problem.num_axes == 2 else plane.squeeze(-2)


def _module(problem: Problem, weight: Tensor, bias: Tensor) -> nn.Module:
    named = {"stride": problem.own(problem.stride), "dilation": problem.own(problem.dilation)}
    if problem.transposed:
        named |= {"padding": problem.own(problem.padding), "output_padding": problem.own(problem.output_padding)}
    else:
        padding = SAME if problem.padding_word == SAME else problem.own(problem.padding)
        named |= {"padding": padding, "padding_mode": problem.padding_mode}  # type: ignore[dict-item]  # torch takes both
    module = MODULES[problem.module](
        problem.in_channels,
        problem.out_channels,
        problem.own(problem.kernel_size),
        groups=problem.groups,
        bias=problem.bias,
        dtype=torch.float64,
        device="meta",
        **named,
    )
    state = {"weight": _own(problem, weight.double()), **({"bias": bias.double()} if problem.bias else {})}
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(False)
