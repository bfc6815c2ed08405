"""Is this machine fit to train? Kernels with known answers, and what else a run depends on.

``kernels/`` asks a device for results that are known without it, and ``gate.py`` refuses to train where one is wrong.
``system.py``, ``memory.py`` and ``storage.py`` look at versions, threads, compiler, allocator, data and disks; ``examine.py``
puts all of it together. Nothing here prints.
"""
