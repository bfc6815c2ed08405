"""Record what an optimizer's ``update`` does to one weight, whatever the optimizer.

While :class:`UpdateTrace` is active every tensor operation of the update arrives here. One that works element by element gives
an equation for the chosen element; of any other (a mean over a row, a matrix product) the name and the shapes are kept. The
names in the equations are those of the optimizer's own lines: what a result is called is looked up in the local
variables of the running ``update``, and Python numbers carry their names with them (:class:`~trainloop.explain.named.Named`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NamedTuple

from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

from trainloop.explain.elementwise import ELEMENTWISE
from trainloop.explain.equation import Term, Text
from trainloop.explain.named import Named
from trainloop.explain.results import Operation

Index = tuple[int, ...]
Update = Callable[..., tuple[Tensor, dict[str, Tensor]]]
INPUT_NAMES = ("param", "grad")


@dataclass(eq=False)
class Result:
    """An operation's result, until somebody gives it a name.

    Args:
        term: its equation.
        shape: of the tensor.
        value: of the chosen element; None where the tensor has none for it.
        elementwise: the operation works element by element.
        parts: the named results that the equation speaks of.
    """

    term: Term
    shape: tuple[int, ...]
    value: float | None
    elementwise: bool
    parts: list[Result] = field(default_factory=list)
    name: str = ""
    kept_as: str = ""

    def as_part(self) -> Term:
        """Return how other equations speak of this one: by name, or by its own equation while it has none."""
        return Term.named(self.name, self.value) if self.name else self.term


class UpdateTrace(TorchFunctionMode):
    """Record the operations between a parameter and its new value.

    Args:
        shape: of the parameter.
        index: of the chosen element.
        code: of the ``update`` that runs, to find its local variables by.
    """

    def __init__(self, shape: Sequence[int], index: Index, code: CodeType) -> None:
        super().__init__()
        self._shape = tuple(shape)
        self._index = index
        self._code = code
        self._results: MutableMapping[Tensor, Result] = WeakTensorKeyDictionary()
        self._named: list[Result] = []

    def know(self, name: str, tensor: Tensor) -> None:
        """Give an input its name."""
        value = self._element(tensor)
        self._results[tensor] = Result(Term.named(name, value), tuple(tensor.shape), value, True, name=name)

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and note what it does to the chosen element."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        # An operation with nothing to do gives back the very tensor it was given: flatten of a matrix.
        if isinstance(output, Tensor) and output not in self._results:
            self._name_locals()
            self._results[output] = self._result(func, args, kwargs, output)
        return output

    def finish(self, param: Tensor, state: Mapping[str, Tensor]) -> tuple[Operation, ...]:
        """Return the operations that ``param`` and ``state``, the values that ``update`` returned, came from, in order."""
        wanted: list[Result] = []
        for name, tensor in (*state.items(), ("param", param)):
            result = self._results.get(tensor)
            if result is None:
                continue
            if not result.name:
                self._give_name(result, name)
            elif result.name != name:
                result.kept_as = name
            wanted.append(result)
        needed = set(_with_parts(wanted))
        return tuple(_operation(result) for result in self._named if result in needed)

    def _result(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> Result:
        name = _short_name(func)
        parts = list(self._parts((args, kwargs)))
        value = self._element(output)
        shape = tuple(output.shape)
        equation = ELEMENTWISE.get(name)
        if equation is not None:
            terms = {key: self._term(value) for key, value in kwargs.items() if _is_number(value)}
            return Result(equation(*map(self._term, args), **terms), shape, value, True, parts)
        texts = [self._text(argument) for argument in args]
        texts += [f"{key}={self._text(argument)}" for key, argument in kwargs.items() if argument not in (None, False)]
        return Result(Term.named(f"{name}({', '.join(texts)})", value), shape, value, False, parts)

    def _term(self, argument: Any) -> Term:
        if isinstance(argument, Tensor):
            result = self._results.get(argument)
            return result.as_part() if result else Term.named(_size(argument.shape), self._element(argument))
        if isinstance(argument, Named):
            return argument.term()
        return Term.constant(argument) if _is_number(argument) else Term(Text(str(argument)), None, None)

    def _text(self, argument: Any) -> str:
        if isinstance(argument, Tensor) or _is_number(argument):
            return self._term(argument).symbols.text
        return _size(argument) if isinstance(argument, tuple) else str(argument)

    def _parts(self, arguments: Any) -> Iterator[Result]:
        if isinstance(arguments, Tensor):
            result = self._results.get(arguments)
            if result is not None:
                yield from [result] if result.name else result.parts
        elif isinstance(arguments, (tuple, list)):
            for argument in arguments:
                yield from self._parts(argument)
        elif isinstance(arguments, dict):
            yield from self._parts(list(arguments.values()))

    def _element(self, tensor: Tensor) -> float | None:
        """Return the element that stands at the chosen index once the tensor is broadcast to the parameter's shape."""
        try:
            seen = tensor.detach().expand(self._shape)
        except RuntimeError:
            return None
        element: float = seen[self._index].item()
        return element

    def _name_locals(self) -> None:
        """Name the results that the optimizer's lines have assigned to a variable since the last operation."""
        for variables in _frames(self._code):
            for name, value in sorted(variables.items(), key=lambda item: item[0] in INPUT_NAMES):
                result = self._results.get(value) if isinstance(value, Tensor) else None
                if result is not None and not result.name:
                    self._give_name(result, name)

    def _give_name(self, result: Result, name: str) -> None:
        result.name = name
        self._named.append(result)


