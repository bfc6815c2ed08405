"""Which weight is explained: a parameter by its name or a pattern, an element by its index."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from trainloop.config.suggest import nearest
from trainloop.errors import UsageError

MAX_LISTED = 40


def choose_param(model: nn.Module, wanted: str | None) -> str:
    """Return the full name of the parameter that is meant.

    Args:
        model: whose parameters.
        wanted: a name, or a pattern that matches one (``*`` stands for anything); None takes the first
            matrix (or what has more dimensions) that learns.

    Raises:
        UsageError: there is none, or there are several.
    """
    params = dict(model.named_parameters())
    if wanted is None:
        # A stable sort: the first of the best.
        return min(params, key=lambda name: (not params[name].requires_grad, params[name].ndim < 2))
    matches = [wanted] if wanted in params else [name for name in params if fnmatchcase(name, wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(
            f"this pattern matches {len(matches)} parameters, and one is explained at a time",
            where="--param",
            found=wanted,
            expected=f"one of {_listed(matches)}",
        )
    near = nearest(wanted, params, limit=max(3, len(wanted) // 2))
    raise UsageError(
        "the model has no such parameter",
        where="--param",
        found=wanted,
        expected=f"one of {_listed(list(params))}",
        help=f"did you mean `{near}`?" if near else "a pattern such as `*.weight` works too, if it matches one alone",
    )


def choose_index(param: nn.Parameter, name: str, wanted: str | None) -> tuple[int, ...]:
    """Return the index of an element, counted from 0.

    Args:
        param: any shape.
        name: of the parameter, for messages.
        wanted: numbers with commas between them, as many as dimensions; negative ones count from the end; None takes
            the first element.

    Raises:
        UsageError: it is no index of this parameter.
    """
    shape = tuple(param.shape)
    if wanted is None and param.numel():
        return (0,) * len(shape)
    try:
        index = tuple(int(part) for part in (wanted or "").strip("()[] ").split(",") if part.strip())
    except ValueError:
        index = None
    if index is not None and len(index) == len(shape):
        found = tuple(i + size if i < 0 else i for i, size in zip(index, shape, strict=True))
        if all(0 <= i < size for i, size in zip(found, shape, strict=True)):
            return found
    raise UsageError(
        f"{name} has no such element",
        where="--index",
        found=wanted or "",
        expected=f"an index into the shape {shape}: {_allowed(shape)}",
    )


def _allowed(shape: tuple[int, ...]) -> str:
    if not shape:
        return "one number has no index, leave --index out"
    if 0 in shape:
        return "it has no elements at all"
    return f"from {','.join('0' for _ in shape)} to {','.join(str(size - 1) for size in shape)}"


def _listed(names: list[str]) -> str:
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (
        f" and {more} more, which `trainloop train --dry-run` lists" if more > 0 else ""
    )
