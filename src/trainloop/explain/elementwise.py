"""What tensor operations do to one element, as equations: ``torch.lerp(a, b, w)`` is ``a + w·(b − a)``."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable

from trainloop.explain.equation import Term, call, compare

ONE = Term.constant(1)


def _function(name: str, compute: Callable[..., float]) -> Callable[..., Term]:
    return lambda *terms: call(name, compute, *terms)


def _root(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _sign(x: float) -> float:
    return x if math.isnan(x) else float((x > 0) - (x < 0))


def _clamp(a: Term, min: Term | None = None, max: Term | None = None) -> Term:
    if max is None:
        return call("max", builtins.max, a, min) if min else a
    return call("clamp", _clamped, a, min, max) if min else call("min", builtins.min, a, max)


def _clamped(x: float, smallest: float, largest: float) -> float:
    return min(max(x, smallest), largest)


ELEMENTWISE: dict[str, Callable[..., Term]] = {
    "add": lambda a, b, alpha=ONE: a + alpha * b,
    "sub": lambda a, b, alpha=ONE: a - alpha * b,
    "rsub": lambda a, b: b - a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "lerp": lambda start, end, weight: start + weight * (end - start),
    "addcmul": lambda a, b, c, value=ONE: a + value * b * c,
    "addcdiv": lambda a, b, c, value=ONE: a + value * b / c,
    "square": lambda a: a * a,
    "reciprocal": lambda a: ONE / a,
    "sqrt": _function("sqrt", _root),
    "rsqrt": lambda a: ONE / call("sqrt", _root, a),
    "abs": _function("abs", abs),
    "sign": _function("sign", _sign),
    "exp": _function("exp", math.exp),
    "pow": _function("pow", math.pow),
    "maximum": _function("max", max),
    "minimum": _function("min", min),
    "clamp": _clamp,
    "where": _function("where", lambda condition, yes, no: yes if condition else no),
    "gt": compare(">", lambda a, b: a > b),
    "ge": compare("≥", lambda a, b: a >= b),
    "lt": compare("<", lambda a, b: a < b),
    "le": compare("≤", lambda a, b: a <= b),
    "eq": compare("=", lambda a, b: a == b),
    "clone": lambda a: a,
    "to": lambda a, *_: a,
    "ones_like": lambda _: ONE,
    "zeros_like": lambda _: Term.constant(0),
    "tensor": lambda a, **_: a,
    "as_tensor": lambda a, **_: a,
}
"""tensor operation, by its name without underscores → its equation for one element; its arguments are the operation's"""
