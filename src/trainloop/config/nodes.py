"""The values of a config with the place each one was written at, before the schema has judged them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from trainloop.errors import Fault

Path = tuple[str | int, ...]
ScalarValue = bool | int | float | str | None


@dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    Args:
        kind: the schema's default, a config file, or an override on the command line.
        where: empty, ``path:line:column``, or the option as typed, such as ``--set optimizer.lr=0.2``.
    """

    kind: Literal["default", "file", "override"]
    where: str = ""


@dataclass(frozen=True)
class Place:
    """An origin with its rank, so that faults can be listed in reading order.

    Args:
        origin: what the user is shown.
        rank: (0, line, column) in a file; (1, number of the option, column) in an override.
    """

    origin: Origin
    rank: tuple[int, int, int]


@dataclass(frozen=True)
class PlacedFault:
    """A fault with the rank of its place."""

    rank: tuple[int, int, int]
    fault: Fault


@dataclass
class ScalarNode:
    """One value: as data, and as the user wrote it (quotes included)."""

    value: ScalarValue
    text: str
    place: Place
    quoted: bool = False

    @property
    def is_null_word(self) -> bool:
        """Whether another language's word for null was written without quotes."""
        return not self.quoted and self.text.lower() in ("none", "nil")


@dataclass
class ListNode:
    """A list."""

    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass
class MapNode:
    """A section: its entries by key."""

    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


Node = ScalarNode | ListNode | MapNode


@dataclass
class Entry:
    """A key with its place, and its value."""

    key_place: Place
    node: Node


def to_data(node: Node) -> Any:
    """Return the node as dicts, lists and scalars."""
    if isinstance(node, MapNode):
        return {key: to_data(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [to_data(item) for item in node.items]
    return node.value


def to_text(node: Node, limit: int = 60) -> str:
    """Return the node as the user wrote it, on one line and cut after ``limit`` characters."""
    text = " ".join(_pieces(node))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _pieces(node: Node) -> Iterator[str]:
    if isinstance(node, MapNode):
        yield "{" + ", ".join(f"{printable(key)}: {to_text(entry.node)}" for key, entry in node.entries.items()) + "}"
    elif isinstance(node, ListNode):
        yield "[" + ", ".join(to_text(item) for item in node.items) + "]"
    else:
        yield from map(printable, node.text.split() or ["nothing"])


def find(root: MapNode, path: Path) -> Entry | None:
    """Return the entry (or list item) at ``path``, or None when it was not written."""
    entry = Entry(root.place, root)
    for part in path:
        node = entry.node
        if isinstance(node, MapNode) and part in node.entries:
            entry = node.entries[str(part)]
        elif isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            entry = Entry(node.items[part].place, node.items[part])
        else:
            return None
    return entry


def dotted(path: Path) -> str:
    """Return ``optimizer.groups[0].match`` for ``("optimizer", "groups", 0, "match")``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in path)
    return text.removeprefix(".")


def printable(text: str) -> str:
    """Return ``text`` with control characters and the like escaped, so that it is safe on a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
