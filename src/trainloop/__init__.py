"""Train a CNN on CIFAR-10 with every stage of the training step readable and switchable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainloop.training import train

__version__ = "0.1.0"
__all__ = ["__version__", "train"]


def __getattr__(name: str) -> Any:
    """Import ``train`` when it is first asked for, so that the command line answers without loading torch."""
    if name == "train":
        from trainloop.training import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
