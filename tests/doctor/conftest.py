"""Devices to ask; and the gate forgets between two tests which devices are sound."""

from __future__ import annotations

import pytest
import torch

from trainloop.doctor import gate

PRESENT = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.fixture(params=PRESENT)
def device(request):
    if not PRESENT[request.param]:
        pytest.skip(f"this machine has no {request.param} device")
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(gate, "_sound", set())


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
