"""Files that a command is asked to write beside what it prints; refused before the work if they cannot be written after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainloop import files
from trainloop.errors import UsageError

STANDARD_OUTPUT = "-"
NAMES = {"--json": "JSON", "--markdown": "Markdown"}
"""what can go to standard output"""
PAGE = ("html",)
"""the ending of what is a page, not a picture"""


def check_outputs(outputs: Mapping[str, str | None], pictures: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse files that cannot be written.

    Args:
        outputs: what each option names: a file, ``-`` for standard output, or None.
        pictures: the endings that an option's file may have, without the dot; ``PAGE`` for a page.

    Raises:
        UsageError: a file is a folder, a device or a pipe, or has the wrong ending, or two outputs go to one place.
        ResourceError: the system does not let a file be made there.
    """
    printed = [option for option in NAMES if outputs.get(option) == STANDARD_OUTPUT]
    if len(printed) > 1:
        raise UsageError(
            f"standard output can take one of {' and '.join(NAMES[option] for option in printed)}",
            where=", ".join(printed),
            found=" and ".join(STANDARD_OUTPUT for _ in printed),
            expected="one of them -, the other a file",
        )
    for option, endings in pictures.items():
        name = outputs.get(option)
        if name is not None and Path(name).suffix.lower().removeprefix(".") not in endings:
            kinds = " or ".join(_with_article(ending.upper()) for ending in endings)
            raise UsageError(
                "the page is HTML" if endings == PAGE else f"the picture is {kinds}",
                where=option,
                found=name,
                expected=" or ".join(f"FILE.{ending}" for ending in endings),
            )
    for option, name in named_files(outputs).items():
        if Path(name).is_dir():
            raise UsageError("a folder stands where the file would go", where=option, found=name, expected="a file")
        if Path(name).exists() and not Path(name).is_file():
            raise UsageError(
                "a device or a pipe stands where the file would go, and would be replaced",
                where=option,
                found=name,
                expected="a file, or - for standard output",
            )
    paths = [Path(name).absolute() for name in named_files(outputs).values()]
    if len(set(paths)) < len(paths):
        raise UsageError(
            "two outputs go to the same file",
            where=", ".join(named_files(outputs)),
            found=", ".join(named_files(outputs).values()),
            expected="a file for each",
        )
    for path in paths:
        files.require_writable(path)


def named_files(outputs: Mapping[str, str | None]) -> dict[str, str]:
    """Return the files that are asked for, by option, without what goes to standard output."""
    return {option: name for option, name in outputs.items() if name is not None and name != STANDARD_OUTPUT}


def printed(outputs: Mapping[str, str | None]) -> str:
    """Return ``json`` or ``markdown`` if that goes to standard output, and then nothing else does; else nothing."""
    return next((option.removeprefix("--") for option in NAMES if outputs.get(option) == STANDARD_OUTPUT), "")


def _with_article(name: str) -> str:
    return f"an {name}" if name[0] in "AEFHILMNORSX" else f"a {name}"
