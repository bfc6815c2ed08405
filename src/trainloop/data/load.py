"""From a config to the images: one reader for each name that ``data.dataset`` can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from trainloop.config.schema import DataConfig
from trainloop.data import cifar10, embedded, folder
from trainloop.data.cifar10 import CLASSES, SPLITS, ImageArrays, Split
from trainloop.data.dataset import Dataset, ImageSet
from trainloop.data.folder import FolderSplit
from trainloop.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Announce = Callable[[str], None]


def load_dataset(config: DataConfig, announce: Announce) -> Dataset:
    """Read the images that a config names; fetch CIFAR-10 first when it is missing and the config allows it.

    Args:
        config: the ``data`` section.
        announce: told in one line what takes time.

    Returns:
        The data set, on the CPU.

    Raises:
        DataError: the data is missing, damaged, or not what it claims to be.
    """
    return READERS[config.dataset](config, announce)


def _read_mini(_: DataConfig, __: Announce) -> Dataset:
    arrays = embedded.load()
    mean, std = channel_statistics(arrays["train"].images)
    return _dataset("cifar10-mini", arrays, (mean, std), embedded.DIGEST, "inside the package")


def _read_cifar10(config: DataConfig, announce: Announce) -> Dataset:
    path = config.path or cifar10.default_folder()
    if config.fetch and cifar10.missing(path):
        _fetch(path, announce)
    statistics = (cifar10.MEAN, cifar10.STD)
    return _dataset("cifar10", cifar10.read(path), statistics, cifar10.set_digest(), str(path))


def _read_folder(config: DataConfig, announce: Announce) -> Dataset:
    if config.path is None:
        raise DataError(
            "data.dataset is folder, but no folder is named",
            where="data.path",
            found="null",
            expected="a folder with train/<class>/*.png and test/<class>/*.png",
            help="set data.path",
        )
    announce(f"reading the images in {config.path} ...")
    content = folder.read(config.path, config.image_size)
    train, test = (to_tensors(content.splits[split]) for split in SPLITS)
    mean, std = channel_statistics(content.splits["train"].images)
    return Dataset("folder", content.classes, train, test, mean, std, content.digest, str(config.path))


READERS: dict[str, Callable[[DataConfig, Announce], Dataset]] = {
    "cifar10-mini": _read_mini,
    "cifar10": _read_cifar10,
    "folder": _read_folder,
}


def _dataset(
    name: str,
    arrays: Mapping[Split, ImageArrays],
    statistics: tuple[tuple[float, ...], tuple[float, ...]],
    digest: str,
    source: str,
) -> Dataset:
    mean, std = statistics
    return Dataset(name, CLASSES, to_tensors(arrays["train"]), to_tensors(arrays["test"]), mean, std, digest, source)


def to_tensors(arrays: ImageArrays | FolderSplit) -> ImageSet:
    """Wrap arrays as tensors: the images without a copy, the labels as int64."""
    return ImageSet(torch.from_numpy(arrays.images), torch.from_numpy(arrays.labels).long())


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the (population) standard deviation of each channel, of pixels scaled to [0, 1].

    Exact up to the last rounding: integers are counted, so that the result does not depend on an order of summation.

    Args:
        images: uint8, shape (N, C, H, W).
    """
    import numpy as np

    values = np.arange(256, dtype=np.float64) / 255
    means, stds = [], []
    for channel in range(images.shape[1]):
        share = np.bincount(images[:, channel].reshape(-1), minlength=256) / images[:, channel].size
        mean = float(share @ values)
        means.append(mean)
        stds.append(float(np.sqrt(share @ (values - mean) ** 2)))
    return tuple(means), tuple(stds)


def _fetch(path: Path, announce: Announce) -> None:
    from trainloop.data.sources.fetch import fetch
    from trainloop.data.sources.listener import PlainLines

    announce(f"CIFAR-10 is not in {path}; fetching it (140 to 170 MB) ...")
    fetch(path, listener=PlainLines(announce))
    announce(f"CIFAR-10 is now in {path}, every file verified")
