"""Python numbers that remember their names through arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from trainloop.explain.equation import Term, Text, literal


class Named(float):
    """A Python number that remembers its name, so that ``1 - beta`` is still known as ``1 − beta`` where it is used.

    Args:
        value: the number.
        symbols: its name, or the formula it was computed by.
    """

    symbols: Text

    def __new__(cls, value: float, symbols: Text) -> Named:
        """Make the number, then give it its name."""
        made = super().__new__(cls, value)
        made.symbols = symbols
        return made

    def term(self) -> Term:
        """Return the number as a part of an equation."""
        return Term(self.symbols, literal(float(self)), float(self))

    def __neg__(self) -> Named:
        return Named(-float(self), self.symbols.negated())

    def __add__(self, other: float) -> Named:
        return _joined(self, other, Text.plus, float.__add__)

    def __radd__(self, other: float) -> Named:
        return _joined(other, self, Text.plus, float.__add__)

    def __sub__(self, other: float) -> Named:
        return _joined(self, other, Text.minus, float.__sub__)

    def __rsub__(self, other: float) -> Named:
        return _joined(other, self, Text.minus, float.__sub__)

    def __mul__(self, other: float) -> Named:
        return _joined(self, other, Text.times, float.__mul__)

    def __rmul__(self, other: float) -> Named:
        return _joined(other, self, Text.times, float.__mul__)

    def __truediv__(self, other: float) -> Named:
        return _joined(self, other, Text.over, float.__truediv__)

    def __rtruediv__(self, other: float) -> Named:
        return _joined(other, self, Text.over, float.__truediv__)


def _joined(
    a: object, b: object, join: Callable[[Text, Text], Text], compute: Callable[[float, float], float]
) -> Named:
    """Compute with two numbers and their names; anything but a number (a tensor) does the operation itself."""
    if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
        return NotImplemented  # type: ignore[no-any-return]
    texts = [x.symbols if isinstance(x, Named) else literal(x) for x in (a, b)]
    return Named(compute(float(a), float(b)), join(*texts))
