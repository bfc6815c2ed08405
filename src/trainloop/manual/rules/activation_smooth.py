"""Activations made of exponentials. The straight ones are in ``activation.py``.

Each vjp is g times the derivative, written with tensor operations in the ``formula`` form. The library's kernels evaluate the
same expressions in one pass over memory, with their own exponential and fused multiply-adds, so that the formula differs from
them in the last bits; sigmoid needs none of these.

Legend: x input, y output, g grad_output; all of one shape, any shape. σ(x) = 1 / (1 + exp(−x)).
"""

from __future__ import annotations

import math
import struct

import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.manual.examples import T, call
from trainloop.manual.rule import Composite, Form, Rule, Saved
from trainloop.manual.rules.saving import before

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""The fixed point of mean 0 and variance 1. Source: Klambauer et al. 2017, arXiv:1706.02515, equation 14."""


def sigmoid(input: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = σ(x); saves y."""
    output = torch.sigmoid_(input) if inplace else torch.sigmoid(input)
    return output, (output,)


def sigmoid_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g · (1 − y) · y."""
    return grad_output * (1 - output) * output


def sigmoid_vjp_aten(grad_output: Tensor, output: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.sigmoid_backward(grad_output, output)
    return grad_input


def tanh(input: Tensor, *, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ), the hyperbolic tangent; saves y."""
    output = torch.tanh_(input) if inplace else torch.tanh(input)
    return output, (output,)


def tanh_vjp(grad_output: Tensor, output: Tensor) -> Tensor:
    """grad_input = g · (1 − y²)."""
    return grad_output * (1 - output * output)


