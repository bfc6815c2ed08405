"""compare-modes: two implementations of a training step, many steps, one verdict.

Read in this order: ``key.py`` (what is compared), ``implementation.py`` (the two sides), ``record.py`` (a step of the reference,
written down), ``replay.py`` (the candidate on the recorded inputs), ``evidence.py`` and ``judge.py`` (is a difference rounding?),
``run.py`` (all steps), ``conclude.py`` (the verdict).
"""

from __future__ import annotations
