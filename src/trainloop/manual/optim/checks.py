"""What optimizers refuse, and why: hyper-parameters out of range, and parameters that cannot be updated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

SWITCHES = {
    "foreach": "the formula runs for one parameter after the other",
    "fused": "a fused kernel would hide the formula",
    "capturable": "a graph is captured from the pure `update`, with the lr and the step's numbers as its inputs",
    "differentiable": "updates run under no_grad",
}
"""arguments that choose among torch's implementations, and why there is no choice here"""


def check_not_negative(**values: float) -> None:
    """Refuse hyper-parameters below 0, or NaN.

    Args:
        values: numbers by name.

    Raises:
        TypeError: a value is a tensor.
        ValueError: a value is negative or NaN.
    """
    for name, value in values.items():
        check_number(name, value)
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, found {value}")


def check_betas(betas: tuple[float, float]) -> None:
    """Refuse decay rates outside of [0, 1).

    Args:
        betas: β₁ and β₂.

    Raises:
        TypeError: a value is a tensor.
        ValueError: a value is out of range.
    """
    for index in (0, 1):
        check_number(f"betas[{index}]", betas[index])
        if not 0 <= betas[index] < 1:
            raise ValueError(f"betas[{index}] must be in [0, 1), found {betas[index]}")


def check_number(name: str, value: object) -> None:
    """Refuse a tensor where a Python number belongs.

    Args:
        name: of the hyper-parameter.
        value: what was given.

    Raises:
        TypeError: the value is a tensor.
    """
    if isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a Python number, found {value}: the numbers of an update are computed in double precision on "
            "the host; a captured graph gets them as tensors by itself"
        )


def check_param(param: Tensor, grad: Tensor) -> None:
    """Refuse a parameter or gradient that the formulas do not cover.

    Args:
        param: any shape.
        grad: shape of ``param``.

    Raises:
        RuntimeError: the gradient is sparse.
        TypeError: the parameter is not of a real floating-point dtype.
    """
    if grad.is_sparse:
        raise RuntimeError(
            f"sparse gradients are not supported, found one of shape {tuple(grad.shape)}: use sparse=False"
        )
    if not param.is_floating_point():
        raise TypeError(
            f"parameters must be real and floating-point, found {param.dtype} of shape {tuple(param.shape)}"
        )


def check_group(
    param_group: dict[str, Any], defaults: dict[str, Any], others: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return a complete parameter group, or say why it cannot be one.

    Args:
        param_group: ``params`` (tensors, or pairs of name and tensor) and what differs from the defaults.
        defaults: what is missing in the group.
        others: groups that the optimizer has already.

    Returns:
        a new dict; ``params`` is a list of tensors, and ``param_names`` their names where they were given.

    Raises:
        TypeError: not a dict, or ``params`` not an ordered collection of leaf tensors.
        ValueError: ``params`` is missing, named only in part, not leaves, in another group already, or a switch is on.
    """
    if not isinstance(param_group, dict):
        raise TypeError(f"a parameter group must be a dict, found {type(param_group).__name__}")
    if "params" not in param_group:
        raise ValueError(f"a parameter group needs the key 'params', found {sorted(param_group)}")
    group = {**defaults, **param_group, **_names_and_params(param_group["params"])}
    for param in group["params"]:
        _check_leaf(param)
    check_switches(group)
    _check_apart(group, others)
    # torch's order: what the group says first, then the defaults.
    return {name: group[name] for name in dict.fromkeys(("params", *param_group, *group))}


def _names_and_params(params: Any) -> dict[str, Any]:
    if isinstance(params, Tensor):
        return {"params": [params]}
    if isinstance(params, set):
        raise TypeError(f"params must have an order that is the same in every run, found a set of {len(params)}")
    entries = list(params)
    names = [entry[0] for entry in entries if isinstance(entry, tuple)]
    if not names:
        return {"params": entries}
    if len(names) != len(entries):
        raise ValueError(f"either all parameters have names or none, found {len(names)} names for {len(entries)}")
    return {"params": [entry[1] for entry in entries], "param_names": names}


def _check_leaf(param: object) -> None:
    if not isinstance(param, Tensor):
        raise TypeError(f"an optimizer updates tensors, found {param!r}")
    if param.is_complex():
        raise TypeError(
            f"parameters must be real and floating-point, found {param.dtype} of shape {tuple(param.shape)}"
        )
    if not (param.is_leaf or param.retains_grad):
        raise ValueError(
            f"an optimizer updates leaf tensors, found the result of an operation, of shape {tuple(param.shape)}"
        )


def check_switches(group: dict[str, Any]) -> None:
    """Refuse a group that asks for one of torch's faster implementations, or has a tensor as lr.

    Args:
        group: hyper-parameters.

    Raises:
        TypeError: the lr is a tensor.
        ValueError: a switch is on.
    """
    for name, reason in SWITCHES.items():
        if group.get(name):
            raise ValueError(f"{name} must be None or False, found {group[name]}: {reason}")
    check_number("lr", group.get("lr"))


def _check_apart(group: dict[str, Any], others: Sequence[dict[str, Any]]) -> None:
    params = group["params"]
    if len(set(params)) != len(params):
        warnings.warn(
            f"a parameter group holds {len(params)} parameters of which {len(set(params))} differ; "
            "one that stands twice is updated twice",
            stacklevel=6,
        )
    taken = {param for other in others for param in other["params"]}
    double = [tuple(param.shape) for param in params if param in taken]
    if double:
        raise ValueError(f"a parameter belongs to one group only, found one of shape {double[0]} in two")
    named = "param_names" in group
    if any(("param_names" in other) != named for other in others):
        found = "a group with names after one without" if named else "a group without names after one with"
        raise ValueError(f"either all parameter groups have names or none, found {found}")
