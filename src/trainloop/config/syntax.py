"""What is wrong with text that is not YAML, in words that name the way out."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from trainloop.config.nodes import Place, PlacedFault
from trainloop.errors import Fault

Locate = Callable[[int, int], Place]
"""Turns a line and a column, both from 0, into a place."""

# (part of PyYAML's problem, show where the construct began instead of where it failed, what, help)
_MESSAGES: tuple[tuple[str, bool, str, str], ...] = (
    ("character '\\t'", False, "a tab where YAML wants spaces", "use spaces to indent and after a colon"),
    (
        "mapping values are not allowed here",
        False,
        "a `:` where no key can stand",
        "look at the line above too: each key needs its `: `, the keys of a section one indentation; "
        "put quotes around text that holds `: `",
    ),
    (
        "could not find expected ':'",
        True,
        "a line without a `:`",
        "write `key: value`, with a space after the colon",
    ),
    (
        "while scanning a quoted scalar",
        True,
        "a quote is opened and never closed",
        "close it on the same line; an apostrophe inside '…' is written twice",
    ),
    (
        "unknown escape character",
        False,
        "a backslash that YAML does not know inside double quotes",
        "use single quotes for text with backslashes",
    ),
    ("expected ',' or ']'", True, "a list `[` is not closed", "close it with `]` and put commas between its items"),
    ("expected ',' or '}'", True, "a section `{` is not closed", "close it with `}` and put commas between its keys"),
    (
        "expected <block end>, but found",
        False,
        "the indentation does not fit",
        "indent the keys of a section alike, with spaces",
    ),
    (
        "character '%'",
        False,
        "text cannot begin with `%`",
        "put quotes around it",
    ),
    ("character '@'", False, "text cannot begin with `@`", "put quotes around it"),
    ("character '`'", False, "text cannot begin with a backquote", "put quotes around it"),
    (
        "alphabetic or numeric character",
        False,
        "`*` and `&` begin an alias or an anchor in YAML",
        "put quotes around the text, as in '*.bias'",
    ),
)


def syntax_fault(error: yaml.YAMLError, locate: Locate, text: str) -> PlacedFault:
    """Return the fault for text that PyYAML could not read.

    Args:
        error: what PyYAML raised.
        locate: finds the place of a line and column.
        text: the whole text, to show the line.
    """
    if isinstance(error, yaml.reader.ReaderError):
        return _unprintable(error, locate, text)
    if not isinstance(error, yaml.MarkedYAMLError):
        return _placed(locate(0, 0), "this is not YAML", str(error), "")
    mark = error.problem_mark or error.context_mark
    problem = f"{error.context or ''}; {error.problem or ''}"
    what, help = f"this is not YAML: {error.problem}", ""
    for part, at_start, message, way_out in _MESSAGES:
        if part in problem:
            what, help = message, way_out
            mark = (error.context_mark or mark) if at_start else mark
            break
    line, column = (mark.line, mark.column) if mark else (0, 0)
    return _placed(locate(line, column), what, _line(text, line), help)


def _unprintable(error: yaml.reader.ReaderError, locate: Locate, text: str) -> PlacedFault:
    before = text[: error.position]
    code = error.character if isinstance(error.character, int) else ord(error.character[0])
    place = locate(before.count("\n"), len(before) - (before.rfind("\n") + 1))
    return _placed(place, "a character that YAML forbids", f"U+{code:04X}", "remove it (is this a YAML file at all?)")


def _line(text: str, number: int) -> str:
    lines = text.splitlines()
    line = " ".join(lines[number].split()) if number < len(lines) else "the end of the text"
    return line if len(line) <= 60 else line[:59] + "…"


def _placed(place: Place, what: str, found: str, help: str) -> PlacedFault:
    return PlacedFault(place.rank, Fault(what, place.origin.where, found, "", help))
