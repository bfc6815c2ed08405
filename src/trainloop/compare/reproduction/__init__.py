"""A difference on its own: a folder with the recorded tensors, and a short script that shows it without config and data.

Read ``scene.py`` (what there is to show), then the file of a stage (``update.py`` with ``optimizers.py``, ``gradient.py``,
``clipping.py``; ``recorded.py`` where a side cannot be imported), then ``script.py`` (what all scripts share) and
``write.py``.
"""

from __future__ import annotations

from trainloop.compare.reproduction.write import default_folder, write_reproduction

__all__ = ["default_folder", "write_reproduction"]
