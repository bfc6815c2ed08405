"""The schema as data: which keys there are, in which section, and the words for what each one accepts.

Everything is read from the JSON Schema of :class:`RunConfig`, so that error messages, the commented file and
``config schema`` cannot disagree.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainloop.config.nodes import Path
from trainloop.config.schema import RunConfig

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """One key of the schema.

    Args:
        section: dotted path of the section, empty at the top; ``[]`` stands for any item of a list.
        choice: the ``name`` that the section must have for this key, or empty.
        name: the key itself.
        spec: its JSON Schema.
    """

    section: str
    choice: str
    name: str
    spec: Spec

    @property
    def path(self) -> str:
        """Return the dotted path; an item's key stands for its list."""
        return f"{self.section}.{self.name}".removeprefix(".").replace("[]", "")


@functools.cache
def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a whole config."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RunConfig.model_json_schema()}


def resolve(spec: Spec) -> Spec:
    """Follow a ``$ref`` to its definition, keeping the description beside it."""
    if "$ref" not in spec:
        return spec
    target: Spec = json_schema()["$defs"][str(spec["$ref"]).rsplit("/", 1)[1]]
    return {**target, **{name: value for name, value in spec.items() if name != "$ref"}}


def without_null(spec: Spec) -> tuple[Spec, bool]:
    """Return the spec of a value that is not null, and whether null is allowed too."""
    options = spec.get("anyOf", ())
    kept = [option for option in options if option.get("type") != "null"]
    if len(kept) == 1:
        return {**resolve(kept[0]), **{name: spec[name] for name in ("description",) if name in spec}}, True
    return resolve(spec), False


def choices(spec: Spec) -> dict[str, Spec]:
    """Return the sections a spec allows by ``name``: one under the empty name, several, or none for a value."""
    spec = resolve(spec)
    if "discriminator" in spec:
        mapping = spec["discriminator"]["mapping"]
        order = [resolve(option) for option in spec["oneOf"]]
        return {option["properties"]["name"]["const"]: option for option in order if mapping}
    return {"": spec} if "properties" in spec else {}


def properties(section: Spec) -> dict[str, Spec]:
    """Return the keys of a section with their specs, ``name`` first; empty when the spec is no section."""
    keys: dict[str, Spec] = dict(section.get("properties", {}))
    return {"name": keys["name"], **keys} if "name" in keys else keys


def default_choice(spec: Spec) -> str:
    """Return the ``name`` a section has when it gives none."""
    return next(
        name for name, option in choices(spec).items() if "default" in option["properties"].get("name", {"default": ""})
    )


def section_at(spec: Spec, data: object) -> Spec | None:
    """Return the section that ``data`` chooses among those of ``spec``; None when it is no section or names none."""
    options = choices(spec)
    if len(options) <= 1:
        return options.get("")
    name = data.get("name", default_choice(spec)) if isinstance(data, Mapping) else default_choice(spec)
    return options.get(name) if isinstance(name, str) else None


def spec_at(path: Path, data: object) -> Spec | None:
    """Return the spec of the value at ``path`` in a config of plain ``data``; None when there is no such key."""
    spec: Spec = json_schema()
    for part in path:
        spec, _ = without_null(spec)
        if isinstance(part, int):
            spec = _item_spec(spec, part)
        elif (section := section_at(spec, data)) is not None and part in section["properties"]:
            spec = section["properties"][part]
        elif isinstance(spec.get("additionalProperties"), Mapping):
            spec = spec["additionalProperties"]
        else:
            return None
        data = _child(data, part)
    return spec


def _item_spec(spec: Spec, index: int) -> Spec:
    prefix = spec.get("prefixItems", ())
    item: Spec = prefix[index] if index < len(prefix) else spec.get("items", {})
    return resolve(item)


def _child(data: object, part: str | int) -> object:
    if isinstance(data, Mapping):
        return data.get(part)
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part]
    return None


@functools.cache
def every_key() -> tuple[Key, ...]:
    """Return every key of the schema, sections included, in its order."""
    return tuple(_keys("", json_schema()))


def _keys(section: str, spec: Spec) -> Iterator[Key]:
    for choice, option in choices(spec).items():
        for name, child in option["properties"].items():
            key = Key(section, choice, name, child)
            yield key
            yield from _keys(f"{section}.{name}".removeprefix("."), child)
            items = resolve(resolve(child).get("items", {}))
            yield from _keys(f"{section}.{name}[]".removeprefix("."), items)


def section_name(path: Path) -> str:
    """Return the ``Key.section`` for a path: ``optimizer.groups[]`` for ``("optimizer", "groups", 0)``."""
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def allowed_values(spec: Spec) -> tuple[str, ...]:
    """Return the words that a spec allows, empty when it is not a choice among words."""
    plain, _ = without_null(spec)
    if "discriminator" in plain:
        return tuple(choices(plain))
    return tuple(plain.get("enum", ())) or ((plain["const"],) if "const" in plain else tuple(plain.get("examples", ())))


def in_words(spec: Spec) -> str:
    """Return what a spec accepts, such as ``a whole number ≥ 1, or null``."""
    plain, nullable = without_null(spec)
    if nullable and "enum" in plain:
        return one_of((*plain["enum"], "null"))
    return _plain_words(plain) + (", or null" if nullable else "")


def _plain_words(spec: Spec) -> str:
    if choices(spec):
        return "a section (keys with values, indented below it)"
    if words := allowed_values(spec):
        return ("such as " if "examples" in spec else "") + one_of(words)
    if "anyOf" in spec:
        options = [_plain_words(option) for option in spec["anyOf"]]
        return one_of(tuple(f"text {option}" if option.startswith("such as") else option for option in options))
    kind = spec.get("type")
    if kind == "object":
        return "keys with values: " + _plain_words(spec.get("additionalProperties", {}))
    if kind == "array":
        return _list_words(spec)
    nouns = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
    noun = "a path" if spec.get("format") == "path" else nouns.get(str(kind), "a value")
    return " ".join([noun, _bounds(spec)]).strip()


def one_of(words: tuple[str, ...]) -> str:
    """Return the words as a choice: ``a, b or c``."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _list_words(spec: Spec) -> str:
    if "prefixItems" in spec:
        words = [in_words(item) for item in spec["prefixItems"]]
        each = f", each {words[0]}" if len(set(words)) == 1 else f": {', then '.join(words)}"
        return f"a list of {len(words)}{each}"
    least = f" of at least {spec['minItems']}" if spec.get("minItems") else ""
    items = resolve(spec["items"])
    each = f"with the keys {', '.join(items['properties'])}" if choices(items) else _plain_words(items)
    return f"a list{least}, each {each}"


def _bounds(spec: Spec) -> str:
    if "minimum" in spec and "maximum" in spec:
        return f"from {spec['minimum']:g} to {spec['maximum']:g}"
    signs = (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))
    bounds = [f"{sign} {_figure(spec[name])}" for name, sign in signs if name in spec]
    if spec.get("minLength"):
        bounds.append("(not empty)")
    return " and ".join(bounds)


def _figure(bound: float) -> str:
    return f"2^{int(bound).bit_length() - 1}" if bound >= 2**31 else f"{bound:g}"
