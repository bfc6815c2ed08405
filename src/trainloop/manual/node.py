"""One recorded operation, and its step backwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from trainloop.manual.errors import ChangedInPlaceError, TapeError
from trainloop.manual.rule import Form, Saved
from trainloop.manual.values import Value


class Node:
    """An operation that a gradient passes through.

    Args:
        name: of the rule.
        form: how it is differentiated.
        inputs: the value of each input of the rule, None where no gradient is needed.
        outputs: the value of each output, None for one that has no gradient (indices, masks).
        saved: what the form's forward saved for its vjp.
        versions: identity of a tensor → its version before the forward, for what the forward may have overwritten.
    """

    __slots__ = ("form", "inputs", "name", "outputs", "saved", "single", "versions")

    def __init__(
        self,
        name: str,
        form: Form,
        inputs: list[Value | None],
        outputs: list[Value | None],
        saved: Saved,
        versions: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.form = form
        self.inputs = inputs
        self.outputs = outputs
        self.single = True
        self.saved: Saved | None = saved
        tensors = (tensor for tensor in saved if isinstance(tensor, Tensor))
        self.versions = [versions.get(id(tensor), tensor._version) for tensor in tensors]

    def vjp(self, grad_outputs: list[Tensor | None]) -> Iterator[tuple[Value, Tensor]]:
        """Yield each input that needs a gradient, with its gradient.

        Raises:
            TapeError: the node was released, or the rule's vjp does not fit its inputs.
            ChangedInPlaceError: a saved tensor was overwritten since.
        """
        saved = self._checked()
        keywords: dict[str, Any] = {}
        if self.form.vjp_takes_needs:
            keywords["needs"] = tuple(value is not None for value in self.inputs)
        grads = self.form.vjp(grad_outputs[0] if self.single else tuple(grad_outputs), *saved, **keywords)
        if not isinstance(grads, tuple):
            grads = (grads,)
        if len(grads) != len(self.inputs):
            raise TapeError(f"the vjp of rule {self.name} gave {len(grads)} gradients for {len(self.inputs)} inputs")
        for value, grad in zip(self.inputs, grads, strict=True):
            if value is not None and grad is not None:
                yield value, self._fitted(value, grad)

    def release(self) -> None:
        """Let go of what was saved."""
        self.saved = None

    def _fitted(self, value: Value, grad: Tensor) -> Tensor:
        try:
            return value.fit(grad)
        except RuntimeError as error:
            raise TapeError(
                f"the vjp of rule {self.name} gave a gradient of shape {tuple(grad.shape)} for an input of shape "
                f"{tuple(value.shape)}"
            ) from error

    def _checked(self) -> Saved:
        if self.saved is None:
            raise TapeError(
                f"backward came a second time to {self.name}, whose saved tensors were released by the first; "
                "pass retain_graph=True to the first call, or record the operations again"
            )
        tensors = [saved for saved in self.saved if isinstance(saved, Tensor)]
        for index, (tensor, version) in enumerate(zip(tensors, self.versions, strict=True)):
            if tensor._version != version:
                raise ChangedInPlaceError(
                    f"{self.name} saved a tensor of shape {tuple(tensor.shape)} for its gradient (number {index} of "
                    f"{len(tensors)}), and it was changed in place afterwards: found version {tensor._version}, expected "
                    f"{version}; use the out-of-place form of the later operation, or clone the tensor before it"
                )
        return self.saved


def added(old: Tensor, grad: Tensor) -> Tensor:
    """Return ``old + grad`` in the memory layout of ``old``, as autograd's sum in place has it.

    Where a dimension has size 1 a sum may choose other strides, and a kernel that looks at them may round differently.
    """
    total = old + grad
    if total.stride() == old.stride() or 0 in old.stride():
        return total
    return torch.empty_strided(old.shape, old.stride(), dtype=total.dtype, device=total.device).copy_(total)


def accumulate(leaf: Tensor, grad: Tensor, taken: set[int]) -> None:
    """Add ``grad`` to ``leaf.grad``, where None counts as nothing.

    The sum a + b passes one and the same gradient on to a and to b. Each leaf gets memory of its own, or a later change in
    place, by clipping for instance, would be made twice.

    Args:
        leaf: any shape; requires grad.
        grad: shape and dtype of ``leaf``.
        taken: where memory that belongs to somebody else begins; the gradient's is added.
    """
    grad = laid_out_as(leaf, grad)
    if leaf.grad is not None:
        leaf.grad = leaf.grad + grad
        return
    memory = grad.untyped_storage().data_ptr()
    leaf.grad = grad.clone() if memory in taken else grad
    taken.add(memory)


def laid_out_as(leaf: Tensor, grad: Tensor) -> Tensor:
    """Return ``grad`` in the memory layout of ``leaf``, as torch does.

    Without it a gradient would keep the strides its kernel happened to write, and a sum over its elements (a norm for
    clipping) would add them in another order and round differently. The stride of a dimension of size 1 says nothing.
    """
    pairs = zip(leaf.shape, grad.stride(), leaf.stride(), strict=True)
    if all(size == 1 or found == expected for size, found, expected in pairs):
        return grad.detach()
    return torch.empty_like(leaf).copy_(grad)
