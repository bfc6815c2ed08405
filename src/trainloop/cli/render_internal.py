"""The message for an error that trainloop did not foresee: ours to mend, so it asks for a report."""

from __future__ import annotations

import traceback

from trainloop.errors import Fault


def internal_fault(error: Exception) -> Fault:
    """Return the fault for an exception outside the error tree, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((frame for frame in reversed(frames) if "trainloop" in frame.filename), frames[-1] if frames else None)
    return Fault(
        "internal error: this is a fault of trainloop, not yours",
        where=f"{place.filename}:{place.lineno} in {place.name}" if place else "",
        found=f"{type(error).__name__}: {error}",
        help="please report it with this message; --debug shows the whole traceback",
    )
