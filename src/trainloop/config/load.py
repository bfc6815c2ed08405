"""Read a config: defaults, then the file, then the overrides; all faults at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainloop.config.faults import Judged, judge, misread_paths
from trainloop.config.flatten import leaves
from trainloop.config.nodes import MapNode, Node, Origin, Place, PlacedFault, dotted, find, to_data, to_text
from trainloop.config.nodes import Path as KeyPath
from trainloop.config.outline import default_choice, json_schema
from trainloop.config.overrides import Override, apply_overrides
from trainloop.config.reader import read_yaml
from trainloop.config.schema import RunConfig
from trainloop.config.source import read_text
from trainloop.config.suggest import nearest_value
from trainloop.errors import ConfigError, Fault

_DEFAULT = Place(Origin("default"), (0, 0, 0))
_ABSENT = object()
MAX_LISTED = 100


@dataclass(frozen=True)
class LoadedConfig:
    """A validated config, and where each of its values came from.

    Args:
        config: the values.
        origins: the origin of every leaf, by dotted path.
        path: the file, or None.
    """

    config: RunConfig
    origins: Mapping[str, Origin]
    path: Path | None


def load_config(path: Path | None, overrides: Sequence[str | Override] = ()) -> LoadedConfig:
    """Read a config file, lay the overrides over it and validate the whole.

    Args:
        path: a YAML file, or None for the defaults.
        overrides: texts such as ``optimizer.lr=0.2``, or :class:`Override` to show another option in messages.

    Returns:
        The frozen config with the origin of every value.

    Raises:
        ConfigError: with every fault of the file and the overrides, in reading order.
    """
    faults: list[PlacedFault] = []
    written = _read_file(path, faults) if path is not None else MapNode(_DEFAULT)
    root = written if written is not None else MapNode(_DEFAULT)
    apply_overrides(root, overrides, faults)
    config: RunConfig | None = None
    if written is not None:
        config, wrong = _validate(root)
        faults += wrong
    if faults or config is None:
        raise ConfigError(_listed(faults))
    return LoadedConfig(config, _origins(config, root), path)


def _listed(faults: list[PlacedFault]) -> list[Fault]:
    """Return the faults in reading order; beyond a hundred only their number helps."""
    listed = [placed.fault for placed in sorted(faults, key=lambda placed: placed.rank)]
    more = len(listed) - MAX_LISTED
    return listed if more <= 0 else [*listed[:MAX_LISTED], Fault(f"and {more} more faults like these")]


def _read_file(path: Path, faults: list[PlacedFault]) -> MapNode | None:
    def locate(line: int, column: int) -> Place:
        return Place(Origin("file", f"{path}:{line + 1}:{column + 1}"), (0, line, column))

    node = read_yaml(read_text(path), locate, faults)
    if isinstance(node, MapNode):
        return node
    if node is not None or not faults:
        faults.append(_not_a_config(path, node))
    return None


def _not_a_config(path: Path, node: Node | None) -> PlacedFault:
    if node is None:
        help = f"`trainloop config init {path} --force` fills it with every key and its default"
        return PlacedFault((0, 0, 0), Fault("the config file is empty", str(path), help=help))
    fault = Fault(
        "a config is a section: keys with values",
        node.place.origin.where,
        to_text(node),
        "lines such as `seed: 1`",
        "`trainloop config init -` prints an example",
    )
    return PlacedFault(node.place.rank, fault)


def _validate(root: MapNode) -> tuple[RunConfig | None, list[PlacedFault]]:
    """Validate; after a fault leave the faulty keys out and look again, so that rules across keys are judged too."""
    data = to_data(root)
    placed: list[PlacedFault] = []
    ignored: set[KeyPath] = set()
    judged = misread_paths(root, data)
    while True:
        placed += [one.placed for one in judged if not _touches(one, ignored)]
        left_out = [_leave_out(data, one, ignored) for one in judged if not one.is_misfit]
        if judged and not any(left_out):
            return None, placed
        _fill_names(data)
        try:
            return RunConfig.model_validate_json(json.dumps(data)), placed
        except ValidationError as error:
            judged = judge(error, root, data)


def _fill_names(data: dict[str, Any]) -> None:
    for key, spec in json_schema()["properties"].items():
        section = data.get(key)
        if "discriminator" in spec and isinstance(section, dict) and "name" not in section:
            data[key] = {"name": default_choice(spec), **section}


def _touches(judged: Judged, ignored: set[KeyPath]) -> bool:
    """Whether a fault speaks of a key that an earlier fault already covers."""
    return any(path[:end] in ignored for path in judged.involved for end in range(1, len(path) + 1))


def _leave_out(data: dict[str, Any], judged: Judged, ignored: set[KeyPath]) -> bool:
    """Take the faulty key out of ``data``; return whether that changed anything."""
    path = judged.path
    ignored.add(path)
    if len(path) == 2 and path[1] == "name" and "discriminator" in json_schema()["properties"][path[0]]:
        if _mend_name(data, str(path[0])):
            return True
        path = path[:1]
    # An item is left out with its whole list, so that the places of its neighbours stay right.
    until_list = next((end for end, part in enumerate(path) if isinstance(part, int)), len(path))
    path = path[:until_list]
    while path and not _remove(data, path):
        path = path[:-1]
    ignored.add(path)
    return bool(path)


def _mend_name(data: dict[str, Any], section: str) -> bool:
    """Put the nearest known name in place of an unknown one, so that the rest of its section can be judged."""
    spec = json_schema()["properties"].get(section, {})
    name = nearest_value(str(data[section].get("name")), spec.get("discriminator", {}).get("mapping", {}))
    if name is None or name == data[section].get("name"):
        return False
    data[section]["name"] = name
    return True


def _remove(data: Any, path: KeyPath) -> bool:
    for part in path[:-1]:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return isinstance(data, dict) and data.pop(path[-1], _ABSENT) is not _ABSENT


def _origins(config: RunConfig, root: MapNode) -> dict[str, Origin]:
    written = {path: find(root, path) for path in leaves(config)}
    return {
        dotted(path): entry.node.place.origin if entry is not None else _DEFAULT.origin
        for path, entry in written.items()
    }
