"""The catalogue of known deviations: what people get wrong in a training step, each as something that can be carried out.

A deviation joins by a line in the table of its stage; ``fit.py`` holds each against an observed difference.
"""

from __future__ import annotations

from trainloop.compare.catalogue.convolution import CONVOLUTION
from trainloop.compare.catalogue.forward import FORWARD
from trainloop.compare.catalogue.gradient import GRADIENT
from trainloop.compare.catalogue.loss import LOSS
from trainloop.compare.catalogue.optimizer import OPTIMIZER
from trainloop.compare.catalogue.others import OTHERS
from trainloop.compare.catalogue.scene import Deviation

CATALOGUE: tuple[Deviation, ...] = (*OTHERS, *FORWARD, *LOSS, *GRADIENT, *CONVOLUTION, *OPTIMIZER)

__all__ = ["CATALOGUE", "Deviation"]
