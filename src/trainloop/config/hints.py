"""The last line of a fault: the key or value that was probably meant, and how to write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainloop.config.nodes import MapNode, Node, Path, ScalarNode, dotted, find, to_text
from trainloop.config.outline import (
    Key,
    allowed_values,
    choices,
    every_key,
    one_of,
    properties,
    section_name,
    without_null,
)
from trainloop.config.scalars import plain_value
from trainloop.config.suggest import OTHER_KEYS, allowed_edits, nearest, nearest_value, normal

Spec = Mapping[str, Any]


def key_hint(path: Path, root: MapNode, data: Mapping[str, Any]) -> str:
    """Return the nearest valid key for an unknown one: first in its section, then in the whole schema."""
    key, section = str(path[-1]), section_name(path[:-1])
    here = [known for known in every_key() if known.section == section]
    chosen = str(_value_at((*path[:-1], "name"), data))
    valid = [known.name for known in here if known.choice in ("", chosen)]
    if (name := nearest(key, valid, limit=min(1, allowed_edits(key)))) is not None:
        return _did_you_mean(section, name)
    if others := [known.choice for known in here if known.name == key and known.choice != chosen]:
        return _other_choice(key, path[:-1], chosen, others, root)
    if nested := _nested(key, section):
        return nested
    return _elsewhere(key, section) or _by_beginning(key, section, valid) or _by_spelling(key, section, valid)


def _did_you_mean(section: str, name: str) -> str:
    return f"did you mean `{f'{section}.{name}'.removeprefix('.').replace('[]', '')}`?"


def _other_choice(key: str, section: Path, chosen: str, others: list[str], root: MapNode) -> str:
    named = find(root, (*section, "name"))
    place = f" ({named.node.place.origin.where})" if named is not None else " by default"
    where = dotted(section)
    return (
        f"`{key}` belongs to {where} {one_of(tuple(others))}, and {where}.name is {chosen}{place}; "
        f"remove it, or replace the whole section with --set '{where}={{name: {chosen}}}'"
    )


def _nested(key: str, section: str) -> str:
    """A dotted key in a file: say how it is nested."""
    whole = f"{section}.{key}".removeprefix(".")
    if "." in key and any(known.path == whole for known in every_key()):
        return f"dots do not nest in a file: write `{key.split('.')[-1]}:` indented below `{key.rsplit('.', 1)[0]}:`"
    return ""


def _elsewhere(key: str, section: str) -> str:
    same = [known for known in every_key() if known.name == normal(key) and known.section != section]
    homes = tuple(dict.fromkeys(known.section.replace("[]", "") for known in same))
    if len(homes) == 1:
        home = f"section `{homes[0]}`" if homes[0] else "the top level"
        return f"`{normal(key)}` belongs to {home}: did you mean `{same[0].path}`?"
    if homes:
        return "did you mean " + " or ".join(f"`{f'{home}.{normal(key)}'.removeprefix('.')}`" for home in homes) + "?"
    if (known_as := OTHER_KEYS.get(normal(key))) is not None:
        return f"did you mean `{known_as}`?"
    return ""


def _by_beginning(key: str, section: str, valid: list[str]) -> str:
    name = next((name for name in valid if name.startswith(f"{normal(key)}_")), None)
    return _did_you_mean(section, name) if name is not None else ""


def _by_spelling(key: str, section: str, valid: list[str]) -> str:
    if (name := nearest(key, valid)) is not None:
        return _did_you_mean(section, name)
    keys: list[Key] = [known for known in every_key() if known.section != section]
    if (name := nearest(key, (known.name for known in keys))) is not None:
        return f"did you mean `{next(known.path for known in keys if known.name == name)}`?"
    if (name := nearest(key, OTHER_KEYS)) is not None:
        return f"did you mean `{OTHER_KEYS[name]}`?"
    if key.isdecimal():
        return "is this the rest of a decimal comma? write a point, as in 0.1"
    return "`trainloop config init -` prints every key with its meaning"


def section_hint(path: Path, node: Node, spec: Spec) -> str:
    """Return how to write a section that was given as a single value."""
    section = dotted(path)
    options = choices(spec)
    keys = ", ".join(properties(next(iter(options.values()))))
    text = node.text if isinstance(node, ScalarNode) else ""
    if isinstance(node, ScalarNode) and node.value is None:
        return f"remove `{section}:`, or give some of its keys below it: {keys}"
    if (glued := text.partition(":")) and glued[1] and glued[0] in keys.split(", "):
        return f"put a space after the colon: `{glued[0]}: {glued[2]}`"
    for name, child in next(iter(options.values()))["properties"].items():
        words = tuple(options) if name == "name" and len(options) > 1 else allowed_values(child)
        if text and (word := nearest_value(text, words)) is not None:
            return _named(path, name, word, node)
    if "name" in options.get("", {}).get("properties", {}) and text:
        return _named(path, "name", text, node)
    return f"give some of its keys below it: {keys}"


def _named(section: Path, key: str, word: str, node: Node) -> str:
    if node.place.origin.kind == "override":
        return f"did you mean `{dotted((*section, key))}={word}`?"
    return f"did you mean `{section[-1]}: {{{key}: {word}}}`?"


def value_hint(path: Path, node: Node, spec: Spec) -> str:
    """Return how to write the value that was probably meant."""
    plain, nullable = without_null(spec)
    if not isinstance(node, ScalarNode):
        return ""
    if node.value is None:
        return _null_hint(path, plain)
    if nullable and node.is_null_word:
        return "did you mean `null`?"
    if words := allowed_values(plain):
        return _word_hint(node, words)
    kind = plain.get("type")
    if kind == "array":
        return f"write a list, in brackets: [{to_text(node)}]"
    if kind == "string" and not isinstance(node.value, str):
        return f"put quotes around it: '{node.text}'"
    if kind == "boolean":
        return _boolean_hint(node)
    return _number_hint(node, str(kind)) if kind in ("number", "integer") else ""


def _null_hint(path: Path, plain: Spec) -> str:
    if words := [word for word in allowed_values(plain) if word in ("none", "off")]:
        return f"did you mean `{words[0]}`?"
    return f"write a value after `{path[-1]}:`, or remove the line to keep the default"


def _word_hint(node: ScalarNode, words: tuple[str, ...]) -> str:
    word = nearest_value(str(node.value) if node.quoted or isinstance(node.value, str) else node.text, words)
    return f"did you mean `{word}`?" if word is not None else ""


def _boolean_hint(node: ScalarNode) -> str:
    word = str(node.value).strip().lower()
    for meant, spellings in (
        ("true", ("yes", "on", "1", "y", "true", "t")),
        ("false", ("no", "off", "0", "n", "false", "f")),
    ):
        if word in spellings:
            return f"did you mean `{meant}`?"
    return ""


def _number_hint(node: ScalarNode, kind: str) -> str:
    text = str(node.value).strip()
    if isinstance(node.value, float):
        return f"write {int(node.value)}" if kind == "integer" and node.value.is_integer() else ""
    if isinstance(node.value, str):
        if isinstance(plain_value(text), int | float) and node.quoted:
            return f"write the number without quotes: {text}"
        for candidate, advice in _number_candidates(text):
            if isinstance(plain_value(candidate), int | float) and not isinstance(plain_value(candidate), bool):
                return advice.format(plain_value(candidate))
    return ""


def _number_candidates(text: str) -> tuple[tuple[str, str], ...]:
    percent = plain_value(text[:-1]) if text.endswith("%") else ""
    return (
        (text.replace(",", "."), "write a decimal point: {}"),
        (text.replace(",", ""), "write no commas: {}"),
        (text.replace(" ", ""), "write no spaces: {}"),
        (str(percent / 100) if isinstance(percent, int | float) else "", "write a fraction: {}"),
        (text.replace("^", "e").replace("*", "").replace("10e", "1e"), "write {}"),
    )


def _value_at(path: Path, data: Any) -> Any:
    for part in path:
        if isinstance(data, Mapping):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data
