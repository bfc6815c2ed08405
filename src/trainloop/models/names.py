"""The models of this project by name, in a table that can be read without loading torch.

A new model joins by one line here; lists, errors and tests follow.
"""

from __future__ import annotations

from typing import NamedTuple


class OwnModel(NamedTuple):
    """One row.

    Args:
        target: ``module:function`` that builds the network; see ``arguments.py`` for what the function may ask for.
        description: what it is, in one line.
    """

    target: str
    description: str


OWN_MODELS: dict[str, OwnModel] = {
    "small_cnn": OwnModel(
        "trainloop.models.small_cnn:small_cnn", "three convolutions, about 100 thousand parameters; the one to read"
    ),
    "resnet20": OwnModel(
        "trainloop.models.resnet:resnet20",
        "He et al. 2015 for CIFAR-10, 0.27 million parameters, shortcuts without weights",
    ),
    "resnet18": OwnModel(
        "trainloop.models.resnet:resnet18", "ResNet-18 with a 3×3 stem for small images, 11.2 million parameters"
    ),
    "speednet": OwnModel(
        "trainloop.models.speednet:speednet",
        "made for 32×32 images and few epochs: whitened first layer, identity-like start",
    ),
}
