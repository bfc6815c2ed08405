"""Checkpoints that verify themselves, and how a run is taken up again from one, bit for bit.

``layout.py``: what a checkpoint holds. ``folder.py``: how it lies on the disk. ``manifest.py``: how it is verified.
``places.py``: what its name says. ``store.py``: those of one run: the newest that verifies, how many stay. ``capture.py``:
between a run and what is saved of it. ``keeper.py``: when the loop saves. ``same_run.py``: what may differ between the run
that saved and the one that goes on.
"""
