"""The state of torch's random streams at one moment: what dropout, and nothing else in a training step, draws from."""

from __future__ import annotations

import torch


class RandomState:
    """Remember the streams as they stand now, to draw the same numbers again.

    Args:
        device: whose stream counts besides that of the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cpu = torch.get_rng_state()
        self._own = torch.get_device_module(device).get_rng_state() if device.type != "cpu" else None

    def rewind(self) -> None:
        """Go back to that moment."""
        torch.set_rng_state(self._cpu)
        if self._own is not None:
            torch.get_device_module(self.device).set_rng_state(self._own)

    def is_now(self) -> bool:
        """Whether nothing has been drawn since, or as much as to stand at the same place again."""
        now = RandomState(self.device)
        if not torch.equal(self._cpu, now._cpu):
            return False
        return self._own is None or now._own is None or torch.equal(self._own, now._own)
