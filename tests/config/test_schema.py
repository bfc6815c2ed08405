from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainloop.config.schema import RunConfig, TrainConfig


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunConfig().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:11"])
def test_devices(device: str) -> None:
    assert RunConfig(device=device).device == device


@pytest.mark.parametrize("device", ["cuda:", "cuda:x", "gpu", "cuda:٣", "cpu\n", ""])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(ValidationError, match="device"):
        RunConfig(device=device)


def test_text_is_never_taken_for_a_number() -> None:
    with pytest.raises(ValidationError, match="valid integer"):
        TrainConfig(epochs="3")  # type: ignore[arg-type]
