"""The manual path: what zero_grad, backward and step really do, written out.

Imports torch and the standard library only, so that a reader can copy this folder out of the project. Read in this order:
``zero_grad.py``, ``backward.py``, ``optim/base.py``, ``optim/sgd.py``, ``optim/adamw.py``.
"""
