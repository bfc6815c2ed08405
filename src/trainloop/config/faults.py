"""From what pydantic found to faults a user can act on: where, what was found, what is expected, the nearest key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trainloop.config.hints import key_hint, section_hint, value_hint
from trainloop.config.nodes import (
    Entry,
    MapNode,
    Node,
    Path,
    Place,
    PlacedFault,
    ScalarNode,
    dotted,
    find,
    printable,
    to_text,
)
from trainloop.config.outline import allowed_values, choices, in_words, properties, section_at, spec_at, without_null
from trainloop.config.rules import Misfit, MisfitError
from trainloop.errors import Fault

_RANGE_TYPES = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"})
_LENGTH_TYPES = frozenset({"too_short", "too_long"})
_CHOICE_TYPES = frozenset({"literal_error", "string_pattern_mismatch", "union_tag_invalid"})


@dataclass(frozen=True)
class Judged:
    """A fault, and the paths that must be left out to look for further ones.

    Args:
        path: the key to blame.
        involved: every key that the fault speaks of.
        placed: the fault itself.
        is_misfit: no single key is wrong; such faults are only found when every key is right by itself.
    """

    path: Path
    involved: tuple[Path, ...]
    placed: PlacedFault
    is_misfit: bool = False


def judge(error: ValidationError, root: MapNode, data: Mapping[str, Any]) -> list[Judged]:
    """Return one fault for each key that pydantic refused, and one for each misfit of several keys.

    Args:
        error: what pydantic raised.
        root: the values with their places.
        data: the same values as plain data, with the ``name`` of every section filled in.
    """
    judged: dict[Path, Judged] = {}
    misfits: list[Judged] = []
    for details in error.errors(include_url=False):
        if details["type"] == "value_error" and isinstance(cause := details.get("ctx", {}).get("error"), MisfitError):
            misfits += [_misfit(misfit, root) for misfit in cause.misfits]
        else:
            one = _judge_one(details, _data_path(details["loc"], data), root, data)
            judged.setdefault(one.path, one)
    return [*judged.values(), *misfits]


def _data_path(loc: Path, data: Mapping[str, Any]) -> Path:
    """Strip what pydantic adds to a location: the chosen name of a section, and the members of a union."""
    path: Path = ()
    parts = iter(loc)
    for part in parts:
        path = (*path, part)
        spec = spec_at(path, data)
        if spec is None:
            break
        plain, _ = without_null(spec)
        if "discriminator" in plain:
            next(parts, None)
        elif "anyOf" in plain:
            break
    return path


def _judge_one(details: ErrorDetails, path: Path, root: MapNode, data: Mapping[str, Any]) -> Judged:
    kind = details["type"]
    if kind == "extra_forbidden":
        placed = _unknown_key(path, root, data)
    elif kind == "missing" and isinstance(path[-1], int):
        return _judge_one({**details, "type": "too_short"}, path[:-1], root, data)
    elif kind == "missing":
        placed = _missing_key(path, root, data)
    elif kind == "union_tag_invalid":
        path = (*path, "name")
        placed = _wrong_value(kind, path, root, data)
    else:
        placed = _wrong_value(kind, path, root, data)
    return Judged(path, (path,), placed)


def _unknown_key(path: Path, root: MapNode, data: Mapping[str, Any]) -> PlacedFault:
    entry = _written(path, root)
    key, section = printable(str(path[-1])), path[:-1]
    inside = f"in section `{dotted(section)}`" if section else "at the top level"
    spec = section_at(spec_at(section, data) or {}, _data_at(section, data)) or {}
    expected = "one of " + ", ".join(properties(spec))
    fault = Fault(f"unknown key `{key}` {inside}", entry.key_place.origin.where, key, expected)
    return _with_help(entry.key_place, fault, key_hint(path, root, data))


def _missing_key(path: Path, root: MapNode, data: Mapping[str, Any]) -> PlacedFault:
    section = path[:-1]
    chosen = find(root, (*section, "name")) or _written(section, root)
    spec = spec_at(path, data) or {}
    fault = Fault(f"`{dotted(path)}` is missing", chosen.key_place.origin.where, "", in_words(spec))
    return _with_help(chosen.key_place, fault, f"add `{path[-1]}:` to the section `{dotted(section)}`")


def _wrong_value(kind: str, path: Path, root: MapNode, data: Mapping[str, Any]) -> PlacedFault:
    entry = _written(path, root)
    spec = spec_at(path[:-1] if kind == "union_tag_invalid" else path, data) or {}
    place = entry.node.place
    name = dotted(path)
    words = allowed_values(spec)
    expected = f"one of {', '.join(words)}" if kind == "union_tag_invalid" else in_words(spec)
    fault = Fault(_what(kind, name, spec, entry), place.origin.where, to_text(entry.node), expected)
    is_section = bool(choices(spec)) and kind != "union_tag_invalid"
    hint = section_hint(path, entry.node, spec) if is_section else value_hint(path, entry.node, spec)
    return _with_help(place, fault, hint)


def _what(kind: str, name: str, spec: Mapping[str, Any], entry: Entry) -> str:
    if isinstance(entry.node, MapNode) and not choices(spec):
        return f"`{name}` is a {'list' if spec.get('type') == 'array' else 'value'}, not a section"
    value = entry.node.value if isinstance(entry.node, ScalarNode) else ""
    if value is None:
        return f"`{name}` has no value"
    if kind in _CHOICE_TYPES:
        return f"`{name}` has no such choice"
    if isinstance(value, float) and not math.isfinite(value):
        return f"`{name}` is not a finite number"
    if kind in _RANGE_TYPES:
        return f"`{name}` is out of range"
    if kind in _LENGTH_TYPES:
        return f"`{name}` has the wrong length"
    if choices(spec):
        return f"`{name}` is a section, not a value"
    return f"`{name}` is empty" if kind == "string_too_short" else f"`{name}` has the wrong type"


def _misfit(misfit: Misfit, root: MapNode) -> Judged:
    paths = tuple(tuple(path.split(".")) for path in misfit.paths)
    written = [(path, entry) for path in paths if (entry := find(root, path)) is not None]
    path, blamed = written[0] if written else ((), Entry(root.place, root))
    others = "; ".join(
        f"{dotted(other)}: {to_text(entry.node)} ({entry.node.place.origin.where})" for other, entry in written[1:]
    )
    found = f"{dotted(path)}: {to_text(blamed.node)}" + (f", with {others}" if others else "")
    place = blamed.node.place
    fault = Fault(misfit.what, place.origin.where, found, misfit.expected, misfit.help)
    return Judged(path, paths, PlacedFault(place.rank, fault), is_misfit=True)


def misread_paths(root: MapNode, data: Mapping[str, Any]) -> list[Judged]:
    """Return a fault for each path that is empty, or an unquoted ``None`` where null was meant."""
    judged = []
    for path, node in _scalars((), root):
        plain, nullable = without_null(spec_at(path, data) or {})
        if plain.get("format") == "path" and (node.value == "" or (nullable and node.is_null_word)):
            what = f"`{dotted(path)}` is empty" if node.value == "" else f"`{dotted(path)}` is {node.text}, not a path"
            fault = Fault(what, node.place.origin.where, to_text(node), "a path, or null", "did you mean `null`?")
            judged.append(Judged(path, (path,), PlacedFault(node.place.rank, fault)))
    return judged


def _scalars(path: Path, node: Node) -> Iterator[tuple[Path, ScalarNode]]:
    if isinstance(node, MapNode):
        for key, entry in node.entries.items():
            yield from _scalars((*path, key), entry.node)
    elif isinstance(node, ScalarNode):
        yield path, node


def _with_help(place: Place, fault: Fault, help: str) -> PlacedFault:
    return PlacedFault(place.rank, Fault(fault.what, fault.where, fault.found, fault.expected, help))


def _written(path: Path, root: MapNode) -> Entry:
    """Return the entry at ``path``, or the nearest one around it that was written."""
    prefixes: Iterator[Path] = (path[:end] for end in range(len(path), -1, -1))
    return next(entry for prefix in prefixes if (entry := find(root, prefix)) is not None)


def _data_at(path: Path, data: Any) -> Any:
    for part in path:
        data = data[part]
    return data
