"""The commented config of ``config init``: every key with its meaning, what it accepts, and its default."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from trainloop.config.dump import flow_text
from trainloop.config.outline import (
    Spec,
    allowed_values,
    choices,
    default_choice,
    in_words,
    json_schema,
    properties,
    resolve,
    without_null,
)
from trainloop.config.schema import RunConfig

_WIDTH = 110
_HEAD = """\
# A trainloop config with every key at its default; a key that is left out keeps the value shown here.
# Run it:              trainloop train --config FILE
# Change single keys:  trainloop train --config FILE --set optimizer.lr=0.05
# See what applies:    trainloop config show --config FILE --origin
"""


def commented_yaml() -> str:
    """Return a YAML text that reads back to the defaults, with a comment above each key."""
    lines = _section_lines(json_schema(), RunConfig().model_dump(mode="json"), "")
    return _HEAD + "".join(f"{line}\n" for line in lines)


def _section_lines(section: Spec, values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, spec in properties(section).items():
        yield from _key_lines(name, spec, values[name], indent)


def _key_lines(name: str, spec: Spec, value: Any, indent: str) -> Iterator[str]:
    options = choices(spec)
    if not indent:
        yield ""
    if not options:
        yield from (wrapped for line in _meaning(spec) for wrapped in _comment(line, indent))
        yield f"{indent}{name}: {flow_text(value)}"
        return
    yield f"{indent}# {spec.get('description', '')}"
    yield f"{indent}{name}:"
    deeper = indent + "  "
    if len(options) == 1:
        yield from _section_lines(resolve(spec), value, deeper)
    else:
        yield from _choice_lines(spec, options, value, deeper)


def _choice_lines(spec: Spec, options: Mapping[str, Spec], value: Mapping[str, Any], indent: str) -> Iterator[str]:
    """The default choice as keys, the others as comments."""
    chosen = default_choice(spec)
    for name, option in options.items():
        yield f"{indent}# {name}: {option['description'].splitlines()[0]}"
    yield f"{indent}name: {flow_text(chosen)}"
    for key, child in properties(options[chosen]).items():
        if key != "name":
            yield from _key_lines(key, child, value[key], indent)
    for name in (name for name in options if name != chosen):
        yield f"{indent}# With `name: {name}`{_without(options[name], options[chosen])}:"
        yield from (f"{indent}#   {line}" for line in _other_lines(options[name], options[chosen]))


def _without(option: Spec, chosen: Spec) -> str:
    gone = [key for key in properties(chosen) if key not in properties(option)]
    return f" (remove {', '.join(gone)})" if gone else ""


def _other_lines(option: Spec, chosen: Spec) -> Iterator[str]:
    known = properties(chosen)
    for key, child in properties(option).items():
        if key == "name" or known.get(key) == child:
            continue
        shown = flow_text(child["default"]) if "default" in child else "(must be given)"
        yield f"{key}: {shown}  # {'; '.join(_meaning(child))}"


def _comment(text: str, indent: str) -> list[str]:
    inner = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(), _WIDTH, initial_indent=f"{indent}# {inner}", subsequent_indent=f"{indent}# {inner}  "
    )


def _meaning(spec: Spec) -> Iterator[str]:
    """What the key means and accepts, without saying the same words twice."""
    description = str(spec.get("description", ""))
    plain, _ = without_null(spec)
    words = allowed_values(plain)
    told = bool(words) and all(word in description for word in words)
    yield description if told else f"{description} [{in_words(spec)}]"
    item = resolve(plain.get("items", {}))
    for key, child in properties(item).items():
        yield f"  {key}: {'; '.join(_meaning(child))}"
