"""The manual path: what zero_grad, forward, backward and step really do, written out.

Imports torch and the standard library only, so that a reader can copy this folder out of the project. Read in this order:
``zero_grad.py``, ``tape.py``, ``node.py``, ``rules/activation.py`` and any other family, ``clip.py``, ``optim/base.py``,
``optim/sgd.py``, ``optim/adam.py``, ``ema.py``; then ``values.py`` and ``alias.py``, where in-place changes are kept straight.
"""

from __future__ import annotations

from trainloop.manual.conv import conv2d, conv_transpose2d
from trainloop.manual.examples import Index, Mask, T, call
from trainloop.manual.rule import Composite, Form, Rule
from trainloop.manual.rules import RULES
from trainloop.manual.tape import Tape

__all__ = ["RULES", "Composite", "Form", "Index", "Mask", "Rule", "T", "Tape", "call", "conv2d", "conv_transpose2d"]
