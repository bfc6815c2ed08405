"""The state of an optimizer as torch saves it: tensors by the parameter's number, and groups that name those numbers.

``{"state": {0: {"step": …, "exp_avg": …}, …}, "param_groups": [{"lr": …, "params": [0, 1, …]}, …]}``

The parameters themselves are not in it; their numbers count them through the groups, in order. So a state fits any optimizer
of the same kind whose groups have the same sizes, torch's or ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Group = dict[str, Any]
State = dict[str, Tensor]
StateDict = dict[str, Any]


def pack(groups: Sequence[Group], state: Mapping[Tensor, State]) -> StateDict:
    """Replace every parameter by its number.

    Args:
        groups: parameter groups.
        state: what each parameter remembers.

    Returns:
        a state dict; its tensors are those of ``state``, which no later step changes.
    """
    numbers = {param: number for number, param in enumerate(param for group in groups for param in group["params"])}
    packed_groups = [
        {
            **{name: value for name, value in group.items() if name != "params"},
            "params": [numbers[p] for p in group["params"]],
        }
        for group in groups
    ]
    return {"state": {numbers[param]: dict(entries) for param, entries in state.items()}, "param_groups": packed_groups}


def params_by_number(groups: Sequence[Group], state_dict: StateDict) -> dict[int, Tensor]:
    """Match the numbers of saved groups with the parameters of present ones, place by place.

    Args:
        groups: present groups.
        state_dict: saved ones.

    Returns:
        each saved number's parameter.

    Raises:
        ValueError: not a state dict, or the number of groups, or of parameters in one, differs.
    """
    if not {"state", "param_groups"} <= state_dict.keys():
        raise ValueError(f"a state dict has the entries 'state' and 'param_groups', found {sorted(state_dict)}")
    saved_groups = state_dict["param_groups"]
    if len(groups) != len(saved_groups):
        raise ValueError(f"the state dict has {len(saved_groups)} parameter groups, the optimizer has {len(groups)}")
    found: dict[int, Tensor] = {}
    for index, (group, saved) in enumerate(zip(groups, saved_groups, strict=True)):
        ours, theirs = len(group["params"]), len(saved["params"])
        if ours != theirs:
            raise ValueError(
                f"param_groups[{index}] of the state dict has {theirs} parameters, the optimizer's group has {ours}"
            )
        found.update(zip(saved["params"], group["params"], strict=True))
    return found


def loaded_state(number: int, saved: Mapping[str, Any], param: Tensor, expected: State) -> State:
    """Return copies of one parameter's saved tensors, in the parameter's dtype and on its device, as torch casts them.

    The ``step`` alone keeps its dtype and device; a plain number there, as old files have it, becomes a tensor.

    Args:
        number: the parameter's number, for the error message.
        saved: tensors by name; entries that are None are left out.
        param: any shape.
        expected: what this optimizer puts there before the first step; gives names and shapes.

    Returns:
        a state.

    Raises:
        ValueError: a tensor has not the expected shape.
    """
    state: State = {}
    for name, value in saved.items():
        if value is None:
            continue
        value = value if isinstance(value, Tensor) else counter(float(value))
        if name in expected and value.shape != expected[name].shape:
            raise ValueError(
                f"state[{number}][{name!r}] has shape {tuple(value.shape)}, "
                f"the parameter needs {tuple(expected[name].shape)}"
            )
        state[name] = value.clone() if name == "step" else value.to(param.device, param.dtype, copy=True)
    return state


def counter(value: float) -> Tensor:
    """Return a number as torch's optimizers keep it: a 0-d tensor on the CPU, float64 only where that is the default.

    Args:
        value: usually 0.0.

    Returns:
        shape (), float32 or float64.
    """
    dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
    return torch.tensor(value, dtype=dtype, device="cpu")
