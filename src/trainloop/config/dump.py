"""A config as YAML text that reads back to an equal config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trainloop.config.scalars import plain_value
from trainloop.config.schema import RunConfig

_SAFE_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/.")
_SAFE = _SAFE_FIRST | frozenset("0123456789+-:")


def dump_yaml(config: RunConfig) -> str:
    """Return every value of a config, defaults included, as YAML."""
    return "".join(f"{line}\n" for line, _ in yaml_lines(config))


def yaml_lines(config: RunConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each line of the YAML with the path of its key; a section's line has the path of the section."""
    yield from _lines((), config.model_dump(mode="json"))


def _lines(path: tuple[str, ...], section: dict[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for key, value in {"name": section["name"], **section}.items() if "name" in section else section.items():
        here = (*path, key)
        indent = "  " * len(path) + scalar_text(key)
        if isinstance(value, dict) and value:
            yield f"{indent}:", here
            yield from _lines(here, value)
        else:
            yield f"{indent}: {flow_text(value)}", here


def flow_text(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar_text(key)}: {flow_text(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_text, value)) + "]"
    return scalar_text(value)


def scalar_text(value: bool | int | float | str | None) -> str:
    """Return a scalar so that any YAML reader, ours included, reads the same value."""
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    if isinstance(value, float):
        text = repr(value)
        return text.replace("e", ".0e") if "e" in text and "." not in text else text
    return json.dumps(value)


# Words that YAML 1.1 readers take for booleans, and words that our reader asks about where a path stands.
_QUOTED_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "none", "nil"})


def _is_plain(text: str) -> bool:
    return (
        text[:1] in _SAFE_FIRST
        and text != ""
        and set(text) <= _SAFE
        and not text.endswith(":")
        and text.lower() not in _QUOTED_WORDS
        and isinstance(plain_value(text), str)
        and not text.startswith(("---", "..."))
    )


def _quoted(text: str) -> str:
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(character if _is_printable(character) else _escape(character) for character in escaped)


def _is_printable(character: str) -> bool:
    return character.isprintable() and character != "\ufeff"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
