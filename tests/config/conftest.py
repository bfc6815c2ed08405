from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainloop.config import LoadedConfig, Override, load_config
from trainloop.errors import ConfigError, Fault

Load = Callable[..., LoadedConfig]
Refuse = Callable[..., tuple[Fault, ...]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a text as the file c.yaml, with overrides."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str | bytes, *overrides: str | Override) -> LoadedConfig:
        path = Path("c.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config(path, overrides)

    return load_text


@pytest.fixture
def refuse(load: Load) -> Refuse:
    """Return the faults of a text that must not load."""

    def faults(text: str | bytes, *overrides: str | Override) -> tuple[Fault, ...]:
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides)
        return caught.value.faults

    return faults
