"""A finished run, read back from its folder: to evaluate it again, or to classify images with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from trainloop.build import eval_set, pipeline_settings
from trainloop.config import load_config
from trainloop.config.schema import RunConfig
from trainloop.data.dataset import Dataset, ImageSet
from trainloop.data.folder import MAX_PIXELS, load_image
from trainloop.data.load import Announce, load_dataset
from trainloop.data.pipeline import PipelineSettings, eval_batches, split_validation
from trainloop.device import check_precision, choose_device
from trainloop.errors import CheckpointError, DataError, UsageError
from trainloop.loop.evaluate import Evaluation, evaluate
from trainloop.models import build_model
from trainloop.report import run_folder
from trainloop.report.weights import weights_sha256

LARGEST_JSON = 64_000_000
"""bytes; more than any run writes, and little enough to read"""
Size = Annotated[int, Field(ge=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Facts(BaseModel):
    """Facts that are needed here, among others; the files may come from anywhere."""

    model_config = ConfigDict(extra="ignore", strict=True)


class DataFacts(Facts):
    """What ``env.json`` says of the data set."""

    digest: str
    classes: list[str] = Field(min_length=2)
    image_shape: list[Size] = Field(min_length=3, max_length=3)
    mean: list[Finite]
    std: list[Finite]

    @model_validator(mode="after")
    def _fits_together(self) -> DataFacts:
        channels, height, width = self.image_shape
        if height * width > MAX_PIXELS or not channels == len(self.mean) == len(self.std):
            raise ValueError("image_shape is not that of images, or does not fit mean and std")
        return self


class EnvironmentFacts(Facts):
    """``env.json``."""

    data: DataFacts


class SummaryFacts(Facts):
    """``summary.json``."""

    weights_sha256: str
    test_accuracy: Finite
    device: str
    threads: int


@dataclass(frozen=True)
class SavedRun:
    """What a run folder says.

    Args:
        path: the folder.
        config: of the run, with the weights of the run as its start weights.
        data: facts of its data set: classes, image_shape, mean, std, digest.
        summary: results of the run.
    """

    path: Path
    config: RunConfig
    data: dict[str, Any]
    summary: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """Return the class names in label order."""
        return list(self.data["classes"])


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Args:
        image: its file.
        ranking: (class, probability), the most probable first; the probabilities add up to 1.
    """

    image: Path
    ranking: tuple[tuple[str, float], ...]


def read_run(path: Path, device: str | None = None) -> SavedRun:
    """Read a run folder.

    Args:
        path: the folder.
        device: use this one instead of the run's.

    Raises:
        UsageError: there is no such folder, or it holds no finished run.
        CheckpointError: one of its files is missing or damaged.
    """
    if not path.is_dir():
        raise UsageError(
            "this is a file, not a run folder" if path.exists() else "there is no such run folder",
            where=str(path),
            expected="a folder that `trainloop train` made",
        )
    if not (path / run_folder.SUMMARY).exists():
        raise UsageError(
            "this folder holds no finished run",
            where=str(path),
            expected=f"{run_folder.SUMMARY}, which a run writes at its end",
            help=f"`trainloop runs show {path}` says how to go on with it; one of its checkpoints can be evaluated: "
            f"trainloop evaluate {path} --checkpoint last",
        )
    if not (path / run_folder.WEIGHTS).exists():
        raise CheckpointError(
            "the weights of this run are missing",
            where=str(path / run_folder.WEIGHTS),
            help="restore the file, or train again",
        )
    overrides = [f"device={device}"] if device else []
    config = load_config(path / run_folder.CONFIG, overrides).config
    weighted = config.model.model_copy(update={"weights": path / run_folder.WEIGHTS})
    environment = _read_json(path / run_folder.ENVIRONMENT, EnvironmentFacts)
    summary = _read_json(path / run_folder.SUMMARY, SummaryFacts)
    return SavedRun(path, config.model_copy(update={"model": weighted}), environment["data"], summary)


def _read_json(path: Path, needed: type[BaseModel]) -> dict[str, Any]:
    """Read a JSON file of a run that has at least the facts needed here."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_JSON:
            raise ValueError("it is no plain file, or a huge one" if path.exists() else "no such file")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        needed.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    return content


def _damaged(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "a file of this run is missing or damaged",
        where=str(path),
        found=found,
        expected="the JSON that the run wrote",
        help="restore the file, or train again",
    )


def build_saved_model(run: SavedRun, plugins: Sequence[Path]) -> tuple[nn.Module, torch.device]:
    """Build the run's model with its final weights, in evaluation mode."""
    device = choose_device(run.config.device)
    check_precision(run.config, device)
    channels, height, width = run.data["image_shape"]
    side = run.config.data.image_size
    model = build_model(
        run.config.model,
        num_classes=len(run.classes),
        image_shape=(channels, side or height, side or width),
        train_images=None,
        mean=tuple(run.data["mean"]),
        std=tuple(run.data["std"]),
        plugins=plugins,
    ).to(device)
    if run.config.train.channels_last:
        model = model.to(memory_format=torch.channels_last)
    _require_undamaged(run, model)
    return model.eval(), device


