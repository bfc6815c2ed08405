"""``conv2d`` by an algorithm of choice: the rule that takes the place of the usual one where ``stages.conv`` names another.

Each direction of each convolution is given to the algorithm that a :class:`~trainloop.manual.conv.choice.Choice` names for it:

    y = algorithm.forward(x, w, b);   grad_x = algorithm.grad_input(g, w);   grad_w = algorithm.grad_weight(g, x)
    grad_b[o] = Σ_(n, p) g[n, o, p]

Saved are the weight, and the input only where the weight learns.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from trainloop.manual.conv import Algorithm, Geometry, Job, im2col
from trainloop.manual.conv.job import FORWARD, GRAD_INPUT, GRAD_WEIGHT
from trainloop.manual.conv.padding import geometry_of, pad_to_even, refuse_padding
from trainloop.manual.conv.sizes import check_job
from trainloop.manual.errors import UnsupportedConvError
from trainloop.manual.rule import ATEN, FORMULA, Form, Needs, Rule, RuleTable, Saved
from trainloop.manual.rules.conv import CONV, Grads, cropped, unbatch
from trainloop.manual.where import module_path
from trainloop.manual.windows import IntOrSizes, Sizes

Choose = Callable[[Job, str], Algorithm]
"""(job, direction) → algorithm"""


def with_convolution(rules: RuleTable, choose: Choose) -> RuleTable:
    """Return the rules with another ``conv2d``.

    Args:
        rules: torch function → rule.
        choose: which algorithm; a :class:`~trainloop.manual.conv.choice.Choice`.
    """
    form = Form(partial(conv_chosen, choose), partial(conv_vjp_chosen, choose))
    usual = CONV["conv2d"]
    return {
        **rules,
        torch.conv2d: Rule(usual.name, usual.functions, {FORMULA: form, ATEN: form}, usual.examples, usual.wrt),
    }


def conv_chosen(
    choose: Choose,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrSizes = 1,
    padding: IntOrSizes | str = 0,
    dilation: IntOrSizes = 1,
    groups: int = 1,
    *,
    needs: Needs,
) -> tuple[Tensor, Saved]:
    """Convolve; saves the input if the weight needs a gradient, and the weight if the input does.

    Raises:
        UnsupportedConvError: no algorithm of the choice supports it; names the module.
    """
    refuse_padding(stride, padding)
    geometry = geometry_of(weight, stride, padding, dilation, groups)
    unbatched = input.dim() == weight.dim() - 1
    padded = pad_to_even(input.unsqueeze(0) if unbatched else input, weight, padding, dilation)
    job = Job.of(padded, weight, geometry)
    check_job(job)
    try:
        algorithm = choose(job, FORWARD)
    except UnsupportedConvError as error:
        error.module = module_path()
        raise
    output = algorithm.forward(padded, weight, bias, *geometry)
    saved = (padded if needs[1] else None, weight if needs[0] else None)
    return output.squeeze(0) if unbatched else output, (*saved, job, tuple(input.shape))


def conv_vjp_chosen(
    choose: Choose,
    grad_output: Tensor,
    input: Tensor | None,
    weight: Tensor | None,
    job: Job,
    input_shape: Sizes,
    *,
    needs: Needs,
) -> Grads:
    """Return the three gradients, those that are needed, each by the algorithm that is chosen for it."""
    geometry: Geometry = job.geometry
    unbatched = len(input_shape) < len(job.input_shape)
    if unbatched:
        grad_output = grad_output.unsqueeze(0)
    grad_input = grad_weight = None
    if weight is not None:
        grad_input = choose(job, GRAD_INPUT).grad_input(grad_output, weight, job.input_shape, *geometry)
    if input is not None:
        grad_weight = choose(job, GRAD_WEIGHT).grad_weight(grad_output, input, job.weight_shape, *geometry)
    grad_bias = im2col.grad_bias(grad_output) if needs[2] else None
    return cropped(unbatch(grad_input) if unbatched else grad_input, input_shape), grad_weight, grad_bias
