"""Activations: functions of one element, so each vjp multiplies by the derivative at that element.

Legend: x input, y output, g grad_output; all of one shape, any shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Form, Rule, Saved


def relu(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = max(x, 0); saves y."""
    output = torch.relu_(input) if inplace else torch.relu(input)
    return output, (output,)


def relu_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = 0 where y ≤ 0, else g; at x = 0 the derivative is taken as 0. Source: Nair & Hinton 2010."""
    return torch.where(output <= 0, 0, grad_output)


def relu_vjp_aten(grad_output: Tensor, output: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.threshold_backward(grad_output, output, 0)
    return grad_input


ACTIVATION: dict[str, Rule] = {
    "relu": Rule(
        "relu",
        functions=(F.relu, torch.relu, Tensor.relu),
        inplace=(torch.relu_, Tensor.relu_),
        forms={
            "formula": Form(relu, relu_vjp, exact=True),
            "aten": Form(relu, relu_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4, 4)), call(T())),
        also={F.relu: (call(T(2, 3), inplace=True),)},
    ),
}
