"""An equation as people write it, in names and in numbers at once.

``Term.named("lr", 0.1) * Term.named("grad", 2.0)`` is the text ``lr·grad``, the text ``0.1·2`` and the number 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

SUM, QUOTIENT, PRODUCT, ATOM = 1, 2, 3, 4
MINUS = ("-", "−")


def number(value: float) -> str:
    """Return a number in at most six significant digits."""
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:.6g}"


@dataclass(frozen=True)
class Text:
    """A formula and how tightly its outermost operation binds."""

    text: str
    level: int = ATOM

    def negative(self) -> bool:
        """Return whether the text begins with a minus."""
        return self.text.startswith(MINUS)

    def within(self, level: int, *, first: bool = False) -> str:
        """Return the text, in brackets where an operation of that level would tear it apart."""
        loose = self.level < level or (self.negative() and not first)
        return f"({self.text})" if loose else self.text

    def plus(self, other: Text) -> Text:
        """Return ``self + other``; what begins with a minus is subtracted."""
        left = self.within(SUM, first=True)
        if other.negative() and other.level >= QUOTIENT:
            return Text(f"{left} − {other.text[1:]}", SUM)
        return Text(f"{left} + {other.within(QUOTIENT)}", SUM)

    def minus(self, other: Text) -> Text:
        """Return ``self − other``."""
        return Text(f"{self.within(SUM, first=True)} − {other.within(QUOTIENT)}", SUM)

    def times(self, other: Text) -> Text:
        """Return ``self·other``."""
        return Text(f"{self.within(PRODUCT, first=True)}·{other.within(PRODUCT)}", PRODUCT)

    def over(self, other: Text) -> Text:
        """Return ``self / other``."""
        return Text(f"{self.within(PRODUCT, first=True)} / {other.within(ATOM)}", QUOTIENT)

    def negated(self) -> Text:
        """Return ``−self``."""
        return Text(f"−{self.within(PRODUCT)}", PRODUCT)


def literal(value: float) -> Text:
    """Return a number as a formula."""
    return Text(number(value))


@dataclass(frozen=True)
class Term:
    """A formula in names, the same in numbers, and what it comes to.

    Args:
        symbols: in names.
        numbers: with each name's number in its place; None where a tensor has no element for the chosen one.
        value: computed in double precision; None likewise.
    """

    symbols: Text
    numbers: Text | None
    value: float | None

    @classmethod
    def named(cls, name: str, value: float | None) -> Term:
        """Return a name that stands for a number."""
        return cls(Text(name), None if value is None else literal(value), value)

    @classmethod
    def constant(cls, value: float) -> Term:
        """Return a number without a name."""
        return cls(literal(value), literal(value), value)

    def __add__(self, other: Term) -> Term:
        return self._with(other, Text.plus, lambda a, b: a + b)

    def __sub__(self, other: Term) -> Term:
        return self._with(other, Text.minus, lambda a, b: a - b)

    def __mul__(self, other: Term) -> Term:
        if self.symbols.text in ("1", "-1"):
            return other if self.symbols.text == "1" else -other
        return self._with(other, Text.times, lambda a, b: a * b)

    def __truediv__(self, other: Term) -> Term:
        return self._with(other, Text.over, _divide)

    def __neg__(self) -> Term:
        if self.numbers is None or self.value is None:
            return Term(self.symbols.negated(), None, None)
        plain = self.numbers == literal(self.value)
        return Term(self.symbols.negated(), literal(-self.value) if plain else self.numbers.negated(), -self.value)

    def _with(self, other: Term, join: Callable[[Text, Text], Text], compute: Callable[[float, float], float]) -> Term:
        if self.numbers is None or other.numbers is None or self.value is None or other.value is None:
            return Term(join(self.symbols, other.symbols), None, None)
        numbers = join(self.numbers, other.numbers)
        return Term(join(self.symbols, other.symbols), numbers, compute(self.value, other.value))


def _divide(a: float, b: float) -> float:
    """Divide as tensors do: by zero, too."""
    if b == 0:
        return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)
    return a / b


def call(name: str, compute: Callable[..., float], *terms: Term) -> Term:
    """Return ``name(terms)``."""
    symbols = Text(f"{name}({', '.join(term.symbols.text for term in terms)})")
    values = [term.value for term in terms if term.value is not None]
    texts = [term.numbers.text for term in terms if term.numbers is not None]
    if len(texts) < len(terms) or len(values) < len(terms):
        return Term(symbols, None, None)
    return Term(symbols, Text(f"{name}({', '.join(texts)})"), compute(*values))


def compare(sign: str, compute: Callable[[float, float], bool]) -> Callable[[Term, Term], Term]:
    """Return the equation of a comparison."""
    return lambda a, b: a._with(b, lambda x, y: Text(f"{x.text} {sign} {y.text}", 0), compute)
