"""A config as a flat list of leaves: one for each value that a file can set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trainloop.config.schema import RunConfig


def leaves(config: RunConfig) -> dict[tuple[str, ...], Any]:
    """Return every value of a config by its path; lists and empty sections are leaves."""
    return dict(_walk((), config.model_dump(mode="json")))


def _walk(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from _walk((*path, key), child)
    else:
        yield path, value


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted key; lists and empty sections are values."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{key}.")
        else:
            found[key] = value
    return found
