"""The nearest valid name: by spelling, by section, and by what other trainers call the same thing."""

from __future__ import annotations

import functools
from collections.abc import Iterable

# What other trainers call a key (normalised), and what it is called here.
OTHER_KEYS: dict[str, str] = {
    "learning_rate": "optimizer.lr",
    "base_lr": "optimizer.lr",
    "max_lr": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "l2": "optimizer.weight_decay",
    "beta1": "optimizer.betas",
    "beta2": "optimizer.betas",
    "epsilon": "optimizer.eps",
    "param_groups": "optimizer.groups",
    "optim": "optimizer",
    "opt": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "lr_schedule": "schedule",
    "warmup": "schedule.warmup_epochs",
    "pct_start": "schedule.peak",
    "eta_min": "schedule.end",
    "steps": "train.max_steps",
    "num_steps": "train.max_steps",
    "max_iters": "train.max_steps",
    "iterations": "train.max_steps",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "max_epochs": "train.epochs",
    "batch": "train.batch_size",
    "bs": "train.batch_size",
    "train_batch_size": "train.batch_size",
    "test_batch_size": "train.eval_batch_size",
    "val_batch_size": "train.eval_batch_size",
    "grad_accum": "train.accumulation_steps",
    "gradient_accumulation": "train.accumulation_steps",
    "gradient_accumulation_steps": "train.accumulation_steps",
    "smoothing": "train.label_smoothing",
    "grad_clip": "train.clip_grad_norm",
    "clip_norm": "train.clip_grad_norm",
    "max_grad_norm": "train.clip_grad_norm",
    "gradient_clip_val": "train.clip_grad_norm",
    "clip_value": "train.clip_grad_value",
    "ema": "train.ema_decay",
    "amp": "train.precision",
    "dtype": "train.precision",
    "fp16": "train.precision",
    "bf16": "train.precision",
    "mixed_precision": "train.precision",
    "memory_format": "train.channels_last",
    "torch_compile": "train.compile",
    "gpu": "device",
    "accelerator": "device",
    "num_threads": "threads",
    "workers": "threads",
    "num_workers": "threads",
    "random_seed": "seed",
    "manual_seed": "seed",
    "determinism": "deterministic",
    "root": "data.path",
    "data_dir": "data.path",
    "data_path": "data.path",
    "download": "data.fetch",
    "val_split": "data.val_size",
    "validation_size": "data.val_size",
    "resize": "data.image_size",
    "img_size": "data.image_size",
    "augmentation": "data.augment",
    "transforms": "data.augment",
    "hflip": "data.augment.flip",
    "random_flip": "data.augment.flip",
    "crop": "data.augment.translate",
    "random_crop": "data.augment.translate",
    "padding": "data.augment.translate",
    "random_erasing": "data.augment.cutout",
    "arch": "model.name",
    "net": "model",
    "network": "model",
    "model_name": "model.name",
    "kwargs": "model.args",
    "params": "model.args",
    "width": "model.args.width",
    "pretrained": "model.weights",
    "init_from": "model.weights",
    "save_every": "checkpoint.every",
    "save_interval": "checkpoint.every",
    "save_steps": "checkpoint.every",
    "checkpoint_every": "checkpoint.every",
    "save_total_limit": "checkpoint.keep",
    "max_to_keep": "checkpoint.keep",
    "save_best": "checkpoint.best",
    "monitor": "checkpoint.best",
    "checkpoints": "checkpoint",
    "ckpt": "checkpoint",
    "backend": "mode",
    "log_every": "log.every",
    "log_interval": "log.every",
    "logging": "log",
}

# What other trainers write as a value, and what is written here.
OTHER_VALUES: dict[str, tuple[str, ...]] = {
    "gpu": ("cuda",),
    "bfloat16": ("bf16",),
    "float16": ("fp16",),
    "half": ("fp16",),
    "16": ("fp16",),
    "32": ("fp32",),
    "float32": ("fp32",),
    "float": ("fp32",),
    "step": ("multistep",),
    "linear": ("triangle",),
    "hflip": ("random",),
    "horizontal": ("random",),
    "pytorch": ("builtin",),
    "torch": ("builtin",),
    "hand": ("manual",),
    "imagefolder": ("folder",),
    "false": ("off", "none", "fp32"),
    "true": ("strict", "random"),
    "null": ("none", "off"),
}


@functools.lru_cache(maxsize=1024)
def normal(word: str) -> str:
    """Return the word in lower case with ``-`` and camelCase as ``_``: ``batchSize`` and ``batch-size`` agree."""
    humps = "".join(f"_{c}" if c.isupper() and i and word[i - 1].islower() else c for i, c in enumerate(word))
    return humps.lower().replace("-", "_").replace(" ", "_").strip("_")


def distance(left: str, right: str, limit: int) -> int:
    """Return the number of edits between two words, or ``limit + 1`` when there are more than ``limit``.

    An edit inserts, deletes or replaces a character, or swaps two neighbours (optimal string alignment).
    """
    if abs(len(left) - len(right)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and b == left[i - 2]:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
        if min(row) > limit:
            return limit + 1
    return min(row[-1], limit + 1)


def allowed_edits(word: str) -> int:
    """Return how many edits a misspelling of ``word`` may have: a third of its letters, from 1 to 3."""
    return max(1, min(3, len(word) // 3))


def nearest(word: str, candidates: Iterable[str], limit: int | None = None) -> str | None:
    """Return the candidate with the fewest edits from ``word``, or None when none is near; the first of equals wins."""
    plain = normal(word)
    if len(plain) > 60:
        return None
    bound = allowed_edits(plain) if limit is None else limit
    scored = [
        (distance(plain, normal(candidate), bound), index, candidate) for index, candidate in enumerate(candidates)
    ]
    best = min(scored, default=None)
    return best[2] if best is not None and best[0] <= bound else None


def nearest_value(word: str, candidates: Iterable[str]) -> str | None:
    """Return the allowed value that ``word`` most likely means, by spelling or by its name elsewhere."""
    values = tuple(candidates)
    known_as = next((value for value in OTHER_VALUES.get(normal(word), ()) if value in values), None)
    return known_as or nearest(word, values)