def _require_undamaged(run: SavedRun, model: nn.Module) -> None:
    found = weights_sha256(model)
    if found != run.summary["weights_sha256"]:
        raise CheckpointError(
            "the weights are not those that the run ended with",
            where=str(run.path / run_folder.WEIGHTS),
            found=f"SHA-256 {found[:16]}… of the loaded weights",
            expected=f"{run.summary['weights_sha256'][:16]}…, as {run_folder.SUMMARY} has it",
            help="the file was damaged or replaced; restore it, or train again",
        )


def evaluate_run(run: SavedRun, announce: Announce, plugins: Sequence[Path] = (), split: str = "test") -> Evaluation:
    """Evaluate a run's final weights.

    Args:
        run: that ended.
        announce: told in one line what takes time.
        plugins: files of the user's own that may be imported.
        split: ``test``, or ``val`` for the images that the run set aside.

    Raises:
        DataError: the data set is not the one of the run.
        UsageError: ``val``, and the run set none aside.
        CheckpointError, PluginError, ModelError: the model cannot be built again.
    """
    dataset = load_dataset(run.config.data, announce)
    require_data(dataset, run.data["digest"])
    images = images_of(split, run.config, dataset)
    model, device = build_saved_model(run, plugins)
    if run.config.threads is not None:
        torch.set_num_threads(run.config.threads)
    batches = eval_set(split, images, pipeline_settings(run.config, dataset, device), run.config).batches()
    return evaluate(model, batches, len(dataset.classes))


def require_data(dataset: Dataset, digest: str) -> None:
    """Refuse a data set that is not the one of a run.

    Raises:
        DataError: its digest is another.
    """
    if dataset.digest != digest:
        raise DataError(
            "these are not the images that the run used",
            where=dataset.source,
            found=f"digest {dataset.digest[:16]}…",
            expected=f"digest {digest[:16]}…",
            help="restore the images of the run",
        )


def images_of(split: str, config: RunConfig, dataset: Dataset) -> ImageSet:
    """Return the images of a split: ``test``, or ``val``, which the run set aside.

    Raises:
        UsageError: ``val``, and the run set none aside.
    """
    if split == "test":
        return dataset.test
    if config.data.val_size == 0:
        raise UsageError(
            "this run set no validation images aside",
            where="--split",
            found="data.val_size 0",
            expected="a run with data.val_size above 0, or --split test",
        )
    return split_validation(dataset.train, config.data.val_size, config.seed)[1]


@torch.no_grad()
def predict_images(run: SavedRun, images: Sequence[Path], plugins: Sequence[Path] = ()) -> list[Prediction]:
    """Classify image files.

    Each is converted to RGB and, if its size differs, resized (bilinear, antialiased) to the size of the run's images.

    Args:
        run: whose model to use.
        images: files in any format that a folder of images may hold.
        plugins: files of the user's own that may be imported.

    Returns:
        One prediction an image, in order.

    Raises:
        DataError: a file is missing or no image.
    """
    _, height, width = run.data["image_shape"]
    pixels = torch.stack([read_image(image, (height, width)) for image in images])
    model, device = build_saved_model(run, plugins)
    settings = PipelineSettings(
        batch_size=1,
        mean=tuple(run.data["mean"]),
        std=tuple(run.data["std"]),
        image_size=run.config.data.image_size,
        device=device,
        channels_last=run.config.train.channels_last,
    )
    unlabelled = ImageSet(pixels, torch.zeros(len(images), dtype=torch.int64))
    batches = eval_batches(unlabelled, settings, batch_size=run.config.train.eval_batch_size)
    probabilities = torch.cat([model(batch.x).float().softmax(dim=1).cpu() for batch in batches])
    return [
        Prediction(image, rank(row, run.classes)) for image, row in zip(images, probabilities.unbind(), strict=True)
    ]


def rank(probabilities_K: Tensor, classes: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Return (class, probability), the most probable first."""
    values, order = probabilities_K.sort(descending=True, stable=True)
    return tuple(zip([classes[index] for index in order.tolist()], values.tolist(), strict=True))


def read_image(path: Path, size: tuple[int, int]) -> Tensor:
    """Return an image file as uint8 of shape (3, height, width).

    Raises:
        DataError: the file is missing or no image.
    """
    import numpy as np

    height, width = size
    if not path.exists():
        raise DataError("there is no such image", where=str(path), help="check the path")
    return torch.from_numpy(np.array(load_image(path, (width, height)))).permute(2, 0, 1).contiguous()
