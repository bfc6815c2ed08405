"""A checkpoint, read back to judge its weights: those of a run that ended, or of one that did not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from trainloop.build import build_network, eval_set, pipeline_settings
from trainloop.checkpoint.capture import require_same
from trainloop.checkpoint.folder import read_checkpoint
from trainloop.checkpoint.layout import Saved
from trainloop.checkpoint.manifest import MANIFEST
from trainloop.checkpoint.places import CHECKPOINTS, NAME
from trainloop.checkpoint.store import CheckpointStore
from trainloop.config import load_config
from trainloop.config.schema import RunConfig
from trainloop.data.load import Announce, load_dataset
from trainloop.device import check_precision, choose_device
from trainloop.errors import CheckpointError, UsageError
from trainloop.loop.evaluate import Evaluation, evaluate
from trainloop.saved_run import images_of, require_data

BEST, LAST = "best", "last"


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that verified.

    Args:
        path: its folder.
        config: of the run when it was saved, without the weights that it began from.
        saved: its content.
    """

    path: Path
    config: RunConfig
    saved: Saved

    @property
    def step(self) -> int:
        """Return the updates made before it."""
        return self.saved.facts.position.step

    @property
    def is_averaged(self) -> bool:
        """Say whether the weights to judge are the running mean."""
        return any(name.startswith("average/") for name in self.saved.tensors)


def find_checkpoint(run: Path | None, which: str, device: str | None = None) -> SavedCheckpoint:
    """Read the checkpoint that is meant, once its digests have been verified.

    Args:
        run: the run folder; None where ``which`` is a path.
        which: ``last``, the furthest that verifies; ``best``, that of the best epoch; a name in the run, such as
            ``step-00000400``; or the path of a checkpoint.
        device: use this one instead of the run's.

    Raises:
        UsageError: nothing is meant, or what the run does not have.
        CheckpointError: it is damaged, or of another version.
    """
    if run is None:
        path = Path(which)
        saved = read_checkpoint(_require_checkpoint(path, which))
    elif which == LAST:
        path, saved = _last(run)
    elif which == BEST:
        _, newest = _last(run)
        path, saved = _best(run, newest)
    else:
        is_name = Path(which).name == which
        path = run / CHECKPOINTS / which if is_name else _inside(run, Path(which))
        saved = read_checkpoint(_require_checkpoint(path, which, run))
    return SavedCheckpoint(path, _config(path, saved, device), saved)


def _last(run: Path) -> tuple[Path, Saved]:
    found = CheckpointStore(run).newest()
    if found.path is not None and found.saved is not None:
        return found.path, found.saved
    if found.rejected:
        raise CheckpointError([fault for _, error in found.rejected for fault in error.faults])
    raise UsageError(
        "this run has no checkpoint", where=str(run), expected=f"folders in {CHECKPOINTS}/, which a run saves"
    )


def _best(run: Path, newest: Saved) -> tuple[Path, Saved]:
    best = newest.facts.best
    if best is None:
        raise UsageError(
            "this run keeps no best epoch",
            where=str(run),
            found="checkpoint.best is null, or no epoch has ended yet",
            expected="a run with checkpoint.best=val_accuracy (or val_loss) and data.val_size above 0",
            help=f"--checkpoint {LAST}, or one of {_names(run)}",
        )
    if not NAME.fullmatch(best.folder):
        raise CheckpointError("the name of the best checkpoint is none", where=str(run), found=best.folder)
    path = run / CHECKPOINTS / best.folder
    return path, read_checkpoint(_require_checkpoint(path, BEST, run))


def _inside(run: Path, path: Path) -> Path:
    if path.is_dir() and path.resolve().parent != (run / CHECKPOINTS).resolve():
        raise UsageError(
            "this checkpoint is not of this run",
            where="--checkpoint",
            found=str(path),
            expected=f"a folder in {run / CHECKPOINTS}",
            help="leave the run out; the checkpoint alone is enough",
        )
    return path


def _require_checkpoint(path: Path, which: str, run: Path | None = None) -> Path:
    if (path / MANIFEST).exists() or (run is not None and path.is_dir()):
        return path
    raise UsageError(
        "there is no such checkpoint",
        where="--checkpoint",
        found=which,
        expected=f"{LAST}, {BEST}, or one of {_names(run)}" if run else f"a folder with {MANIFEST} in it",
        help="" if run else f"to name one of a run: trainloop evaluate RUN --checkpoint {LAST}",
    )


def _names(run: Path) -> str:
    return ", ".join(path.name for path in CheckpointStore(run).folders()) or "none: this run has no checkpoint"


def _config(path: Path, saved: Saved, device: str | None) -> RunConfig:
    """Return the config of a checkpoint; its tensors take the place of the weights that the run began from."""
    try:
        config = RunConfig.model_validate_json(json.dumps(saved.facts.config))
    except (ValidationError, ValueError) as error:
        raise CheckpointError(
            "the config in this checkpoint is not one of this version",
            where=str(path),
            found=str(error).partition("\n")[0],
            help="use the version that saved it",
        ) from error
    if device:
        config = config.model_copy(update={"device": load_config(None, [f"device={device}"]).config.device})
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": None})})


def evaluate_checkpoint(
    checkpoint: SavedCheckpoint, announce: Announce, plugins: Sequence[Path] = (), split: str = "test"
) -> tuple[Evaluation, list[str]]:
    """Evaluate the weights of a checkpoint as its run does: their running mean, if it has one.

    Args:
        checkpoint: verified.
        announce: told in one line what takes time.
        plugins: files of the user's own that may be imported.
        split: ``test``, or ``val`` for the images that the run set aside.

    Returns:
        The evaluation, and the class names in label order.

    Raises:
        DataError: the data set is not the one of the run.
        UsageError: ``val``, and the run set none aside.
        CheckpointError, PluginError, ModelError: the model cannot be built, or is another one.
    """
    config = checkpoint.config
    device = choose_device(config.device)
    check_precision(config, device)
    dataset = load_dataset(config.data, announce)
    require_data(dataset, checkpoint.saved.facts.data_digest)
    images = images_of(split, config, dataset)
    torch.manual_seed(config.seed)
    model = build_network(config, dataset, device, plugins)
    put_weights(model, checkpoint.saved.tensors)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    batches = eval_set(split, images, pipeline_settings(config, dataset, device), config).batches()
    return evaluate(model.eval(), batches, len(dataset.classes)), list(dataset.classes)


def put_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the weights of a checkpoint into a model; their running mean in their place, if there is one.

    Args:
        model: of the same parameters and buffers.
        tensors: by kind and name, see ``checkpoint/layout.py``.

    Raises:
        CheckpointError: it is another model; nothing has been changed then.
    """
    params, buffers = dict(model.named_parameters()), dict(model.named_buffers())
    weights, means = (
        {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}
        for kind in ("model/", "average/")
    )
    require_same({**params, **buffers}, weights, "the model")
    if means:
        require_same(params, means, "the mean of the weights (train.ema_decay)")
    for name, tensor in (*params.items(), *buffers.items()):
        tensor.data = means.get(name, weights[name]).to(tensor.device)
