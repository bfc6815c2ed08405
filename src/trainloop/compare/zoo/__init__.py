"""The self-test of ``compare-modes``: faults seeded on purpose that it must catch, and clean pairs that it must pass.

Read in this order: ``edit.py`` (a fault as an edit of the source), ``fault.py`` (what a fault is), one of the families
(``faults_of_*.py``), ``clean.py`` (what must pass), ``self_test.py`` (run all of it).
"""

from __future__ import annotations