class Traced(NamedTuple):
    """One call of ``update``: the numbers that it was given, and what it did."""

    scalars: dict[str, float]
    operations: tuple[Operation, ...]


def traced(update: Update, index: Index) -> tuple[Update, list[Traced]]:
    """Return an ``update`` that does the same, and the list that receives what each call did.

    Args:
        update: bound method of an optimizer.
        index: of the chosen element.
    """
    calls: list[Traced] = []
    code = inspect.unwrap(update).__code__

    def traced_update(
        param: Tensor, grad: Tensor, state: dict[str, Tensor], scalars: dict[str, Any], group: dict[str, Any]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        trace = UpdateTrace(param.shape, index, code)
        for name, tensor in {**_tensors(scalars), **state, "grad": grad, "param": param}.items():
            trace.know(name, tensor)
        with trace:
            new_param, new_state = update(param, grad, state, _with_names(scalars), _with_names(group))
        numbers = {name: value.item() if isinstance(value, Tensor) else value for name, value in scalars.items()}
        calls.append(Traced(numbers, trace.finish(new_param, new_state)))
        return new_param, new_state

    return traced_update, calls


def _with_names(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same entries, with floats that know what they are called."""
    return {name: _with_name(name, value) for name, value in numbers.items()}


def _with_name(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return Named(value, Text(name))
    if isinstance(value, tuple):
        return tuple(_with_name(f"{name}[{i}]", item) for i, item in enumerate(value))
    return value


def _tensors(values: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _frames(code: CodeType) -> list[Mapping[str, Any]]:
    """Return the local variables of ``update`` and of the functions of its file that it has called, outermost first."""
    found: list[Mapping[str, Any]] = []
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename == code.co_filename:
            found.append(frame.f_locals)
        if frame.f_code is code:
            break
    return found[::-1]


def _short_name(func: Callable[..., Any]) -> str:
    """Return ``lerp`` for ``torch.lerp``, ``T`` for ``torch.Tensor.T.__get__``."""
    name: str = resolve_name(func) or getattr(func, "__name__", str(func))
    return name.removesuffix(".__get__").rpartition(".")[2].strip("_")


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float, Tensor))


def _size(shape: Sequence[int]) -> str:
    """Return (8, 27) as ``(8, 27)``, whatever kind of sequence it is."""
    return f"({', '.join(map(str, shape))})"


def _with_parts(results: list[Result]) -> Iterator[Result]:
    """Yield the results and all that their equations speak of."""
    seen: set[Result] = set()
    todo = list(results)
    while todo:
        result = todo.pop()
        if result not in seen:
            seen.add(result)
            todo += result.parts
            yield result


def _operation(result: Result) -> Operation:
    numbers = result.term.numbers if result.elementwise else None
    return Operation(
        name=result.name,
        kept_as=result.kept_as,
        symbols=result.term.symbols.text,
        numbers=numbers.text if numbers else None,
        value=result.value if numbers else None,
        shape=result.shape,
    )