def tanh_vjp_aten(grad_output: Tensor, output: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.tanh_backward(grad_output, output)
    return grad_input


def logsigmoid(input: Tensor) -> tuple[Tensor, Saved]:
    """y = log σ(x) = min(x, 0) − log(1 + exp(−|x|)); saves x and what the library's kernel wants, exp(−|x|)."""
    output: Tensor
    buffer: Tensor
    output, buffer = torch.ops.aten.log_sigmoid_forward(input)
    return output, (input, buffer)


def logsigmoid_vjp(grad_output: Tensor, input: Tensor, _buffer: Tensor) -> Tensor:
    """grad_input = g · σ(−x)."""
    return grad_output * torch.sigmoid(-input)


def logsigmoid_vjp_aten(grad_output: Tensor, input: Tensor, buffer: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.log_sigmoid_backward(grad_output, input, buffer)
    return grad_input


def silu(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x · σ(x); saves x."""
    saved = before(input, inplace)
    return F.silu(input, inplace), (saved,)


def silu_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · σ · (1 + x · (1 − σ)), σ = σ(x). Source: Elfwing et al. 2017, arXiv:1702.03118, equation 5."""
    sigma = torch.sigmoid(input)
    return grad_output * sigma * (1 + input * (1 - sigma))


def silu_vjp_aten(grad_output: Tensor, input: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.silu_backward(grad_output, input)
    return grad_input


def mish(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x · t, t = tanh(log(1 + exp(x))); saves x."""
    saved = before(input, inplace)
    return F.mish(input, inplace), (saved,)


def mish_vjp(grad_output: Tensor, input: Tensor) -> Tensor:
    """grad_input = g · (t + x · σ(x) · (1 − t²)). Source: Misra 2019, arXiv:1908.08681."""
    t = torch.tanh(F.softplus(input))
    return grad_output * (t + input * torch.sigmoid(input) * (1 - t * t))


def mish_vjp_aten(grad_output: Tensor, input: Tensor) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.mish_backward(grad_output, input)
    return grad_input


def gelu(input: Tensor, approximate: str = "none") -> tuple[Tensor, Saved]:
    """y = x · Φ(x), Φ the normal distribution function or its approximation by tanh; saves x."""
    return F.gelu(input, approximate=approximate), (input, approximate)


def gelu_vjp(grad_output: Tensor, input: Tensor, approximate: str) -> Tensor:
    """grad_input = g · (Φ(x) + x · φ(x)), φ = Φ' = exp(−x²/2) / √(2π).

    ``tanh``: Φ(x) ≈ (1 + t) / 2, t = tanh(√(2/π) · (x + 0.044715 x³)). Source: Hendrycks & Gimpel 2016, arXiv:1606.08415.
    """
    if approximate == "tanh":
        slope = math.sqrt(2 / math.pi)
        t = torch.tanh(slope * (input + 0.044715 * input**3))
        distribution = 0.5 * (1 + t)
        density = 0.5 * (1 - t * t) * slope * (1 + 3 * 0.044715 * input**2)
    else:
        distribution = 0.5 * (1 + torch.erf(input * math.sqrt(0.5)))
        density = torch.exp(-0.5 * input * input) / math.sqrt(2 * math.pi)
    return grad_output * (distribution + input * density)


def gelu_vjp_aten(grad_output: Tensor, input: Tensor, approximate: str) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.gelu_backward(grad_output, input, approximate=approximate)
    return grad_input


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x where x > 0, else alpha · (exp(x) − 1); saves x, in place y."""
    return F.elu(input, alpha, inplace), (input, alpha, 1.0, 1.0, inplace)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = x where x > 0, else alpha · (exp(x / alpha) − 1); saves x, in place y. Source: Barron 2017, arXiv:1704.07483."""
    return F.celu(input, alpha, inplace), (input, alpha, 1.0, 1 / _in_float32(alpha), inplace)


def selu(input: Tensor, inplace: bool = False) -> tuple[Tensor, Saved]:
    """y = scale · elu(x, alpha) with two famous constants; saves x, in place y."""
    return F.selu(input, inplace), (input, SELU_ALPHA, SELU_SCALE, 1.0, inplace)


def elu_vjp(
    grad_output: Tensor, saved: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool
) -> Tensor:
    """grad_input = g · scale where x > 0, else g · alpha · scale · input_scale · exp(input_scale · x).

    Where y was saved, alpha · scale · exp(input_scale · x) is y + alpha · scale. Source: Clevert et al. 2015, arXiv:1511.07289.
    """
    rise = alpha * scale
    falling = saved + rise if is_result else rise * torch.exp(saved * input_scale)
    return torch.where(saved > 0, grad_output * scale, grad_output * input_scale * falling)


def elu_vjp_aten(
    grad_output: Tensor, saved: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool
) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.elu_backward(grad_output, alpha, scale, input_scale, is_result, saved)
    return grad_input


def _in_float32(number: float) -> float:
    """Round as the library rounds celu's alpha, on the way back only, float64 tensors not excepted."""
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    return rounded


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> tuple[Tensor, Saved]:
    """y = log(1 + exp(beta · x)) / beta, x itself where beta · x > threshold; saves x."""
    return F.softplus(input, beta, threshold), (input, beta, threshold)


def softplus_vjp(grad_output: Tensor, input: Tensor, beta: float, threshold: float) -> Tensor:
    """grad_input = g · z / (z + 1), z = exp(beta · x), and g above the threshold. Source: Dugas et al. 2001."""
    z = torch.exp(input * beta)
    return torch.where(input * beta > threshold, grad_output, grad_output * z / (z + 1))


def softplus_vjp_aten(grad_output: Tensor, input: Tensor, beta: float, threshold: float) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.softplus_backward(grad_output, input, beta, threshold)
    return grad_input


def glu(input: Tensor, dim: int = -1) -> tuple[Tensor, Saved]:
    """y = a · σ(b), where x is a beside b along ``dim``; saves x. Source: Dauphin et al. 2016, arXiv:1612.08083."""
    return F.glu(input, dim), (input, dim)


def glu_vjp(grad_output: Tensor, input: Tensor, dim: int) -> Tensor:
    """grad_a = g · σ(b), grad_b = g · a · σ(b) · (1 − σ(b)), beside each other along ``dim``."""
    a, b = input.chunk(2, dim)
    gate = torch.sigmoid(b)
    return torch.cat((gate * grad_output, (1 - gate) * gate * grad_output * a), dim)


def glu_vjp_aten(grad_output: Tensor, input: Tensor, dim: int) -> Tensor:
    """The same in one pass."""
    grad_input: Tensor = torch.ops.aten.glu_backward(grad_output, input, dim)
    return grad_input


def softsign(input: Tensor) -> Tensor:
    """y = x / (|x| + 1)."""
    return input / (input.abs() + 1)


INPLACE = call(T(2, 3), inplace=True)

ACTIVATION_SMOOTH: dict[str, Rule | Composite] = {
    "sigmoid": Rule(
        "sigmoid",
        functions=(torch.sigmoid, Tensor.sigmoid, F.sigmoid, torch.special.expit),
        inplace=(torch.sigmoid_, Tensor.sigmoid_),
        forms={
            "formula": Form(sigmoid, sigmoid_vjp, exact=True),
            "aten": Form(sigmoid, sigmoid_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4, 4)), call(T())),
    ),
    "tanh": Rule(
        "tanh",
        functions=(torch.tanh, Tensor.tanh, F.tanh),
        inplace=(torch.tanh_, Tensor.tanh_),
        forms={"formula": Form(tanh, tanh_vjp), "aten": Form(tanh, tanh_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4, 4)), call(T())),
    ),
    "logsigmoid": Rule(
        "logsigmoid",
        functions=(F.logsigmoid,),
        forms={
            "formula": Form(logsigmoid, logsigmoid_vjp),
            "aten": Form(logsigmoid, logsigmoid_vjp_aten, exact=True),
        },
        examples=(call(T(2, 3, 4)),),
    ),
    "silu": Rule(
        "silu",
        functions=(F.silu, torch._C._nn.silu),
        inplace=(torch._C._nn.silu_,),
        forms={"formula": Form(silu, silu_vjp), "aten": Form(silu, silu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4, 4)), call(T())),
        also={F.silu: (INPLACE,)},
    ),
    "mish": Rule(
        "mish",
        functions=(F.mish, torch._C._nn.mish),
        forms={"formula": Form(mish, mish_vjp), "aten": Form(mish, mish_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)),),
        also={F.mish: (INPLACE,)},
    ),
    "gelu": Rule(
        "gelu",
        functions=(F.gelu,),
        forms={"formula": Form(gelu, gelu_vjp), "aten": Form(gelu, gelu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(2, 3), approximate="tanh")),
    ),
    "elu": Rule(
        "elu",
        functions=(F.elu,),
        inplace=(F.elu_,),
        forms={"formula": Form(elu, elu_vjp), "aten": Form(elu, elu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(2, 3), 0.7)),
        also={F.elu: (INPLACE,)},
    ),
    "celu": Rule(
        "celu",
        functions=(F.celu, torch.celu),
        inplace=(torch.celu_,),
        forms={"formula": Form(celu, elu_vjp), "aten": Form(celu, elu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(2, 3), 0.7)),
        also={F.celu: (INPLACE,)},
    ),
    "selu": Rule(
        "selu",
        functions=(F.selu, torch.selu),
        inplace=(torch.selu_,),
        forms={"formula": Form(selu, elu_vjp), "aten": Form(selu, elu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)),),
        also={F.selu: (INPLACE,)},
    ),
    "softplus": Rule(
        "softplus",
        functions=(F.softplus,),
        forms={"formula": Form(softplus, softplus_vjp), "aten": Form(softplus, softplus_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(2, 3, low=-5, high=5), 2.5, 4)),
    ),
    "glu": Rule(
        "glu",
        functions=(F.glu, torch._C._nn.glu),
        forms={"formula": Form(glu, glu_vjp), "aten": Form(glu, glu_vjp_aten, exact=True)},
        examples=(call(T(2, 3, 4)), call(T(4, 3), 0)),
    ),
    "softsign": Composite("softsign", (F.softsign,), softsign, (call(T(2, 3)),)),
}
