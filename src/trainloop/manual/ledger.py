"""Which value each tensor holds, through in-place changes and views.

Most of what a model does is simple: an operation gives a new tensor, and the tensor holds a new :class:`Value`. This file is
for the rest. ``x.relu_()`` gives an old tensor a new value; a change of ``x[0]`` changes ``x`` too; a change of ``x`` changes
every view of it. torch counts the changes of a memory that tensors share (``_version``); a view whose count has moved on is
read anew from its base (see ``alias.py``).
"""

from __future__ import annotations

from torch import Tensor

from trainloop.manual.alias import READ, WRITE, Region, base_of
from trainloop.manual.errors import RefusedError
from trainloop.manual.node import Node
from trainloop.manual.refusals import refuse_leaf
from trainloop.manual.rule import Function
from trainloop.manual.values import Value, ValueTable
from trainloop.manual.where import module_path


class Ledger:
    """The present value of every tensor of one tape.

    Args:
        nodes: the tape's; reading and writing regions of a base add to them.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes
        self._table = ValueTable()

    def clear(self) -> None:
        """Forget every tensor."""
        self._table.clear()

    def unmark(self) -> None:
        """See :meth:`ValueTable.unmark`."""
        self._table.unmark()

    def value(self, tensor: Tensor) -> Value | None:
        """Return what ``tensor`` holds now, or None if it is a constant."""
        entry = self._table.get(tensor)
        if entry is None:
            return self._first_sight(tensor)
        if entry.version == tensor._version or not tensor._is_view():
            return entry.value
        if entry.value.leaf is None:
            return self._read(tensor)
        if self.value(base_of(tensor)) is not None:
            raise RefusedError(
                f"a view of shape {tuple(tensor.shape)}, made under torch.no_grad() or a leaf itself, is used in "
                f"{module_path()} after its base was changed in place: make the view anew, or clone it before"
            )
        return entry.value

    def _first_sight(self, tensor: Tensor) -> Value | None:
        if tensor._is_view():
            base = self._table.get(base_of(tensor))
            if base is not None and base.born_constant:
                return self._read(tensor)
        if tensor.requires_grad:
            refuse_leaf(tensor)
            value = Value(tensor, leaf=tensor)
            self._table.set(tensor, value)
            return value
        return None

    def note(self, tensor: Tensor, value: Value, *, changed: bool) -> None:
        """Note the value of an output; ``changed`` in place, its other views and its base have new values too."""
        if not changed:
            self._table.set(tensor, value)
            self._table.mark(tensor)
            return
        self.refuse_change(tensor)
        if tensor._is_view():
            self._write(tensor, value)
        else:
            self._overwrite(tensor, value)

    def _read(self, view: Tensor) -> Value | None:
        """Note that ``view`` shows a region of what its base holds now."""
        base = base_of(view)
        base_value = self.value(base)
        if base_value is None:
            return None
        value = Value(view)
        self._nodes.append(Node("read of a view", READ, [base_value], [value], (Region.of(view, base),)))
        self._table.set(view, value)
        return value

    def _write(self, view: Tensor, value: Value) -> None:
        """Note that a region of the base of ``view`` now holds ``value``."""
        base = base_of(view)
        new = Value(base)
        region = Region.of(view, base)
        self._nodes.append(Node("write through a view", WRITE, [self.value(base), value], [new], (region,)))
        self._overwrite(base, new)
        self._table.set(view, value)

    def _overwrite(self, tensor: Tensor, value: Value) -> None:
        old = self._table.get(tensor)
        self._table.set(tensor, value, born_constant=old is None or old.born_constant)
        self._table.mark(tensor)

    def refuse_change(self, tensor: Tensor) -> None:
        """Refuse to change a leaf in place, directly or through a view.

        Raises:
            RefusedError: ``tensor`` or its base is a leaf, or a view that was made under ``torch.no_grad()``.
        """
        for changed in (tensor, tensor._base):
            entry = None if changed is None else self._table.get(changed)
            if entry is not None and entry.value.leaf is not None:
                raise RefusedError(
                    f"a leaf of shape {tuple(entry.value.shape)} that requires grad was changed in place "
                    f"in {module_path()}; its gradient would belong to a value that is gone: use the out-of-place form, or "
                    "torch.no_grad() (a view made under torch.no_grad() is a leaf, too)"
                )

    def make_constant(self, tensor: Tensor, func: Function) -> None:
        """Forget the value of a tensor that was detached in place, or of a leaf that was frozen."""
        entry = self._table.get(tensor)
        if entry is not None and entry.value.leaf is None and func is not Tensor.detach_:
            raise RefusedError(
                f"requires_grad of an intermediate of shape {tuple(tensor.shape)} was switched off in {module_path()}; it was "
                "computed from a tensor that requires grad: detach() it"
            )
        self._table.drop(tensor)
