"""Which tensor of the candidate is which of the reference: by name, then by a shape that only one has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Size, nn

from trainloop.errors import UsageError


@dataclass(frozen=True)
class Names:
    """The reference's name of each parameter and buffer of the candidate; what is not in a table keeps its name.

    Args:
        params: candidate's name → reference's name.
        buffers: likewise.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    buffers: Mapping[str, str] = field(default_factory=dict)

    def param(self, name: str) -> str:
        """Return the reference's name of a parameter."""
        return self.params.get(name, name)

    def buffer(self, name: str) -> str:
        """Return the reference's name of a buffer."""
        return self.buffers.get(name, name)

    def module(self, name: str) -> str:
        """Return the reference's name of a module: that of the module which has the corresponding parameters."""
        for ours, theirs in self.params.items():
            if ours.rpartition(".")[0] == name:
                return theirs.rpartition(".")[0]
        return name


def match_models(reference: nn.Module, candidate: nn.Module) -> Names:
    """Match the parameters and buffers of two models.

    Raises:
        UsageError: some cannot be matched; names every one of them with its shape.
    """
    return Names(
        params=_match("parameter", _shapes(reference.named_parameters()), _shapes(candidate.named_parameters())),
        buffers=_match("buffer", _shapes(reference.named_buffers()), _shapes(candidate.named_buffers())),
    )


def _shapes(named: object) -> dict[str, Size]:
    return {name: tensor.shape for name, tensor in named}  # type: ignore[attr-defined]


def _match(what: str, reference: Mapping[str, Size], candidate: Mapping[str, Size]) -> dict[str, str]:
    matched = {name: name for name, shape in candidate.items() if reference.get(name) == shape}
    left = {name: shape for name, shape in candidate.items() if name not in matched}
    free = {name: shape for name, shape in reference.items() if name not in matched}
    for name, shape in left.items():
        fitting = [other for other, size in free.items() if size == shape]
        rivals = [other for other, size in left.items() if size == shape]
        if len(fitting) == 1 and len(rivals) == 1:
            matched[name] = fitting[0]
    lost = {name: shape for name, shape in left.items() if name not in matched}
    missing = {name: shape for name, shape in free.items() if name not in matched.values()}
    if lost or missing:
        raise UsageError(
            f"the {what}s of reference and candidate cannot be matched, neither by name nor by a shape that is the only one",
            where="candidate",
            found=f"only the candidate has {_listed(lost)}",
            expected=f"the reference has {_listed(missing)}",
            help=f"give the {what}s the reference's names, or compare models of one architecture",
        )
    return {ours: theirs for ours, theirs in matched.items() if ours != theirs}


def match_entries(reference: Mapping[str, Size], candidate: Mapping[str, Size]) -> dict[str, str]:
    """Match the entries of two optimizers' states for one parameter; what cannot be matched is left out.

    Args:
        reference: entry → shape.
        candidate: likewise.

    Returns:
        the candidate's name → the reference's.
    """
    matched = {name: name for name, shape in candidate.items() if reference.get(name) == shape}
    left = {name: shape for name, shape in candidate.items() if name not in matched}
    free = {name: shape for name, shape in reference.items() if name not in matched}
    for name, shape in left.items():
        fitting = [other for other, size in free.items() if size == shape]
        if len(fitting) == 1 and sum(size == shape for size in left.values()) == 1:
            matched[name] = fitting[0]
    return matched


def _listed(shapes: Mapping[str, Size], limit: int = 6) -> str:
    texts = [f"{name} {tuple(shape)}" for name, shape in shapes.items()]
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return ", ".join(texts[:limit]) + more if texts else "all of its own"
