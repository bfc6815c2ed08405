"""Overrides such as ``optimizer.lr=0.2`` laid over the nodes of a file; later ones beat earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainloop.config.nodes import Entry, MapNode, Node, Origin, Place, PlacedFault, ScalarNode, printable, to_data
from trainloop.config.outline import choices, spec_at
from trainloop.config.reader import read_yaml
from trainloop.config.scalars import plain_value
from trainloop.config.syntax import Locate
from trainloop.errors import Fault

EXAMPLE_KEY = "optimizer.lr=0.2"
EXAMPLE = f"--set {EXAMPLE_KEY}"


@dataclass(frozen=True)
class Override:
    """One value that beats the file's.

    Args:
        text: ``dotted.path=value``; the value is read like a YAML value.
        shown_as: the option as the user typed it; ``--set TEXT`` when empty.
    """

    text: str
    shown_as: str = ""


def apply_overrides(root: MapNode, overrides: Sequence[str | Override], faults: list[PlacedFault]) -> None:
    """Lay each override over ``root``, in order.

    Args:
        root: the nodes of the file; changed in place.
        overrides: texts or :class:`Override`.
        faults: overrides that cannot be read are appended here.
    """
    for number, override in enumerate(overrides):
        _apply(root, Override(override) if isinstance(override, str) else override, number, faults)


def _apply(root: MapNode, override: Override, number: int, faults: list[PlacedFault]) -> None:
    origin = Origin("override", printable(override.shown_as or f"--set {override.text}"))

    def locate(line: int, column: int) -> Place:
        return Place(origin, (1, number, column + 1000 * line))

    start = locate(0, 0)
    key, equals, text = override.text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if what := _form_fault(equals, parts):
        help = f"for instance: {EXAMPLE}" if not override.shown_as else f"for instance: {EXAMPLE_KEY}"
        faults.append(PlacedFault(start.rank, Fault(what, origin.where, printable(override.text), "KEY=VALUE", help)))
    elif (node := _value(text.strip(), locate, faults)) is not None:
        _put(root, parts, Entry(start, node))


def _form_fault(equals: str, parts: tuple[str, ...]) -> str:
    if not equals:
        return "an override needs a `=`"
    if parts == ("",):
        return "an override needs a key before the `=`"
    return "" if all(parts) else "a part of the key is empty"


def _value(text: str, locate: Locate, faults: list[PlacedFault]) -> Node | None:
    """Read brackets and quotes as YAML and anything else as one plain scalar, so that `*.bias` or `a: b` stays text."""
    if text.startswith(("[", "{", "'", '"')):
        return read_yaml(text, locate, faults)
    if any("\ud800" <= character <= "\udfff" for character in text):
        place = locate(0, 0)
        faults.append(PlacedFault(place.rank, Fault("text that is not valid Unicode", place.origin.where)))
        return None
    return ScalarNode(plain_value(text), text, locate(0, 0))


def _put(root: MapNode, parts: tuple[str, ...], entry: Entry) -> None:
    node = root
    for depth, part in enumerate(parts[:-1], 1):
        known = node.entries.get(part)
        if known is None or not isinstance(known.node, MapNode):
            if known is not None and _is_section(root, parts[:depth]):
                return  # the file's scalar in place of a section is a fault of its own, reported where it stands
            known = node.entries[part] = Entry(entry.key_place, MapNode(entry.key_place))
        assert isinstance(known.node, MapNode)
        node = known.node
    node.entries[parts[-1]] = entry


def _is_section(root: MapNode, path: tuple[str, ...]) -> bool:
    spec = spec_at(path, to_data(root))
    return spec is not None and bool(choices(spec))
