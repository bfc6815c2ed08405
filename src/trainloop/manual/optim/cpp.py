"""Write a captured update as C++: one loop over the elements, one line for each operation, rounded as torch rounds.

An element of the parameter, the gradient and the state is read once, goes through all operations in registers, and is
written once; that is the least that memory can be asked for. Where torch's CPU kernels use a fused multiply-add (AVX2, AVX-512)
the line is ``std::fma``, and the compiler is told to fuse nothing of its own accord.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Node

from trainloop.manual.errors import FormError
from trainloop.manual.optim.elementwise import Elementwise

C_TYPES = {torch.float32: "float", torch.float64: "double", torch.bool: "bool"}
NOT_FOR_CPP = {"dtype", "layout", "device", "pin_memory", "memory_format"}
"""arguments of operations that say where a result lies; its type is known from the graph"""

aten = torch.ops.aten


def _add(a: str, b: str, alpha: str | None = None) -> str:
    return f"{a} + {b}" if alpha is None else f"std::fma({b}, {alpha}, {a})"


def _sub(a: str, b: str, alpha: str | None = None) -> str:
    return f"{a} - {b}" if alpha is None else f"std::fma({b}, -{alpha}, {a})"


def _addcmul(a: str, b: str, c: str, value: str | None = None) -> str:
    return f"std::fma({b if value is None else f'{value} * {b}'}, {c}, {a})"


def _addcdiv(a: str, b: str, c: str, value: str | None = None) -> str:
    return f"{a} + {b if value is None else f'{value} * {b}'} / {c}"


def _lerp(a: str, b: str, weight: str) -> str:
    # From the nearer end, as torch does it.
    return f"std::abs({weight}) < 0.5 ? std::fma({weight}, {b} - {a}, {a}) : std::fma({weight} - 1, {b} - {a}, {b})"


def _clamp(x: str, low: str | None = None, high: str | None = None) -> str:
    # A NaN fails both comparisons and stays.
    bounds = [f"{x} < {low} ? {low} : "] * (low is not None) + [f"{x} > {high} ? {high} : "] * (high is not None)
    return "".join(bounds) + x


EXPRESSIONS: Mapping[Any, Callable[..., str]] = {
    aten.abs.default: "std::abs({})".format,
    aten.add.Tensor: _add,
    aten.addcdiv.default: _addcdiv,
    aten.addcmul.default: _addcmul,
    aten.clamp.default: _clamp,
    aten.clone.default: "{}".format,
    aten.div.Tensor: "{} / {}".format,
    aten.full_like.default: "{1}".format,
    aten.ge.Scalar: "{} >= {}".format,
    aten.gt.Scalar: "{} > {}".format,
    aten.le.Scalar: "{} <= {}".format,
    aten.lerp.Scalar: _lerp,
    aten.lerp.Tensor: _lerp,
    aten.lt.Scalar: "{} < {}".format,
    aten.maximum.default: "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} > {1} ? {0} : {1}".format,
    aten.minimum.default: "{0} != {0} ? {0} : {1} != {1} ? {1} : {0} < {1} ? {0} : {1}".format,
    aten.mul.Tensor: "{} * {}".format,
    aten.neg.default: "-{}".format,
    aten.ones_like.default: "1".format,
    aten.reciprocal.default: "1 / {}".format,
    aten.scalar_tensor.default: "{}".format,
    aten.sign.default: "({0} > 0) - ({0} < 0)".format,
    aten.sqrt.default: "std::sqrt({})".format,
    aten.sub.Tensor: _sub,
    aten.where.self: "{} ? {} : {}".format,
    aten.zeros_like.default: "0".format,
}
"""each operation in C++, of operands that are names or literals"""

TEMPLATE = """\
#include <cmath>
#include <cstdint>

using T = {type};

// tensors[i * count + n] is the i-th of parameter n's tensors ({roles}); each has sizes[n] elements.
extern "C" void update(int64_t count, const int64_t* sizes, T* const* tensors, const double* scalars, int threads) {{
{scalars}
  int64_t total = 0;
  for (int64_t n = 0; n < count; ++n) total += sizes[n];
  // Each thread takes an equal share of all elements, wherever in a parameter it begins and ends.
  #pragma omp parallel for num_threads(threads) schedule(static)
  for (int share = 0; share < threads; ++share) {{
    const int64_t from = total * share / threads, to = total * (share + 1) / threads;
    for (int64_t n = 0, at = 0; n < count; at += sizes[n++]) {{
      const int64_t begin = from > at ? from - at : 0, end = to - at < sizes[n] ? to - at : sizes[n];
{pointers}
      for (int64_t k = begin; k < end; ++k) {{
{lines}
      }}
    }}
  }}
}}
"""


def cpp_source(captured: Elementwise, dtype: torch.dtype) -> str:
    """Return a C++ file whose function ``update`` overwrites many parameters and the tensors of their state.

    Args:
        captured: the update.
        dtype: of the parameters, float32 or float64.

    Raises:
        FormError: an operation has no line in ``EXPRESSIONS``, or a dtype none in ``C_TYPES``.
    """
    roles = ("param", "grad", *captured.tensors)
    nodes = list(captured.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    elements, numbers = placeholders[: len(roles)], placeholders[len(roles) :]
    results = nodes[-1].args[0]
    return TEMPLATE.format(
        type=_c_type(dtype),
        roles=", ".join(roles),
        scalars="\n".join(f"  const {_type_of(node)} {node.name} = scalars[{i}];" for i, node in enumerate(numbers)),
        pointers="\n".join(f"      T* __restrict p{i} = tensors[{i} * count + n];" for i in range(len(roles))),
        lines="\n".join(
            [f"        const T {node.name} = p{i}[k];" for i, node in enumerate(elements)]
            + [f"        const {_type_of(node)} {node.name} = {_expression(node)};" for node in nodes if _is_call(node)]
            + [f"        p{i}[k] = {node.name};" for i, node in zip(_written(roles), results, strict=True)]
        ),
    )


def _written(roles: tuple[str, ...]) -> list[int]:
    return [index for index, role in enumerate(roles) if role != "grad"]


def _is_call(node: Node) -> bool:
    return node.op == "call_function"


def _type_of(node: Node) -> str:
    return _c_type(node.meta["val"].dtype)


def _c_type(dtype: torch.dtype) -> str:
    if dtype not in C_TYPES:
        raise FormError(f"the compiled form computes in float32 and float64, found {dtype}", instead="foreach")
    return C_TYPES[dtype]


def _expression(node: Node) -> str:
    if node.target not in EXPRESSIONS:
        raise FormError(f"the compiled form has no C++ for {node.target}", instead="foreach")
    result = _type_of(node)
    args = [_operand(arg, result) for arg in node.args]
    named = {name: _operand(arg, result) for name, arg in node.kwargs.items() if name not in NOT_FOR_CPP}
    return EXPRESSIONS[node.target](*args, **named)


def _operand(value: Any, result: str) -> str | None:
    """Return a name or a literal, in the type of the result: a number is rounded to it before the operation."""
    if isinstance(value, Node):
        same = "bool" in (_type_of(value), result) or _type_of(value) == result
        return value.name if same else f"{result}({value.name})"
    if value is None:
        return None
    text = repr(value).replace("inf", "INFINITY").replace("nan", "NAN")
    return f"T({text})"
