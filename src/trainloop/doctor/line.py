"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is to be thought of it."""

    ok = "ok"
    note = "note"
    """works, but slower, or something optional is not there"""
    failed = "failed"


@dataclass(frozen=True)
class Line:
    """One thing that was looked at.

    Args:
        section: what it belongs to.
        name: of it.
        state: ok, note or failed.
        found: what it is like.
        help: how to go on; empty for what is ok.
    """

    section: str
    name: str
    state: State
    found: str
    help: str = ""
