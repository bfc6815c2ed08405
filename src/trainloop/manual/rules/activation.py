"""Activations made of straight lines and parabolas: each vjp chooses, element by element, among a few slopes.

The other activations, made of exponentials, are in ``activation_smooth.py``. In place, torch keeps a copy of x where the
slope depends on x, and so does each forward here; relu and leaky_relu need only y, and copy nothing.

Each docstring says which slope a kink has. Where x is NaN the library's kernels are not of one mind: the last elements of a
tensor, which do not fill a vector register, can fare otherwise than the rest. The formulas do as the rest.

Legend: x input, y output, g grad_output; all of one shape, any shape.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.rules.saving import before

SIXTH = 0.1666666716337204
"""1/6 in float32. The library's hardsigmoid has it in float64 too, which leaves an error of 2e-8 there."""


def relu(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = max(x, 0); saves y."""
    output = torch.relu_(input) if inplace else torch.relu(input)
    return output, (output,)


def relu_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = 0 where y ≤ 0, else g. Source: Nair & Hinton 2010."""
    return torch.where(output <= 0, 0, grad_output)


def relu_vjp_aten(grad_output: Tensor, output: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.threshold_backward(grad_output, output, 0)
    return grad_input


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x where x > threshold, else value; saves x, threshold."""
    saved = before(input, inplace)
    return F.threshold(input, threshold, value, inplace), (saved, threshold)


def threshold_vjp(grad_output: Tensor, input: Tensor, threshold: float) -> Tensor:
    """grad_input = 0 where x ≤ threshold, else g."""
    return torch.where(input <= threshold, 0, grad_output)


def threshold_vjp_aten(grad_output: Tensor, input: Tensor, threshold: float) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.threshold_backward(grad_output, input, threshold)
    return grad_input


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = min(max(x, min_val), max_val); saves x and the bounds."""
    saved = before(input, inplace)
    return F.hardtanh(input, min_val, max_val, inplace), (saved, min_val, max_val)


def hardtanh_vjp(grad_output: Tensor, input: Tensor, min_val: float, max_val: float) -> Tensor:
    """grad_input = g where min_val < x < max_val, else 0: no slope at either kink."""
    return torch.where((input > min_val) & (input < max_val), grad_output, 0)


def hardtanh_vjp_aten(grad_output: Tensor, input: Tensor, min_val: float, max_val: float) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.hardtanh_backward(grad_output, input, min_val, max_val)
    return grad_input


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """y = min(max(x, 0), 6). Source: Krizhevsky 2010, "Convolutional deep belief networks on CIFAR-10"."""
    return F.hardtanh(input, 0.0, 6.0, inplace)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x where x > 0, else negative_slope · x; saves x, in place y, which has its sign if the slope has none.

    In place with a negative slope the library cannot differentiate, and raises; here a copy of x is kept.
    """
    saved = before(input, inplace and negative_slope < 0)
    output = F.leaky_relu(input, negative_slope, inplace)
    return output, (saved, negative_slope)


def leaky_relu_vjp(grad_output: Tensor, input: Tensor, negative_slope: float) -> Tensor:
    """grad_input = g where x > 0, else negative_slope · g. Source: Maas et al. 2013."""
    return torch.where(input > 0, grad_output, grad_output * negative_slope)


def leaky_relu_vjp_aten(grad_output: Tensor, input: Tensor, negative_slope: float) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.leaky_relu_backward(grad_output, input, negative_slope, False)
    return grad_input


def prelu(input: Tensor, weight: Tensor) -> tuple[Tensor, Saved]:
    """y = x where x > 0, else w · x, with one w for all or one a channel (dimension 1); saves x, w.

    Args:
        input: any shape; (N, C, …) if there is a weight a channel.
        weight: shape (), (1,) or (C,).
    """
    return torch.prelu(input, weight), (input, weight)


def prelu_vjp(grad_output: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """grad_input = g where x > 0, else w · g; grad_w = Σ x · g over x ≤ 0. Source: He et al. 2015, arXiv:1502.01852."""
    weight_1C1 = _beside_channels(weight, input)
    grad_input = torch.where(input > 0, grad_output, weight_1C1 * grad_output)
    grad_weight = torch.where(input > 0, 0, input * grad_output)
    return grad_input, grad_weight.sum_to_size(weight_1C1.shape).reshape(weight.shape)


def prelu_vjp_aten(grad_output: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The same in one pass, but for the sum."""
    weight_1C1 = _beside_channels(weight, input)
    grad_input: Tensor
    grad_weight: Tensor
    grad_input, grad_weight = torch.ops.aten._prelu_kernel_backward(grad_output, input, weight_1C1)
    return grad_input, grad_weight.sum_to_size(weight_1C1.shape).reshape(weight.shape)


def _beside_channels(weight: Tensor, input: Tensor) -> Tensor:
    """Return the weight in the shape that broadcasts it along the channels of the input."""
    return weight.reshape([-1 if dim == min(1, input.dim() - 1) else 1 for dim in range(input.dim())])


def hardsigmoid(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = min(max(x + 3, 0), 6) / 6; saves x."""
    saved = before(input, inplace)
    return F.hardsigmoid(input, inplace), (saved,)


def hardsigmoid_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g / 6 where −3 < x < 3, else 0. Source: Howard et al. 2019, arXiv:1905.02244, section 5.2."""
    return torch.where((input > -3) & (input < 3), grad_output * SIXTH, 0)


def hardsigmoid_vjp_aten(grad_output: Tensor, input: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.hardsigmoid_backward(grad_output, input)
    return grad_input


def hardswish(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x · min(max(x + 3, 0), 6) / 6; saves x."""
    saved = before(input, inplace)
    return F.hardswish(input, inplace), (saved,)


def hardswish_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = 0 where x ≤ −3, g · (x / 3 + 1/2) up to 3, then g. Source: Howard et al. 2019, section 5.2."""
    middle = grad_output * (input / 3 + 0.5)
    return torch.where(input <= -3, 0, torch.where(input >= 3, grad_output, middle))


def hardswish_vjp_aten(grad_output: Tensor, input: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.hardswish_backward(grad_output, input)
    return grad_input


def hardshrink(input: Tensor, lambd: float = 0.5) -> tuple[Tensor, Saved]:
    """y = x where |x| > lambd, else 0; saves x, lambd."""
    return torch.hardshrink(input, lambd), (input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> tuple[Tensor, Saved]:
    """y = x − lambd · sign(x) where |x| > lambd, else 0; saves x, lambd."""
    return F.softshrink(input, lambd), (input, lambd)


def shrink_vjp(grad_output: Tensor, input: Tensor, lambd: float) -> Tensor:
    """grad_input = g where |x| > lambd, else 0, of both shrinkages."""
    return torch.where((input < -lambd) | (input > lambd), grad_output, 0)


def shrink_vjp_aten(grad_output: Tensor, input: Tensor, lambd: float) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.hardshrink_backward(grad_output, input, lambd)
    return grad_input


def rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> tuple[Tensor, Saved]:
    """y = x · slope, 1 where x > 0, else drawn from U(lower, upper) in training, their mean in evaluation; saves slope.

    The draws are those of ``F.rrelu`` under the same seed. Source: Xu et al. 2015, arXiv:1505.00853.
    """
    if not training:
        slope = torch.where(input > 0, input.new_ones(()), (lower + upper) / 2)
        return F.rrelu(input, lower, upper, False, inplace), (slope,)
    slope = torch.empty_like(input, memory_format=torch.contiguous_format)  # the kernel fills it in this order
    function = torch.ops.aten.rrelu_with_noise_ if inplace else torch.ops.aten.rrelu_with_noise
    output: Tensor = function(input, slope, lower, upper, True)
    return output, (slope,)


def rrelu_vjp(grad_output: Tensor, slope: Tensor) -> Tensor:
    """grad_input = g · slope."""
    return grad_output * slope


def tanhshrink(input: Tensor) -> Tensor:
    """y = x − tanh(x)."""
    return input - input.tanh()


INPLACE = call(T(2, 3), inplace=True)
PAST_THE_KINKS = T(2, 3, 5, low=-8, high=8)

ACTIVATION: dict[str, Rule | Composite] = {
    "relu": Rule(
        "relu",
        functions=(F.relu, torch.relu, Tensor.relu),
        inplace=(torch.relu_, Tensor.relu_),
        forms={"formula": Form(relu, relu_vjp, exact=True), "aten": Form(relu, relu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4, 4)), call(T())),
        also={F.relu: (INPLACE,)},
    ),
    "threshold": Rule(
        "threshold",
        functions=(F.threshold, torch.threshold),
        inplace=(torch.threshold_,),
        forms={
            "formula": Form(threshold, threshold_vjp, exact=True),
            "aten": Form(threshold, threshold_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4), 0.1, 20.0),),
        also={F.threshold: (call(T(2, 3), -0.5, 0, inplace=True),)},
    ),
    "hardtanh": Rule(
        "hardtanh",
        functions=(F.hardtanh, torch._C._nn.hardtanh),
        inplace=(F.hardtanh_,),
        forms={
            "formula": Form(hardtanh, hardtanh_vjp, exact=True),
            "aten": Form(hardtanh, hardtanh_vjp_aten, exact=True),
        },
        examples=(call(PAST_THE_KINKS), call(PAST_THE_KINKS, 0.0, 6.0), call(T())),
        also={F.hardtanh: (INPLACE,)},
    ),
    "relu6": Composite("relu6", (F.relu6,), relu6, (call(PAST_THE_KINKS), INPLACE)),
    "leaky_relu": Rule(
        "leaky_relu",
        functions=(F.leaky_relu, torch._C._nn.leaky_relu),
        inplace=(F.leaky_relu_,),
        forms={
            "formula": Form(leaky_relu, leaky_relu_vjp, exact=True),
            "aten": Form(leaky_relu, leaky_relu_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4)), call(T(2, 3), 0.2), call(T(2, 3), 0.0)),
        also={F.leaky_relu: (INPLACE, call(T(2, 3), negative_slope=-0.2))},
    ),
    "prelu": Rule(
        "prelu",
        functions=(F.prelu, Tensor.prelu),
        wrt=("input", "weight"),
        forms={"formula": Form(prelu, prelu_vjp, exact=True), "aten": Form(prelu, prelu_vjp_aten, exact=True)},
        examples=(
            call(T(2, 3, 4, 4), T(1)),
            call(T(2, 3, 4, 4), T(3)),
            call(T(2, 3), T(3)),
            call(T(5), T(1)),
            call(T(2, 3), T()),
            call(T(), T(1)),
        ),
    ),
    "hardsigmoid": Rule(
        "hardsigmoid",
        functions=(F.hardsigmoid, torch._C._nn.hardsigmoid),
        forms={
            "formula": Form(hardsigmoid, hardsigmoid_vjp, exact=True),
            "aten": Form(hardsigmoid, hardsigmoid_vjp_aten, exact=True),
        },
        examples=(call(PAST_THE_KINKS),),
        also={F.hardsigmoid: (INPLACE,)},
    ),
    "hardswish": Rule(
        "hardswish",
        functions=(F.hardswish, torch._C._nn.hardswish),
        forms={
            "formula": Form(hardswish, hardswish_vjp, exact=True),
            "aten": Form(hardswish, hardswish_vjp_aten, exact=True),
        },
        examples=(call(PAST_THE_KINKS),),
        also={F.hardswish: (INPLACE,)},
    ),
    "hardshrink": Rule(
        "hardshrink",
        functions=(F.hardshrink, Tensor.hardshrink),
        forms={
            "formula": Form(hardshrink, shrink_vjp, exact=True),
            "aten": Form(hardshrink, shrink_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4)), call(T(2, 3), 0.1)),
    ),
    "softshrink": Rule(
        "softshrink",
        functions=(F.softshrink,),
        forms={
            "formula": Form(softshrink, shrink_vjp, exact=True),
            "aten": Form(softshrink, shrink_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4)), call(T(2, 3), 0.1)),
    ),
    "rrelu": Rule(
        "rrelu",
        functions=(F.rrelu, torch.rrelu),
        inplace=(torch.rrelu_,),
        forms={"formula": Form(rrelu, rrelu_vjp, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(2, 3, 4), 0.1, 0.3, True)),
        also={F.rrelu: (call(T(2, 3), training=True, inplace=True), INPLACE)},
    ),
    "tanhshrink": Composite("tanhshrink", (F.tanhshrink,), tanhshrink, (call(T(2, 3)),), exact=False),
}
