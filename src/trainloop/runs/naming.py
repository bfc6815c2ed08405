"""Which run is meant: a path, a name in ``runs/``, the beginning of one, or ``latest``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainloop.config.suggest import allowed_edits, distance, normal
from trainloop.errors import UsageError
from trainloop.report import run_folder
from trainloop.runs.overview import last_change, look_at, run_folders

LATEST = "latest"
MOST_NAMED = 4
LONGEST_NAME = 60
"""characters, up to which nearest names are looked for"""


def find_run(text: str) -> Path:
    """Return the run folder that ``text`` means.

    Args:
        text: the path of a folder; or the name of one in ``runs/``, a beginning that no other has, or ``latest``.

    Raises:
        UsageError: nothing, or more than one folder, is meant; the message has the nearest names.
    """
    here = Path(text)
    if text not in ("", LATEST) and _exists(here):
        if here.is_dir():
            return here
        raise UsageError("this is a file, not a run folder", where=str(here), expected="a folder that holds a run")
    folders = run_folders(run_folder.RUNS) if run_folder.RUNS.is_dir() else []
    newest_first = sorted(folders, key=last_change, reverse=True)
    if text == LATEST:
        return _latest(newest_first)
    if any(path.name == text for path in folders):
        return run_folder.RUNS / text
    begun = [path for path in newest_first if text and path.name.startswith(text)]
    if len(begun) == 1:
        return begun[0]
    names = [path.name for path in begun or newest_first]
    if begun:
        raise UsageError(
            f"{len(begun)} runs begin with this name",
            found=text,
            expected=f"one of {_listed(names)}",
            help="give more of the name",
        )
    raise UsageError(
        "there is no such run",
        found=text,
        expected=f"the path of a run folder, a name in {run_folder.RUNS}/ or the beginning of one, or {LATEST}",
        help=_advice(text, names),
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A name that is too long, for instance.
        return False


def _latest(newest_first: Sequence[Path]) -> Path:
    for path in newest_first:
        if look_at(path).state != "no run":
            return path
    raise UsageError(f"there is no run in {run_folder.RUNS}/ yet", found=LATEST, expected="the path of a run folder")


def _advice(text: str, names: Sequence[str]) -> str:
    if not names:
        return f"there is no run in {run_folder.RUNS}/"
    close = nearest_names(Path(text).name, names)
    return f"did you mean {_listed(close)}?" if close else f"there are {_listed(names)}"


def nearest_names(word: str, names: Sequence[str]) -> list[str]:
    """Return the names that ``word``, or a beginning of them, was most likely meant to be, the nearest first."""
    plain = normal(word)
    if not 0 < len(plain) <= LONGEST_NAME:
        return []
    limit = allowed_edits(plain)
    scored = [
        (min(distance(plain, normal(name), limit), distance(plain, normal(name)[: len(plain)], limit)), place, name)
        for place, name in enumerate(names)
    ]
    return [name for edits, _, name in sorted(scored) if edits <= limit]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
