"""Optimizers written out: the formula beside the line that computes it.

Read ``base.py`` first (groups, state, the loop), then ``sgd.py`` and ``adam.py``; the others follow their pattern.
"""

from __future__ import annotations

from trainloop.manual.optim.adadelta import Adadelta
from trainloop.manual.optim.adafactor import Adafactor
from trainloop.manual.optim.adagrad import Adagrad
from trainloop.manual.optim.adam import Adam
from trainloop.manual.optim.adamax import Adamax
from trainloop.manual.optim.adamw import AdamW
from trainloop.manual.optim.asgd import ASGD
from trainloop.manual.optim.base import Optimizer
from trainloop.manual.optim.muon import Muon
from trainloop.manual.optim.nadam import NAdam
from trainloop.manual.optim.radam import RAdam
from trainloop.manual.optim.rmsprop import RMSprop
from trainloop.manual.optim.rprop import Rprop
from trainloop.manual.optim.sgd import SGD

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "rprop": Rprop,
    "asgd": ASGD,
    "adafactor": Adafactor,
    "muon": Muon,
}

__all__ = [
    "ASGD",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
]
