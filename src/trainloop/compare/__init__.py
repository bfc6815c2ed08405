"""compare-modes: two implementations of a training step, many steps, one verdict.

Read in this order: ``key.py`` (what is compared), ``implementation.py`` (the two sides), ``record.py`` (a step of the
reference, written down), ``replay.py`` (the candidate on the recorded inputs), ``evidence.py`` and ``judge.py`` (is a
difference rounding?), ``run.py`` (all steps), ``conclude.py`` (the verdict).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainloop.compare.api import TrainingStep, assert_same_step, compare
    from trainloop.compare.verdict import Verdict

__all__ = ["TrainingStep", "Verdict", "assert_same_step", "compare"]


def __getattr__(name: str) -> object:
    """Import what needs torch when one of the names is first used."""
    if name == "Verdict":
        from trainloop.compare.verdict import Verdict

        return Verdict
    if name in __all__:
        from trainloop.compare import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
