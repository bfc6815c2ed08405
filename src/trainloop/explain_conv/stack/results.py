"""What is found out about a network."""

from __future__ import annotations

from dataclasses import dataclass

from trainloop.explain_conv.stack.field import Field
from trainloop.manual.windows import Sizes


@dataclass(frozen=True)
class Row:
    """One operation that changes sizes or fields.

    Args:
        module: path and class of the module that called it.
        what: the operation with its numbers, such as ``conv2d k3 s2 p1``.
        channels: after it.
        fields: along H and W, after it.
        branches: where maps that see different intervals come together, the extents of both along the last axis; else empty.
    """

    module: str
    what: str
    channels: int
    fields: tuple[Field, ...]
    branches: tuple[int, ...] = ()


@dataclass(frozen=True)
class Stack:
    """Sizes and receptive fields through a network.

    Args:
        name: of the model or config.
        input_shape: (C, H, W).
        rows: in the order of the forward pass.
        last: of the last feature map that is a plane.
        end: what makes single numbers of the plane, with what these see; None where nothing does.
        not_followed: the first operation that mixes the places of a plane in another way, with its module; empty where none.
    """

    name: str
    input_shape: Sizes
    rows: tuple[Row, ...]
    last: tuple[Field, ...]
    end: Row | None
    not_followed: str
