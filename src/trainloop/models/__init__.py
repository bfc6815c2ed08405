"""Networks: readable ones of this project, torchvision's by name, and the user's own class.

``MODELS`` and ``build_model`` need torch, so they are looked up when they are first asked for: the names alone
(``names.py``) do not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainloop.models.build import MODELS, build_model, parameter_count

__all__ = ["MODELS", "build_model", "parameter_count"]


def __getattr__(name: str) -> object:
    """Import torch's side of the package when one of its names is first used."""
    if name in __all__:
        from trainloop.models import build

        return getattr(build, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
