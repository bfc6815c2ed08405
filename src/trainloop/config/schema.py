"""The schema of a run: every key a config may hold, its type, range, default and meaning.

This file, with ``optimizers.py`` for its longest section, is the one place for those facts. The error messages, ``config
schema``, ``config init`` and ``config show`` read them from here; what keys demand of each other stands in ``rules.py``.
Nothing here imports torch, so that a wrong config is refused before torch is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from trainloop.config.interval import PATTERN
from trainloop.config.optimizers import OptimizerConfig, SGDConfig
from trainloop.config.rules import check_run
from trainloop.config.section import Fraction, NonNegative, Positive, Section

Mode = Literal["builtin", "manual"]
Scalar = bool | int | float | str


class AugmentConfig(Section):
    """How training images are changed; each choice is a pure function of (seed, epoch, sample index)."""

    flip: Literal["none", "random", "alternating"] = "random"
    """none, random (each image mirrored with chance 1/2) or alternating (every image mirrored in every second epoch)"""
    translate: Annotated[int, Field(ge=0, le=16)] = 0
    """largest shift in pixels, each axis; the border is filled by reflection"""
    cutout: Annotated[int, Field(ge=0)] = 0
    """side in pixels of a square set to the mean colour, 0 for none"""


class DataConfig(Section):
    """Which images, and how they reach the model."""

    dataset: Literal["cifar10-mini", "cifar10", "folder"] = "cifar10-mini"
    """cifar10-mini (inside the package), cifar10 (50,000 + 10,000 images), or folder (train/<class>/*.png at `path`)"""
    path: Path | None = None
    """folder: where the images are; cifar10: where the binary files are (default: the data folder of `data where`)"""
    fetch: bool = True
    """fetch cifar10 when it is missing"""
    val_size: Annotated[int, Field(ge=0)] = 0
    """training images set aside to choose by; 0 keeps all for training"""
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """side in pixels that images are resized to on the device; null keeps their size"""
    augment: AugmentConfig = Field(default_factory=AugmentConfig)
    """changes made to training images"""


class ModelConfig(Section):
    """Which network."""

    name: Annotated[str, Field(min_length=1)] = "small_cnn"
    """a name of `trainloop models`, or path/to/file.py:Class (needs --plugin path/to/file.py)"""
    args: dict[str, Scalar] = Field(default_factory=dict)
    """keyword arguments of the model, for instance width"""
    weights: Path | None = None
    """a .safetensors file (or a run folder) to start from"""


class ScheduleSection(Section):
    """What all schedules share: a linear warm-up from 0 before the schedule's own shape."""

    warmup_epochs: NonNegative = 0.0
    """length of the linear warm-up, in epochs (fractions allowed)"""


class ConstantConfig(ScheduleSection):
    """The lr stays at its peak."""

    name: Literal["constant"]
    """constant"""


class CosineConfig(ScheduleSection):
    """Half a cosine from the peak to the end (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)."""

    name: Literal["cosine"] = "cosine"
    """cosine"""
    end: Fraction = 0.0
    """lr at the end, as a fraction of the peak"""


class TriangleConfig(ScheduleSection):
    """Linear from start to the peak, then linear to the end."""

    name: Literal["triangle"]
    """triangle"""
    start: Fraction = 0.2
    """lr at step 0, as a fraction of the peak"""
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """where the peak is, as a fraction of the run"""
    end: Fraction = 0.0
    """lr at the end, as a fraction of the peak"""


class OneCycleConfig(ScheduleSection):
    """Half a cosine up, half a cosine down (Smith & Topin 2018, arXiv:1708.07120; torch's OneCycleLR for the lr)."""

    name: Literal["one_cycle"]
    """one_cycle"""
    start: Fraction = 0.04
    """lr at step 0, as a fraction of the peak"""
    peak: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """where the peak is, as a fraction of the run"""
    end: Fraction = 4e-6
    """lr at the end, as a fraction of the peak"""


class MultistepConfig(ScheduleSection):
    """The lr is multiplied by gamma at each milestone."""

    name: Literal["multistep"]
    """multistep"""
    milestones: Annotated[tuple[Positive, ...], Field(min_length=1)]
    """epochs after which the lr drops (fractions allowed)"""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """factor at each milestone"""


ScheduleConfig = Annotated[
    ConstantConfig | CosineConfig | TriangleConfig | OneCycleConfig | MultistepConfig, Field(discriminator="name")
]


class TrainConfig(Section):
    """How long and how."""

    epochs: Annotated[int, Field(ge=1)] = 10
    """passes over the training images"""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """stop after this many updates, whatever epochs says"""
    batch_size: Annotated[int, Field(ge=1)] = 128
    """images an update; the last batch of an epoch may be smaller"""
    eval_batch_size: Annotated[int, Field(ge=1)] = 500
    """images a forward pass of an evaluation"""
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """parts that a batch is split into; their gradients add up to the batch's"""
    label_smoothing: Fraction = 0.0
    """share of the target spread over all classes"""
    clip_grad_norm: Positive | None = None
    """scale gradients down to this total norm"""
    clip_grad_value: Positive | None = None
    """clamp each gradient element to ± this value"""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """decay of the running mean of the weights that is evaluated and saved; null evaluates the weights themselves"""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """what a NaN or an infinity in the loss or a gradient does: stop the run before the update, or skip that update"""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """fp32, or autocast to bf16, or to fp16 with a gradient scaler (builtin mode)"""
    channels_last: bool = False
    """memory format of images and convolution weights"""
    compile: bool = False
    """torch.compile the model (builtin mode)"""


class StagesConfig(Section):
    """Single stages that differ from `mode`; null follows it. Forward, loss and backward go together."""

    zero_grad: Mode | None = None
    """how gradients are cleared"""
    forward: Mode | None = None
    """how the logits are computed"""
    loss: Mode | None = None
    """how the loss is computed"""
    backward: Mode | None = None
    """how gradients are computed"""
    sync: Mode | None = None
    """how gradients are clipped"""
    step: Literal["builtin", "manual", "foreach", "compiled"] | None = None
    """how parameters are updated: by torch.optim; by the written-out loop over parameters (manual); by the same formula on \
blocks of them, in place (foreach); or by one pass that is compiled when the run is built (compiled; needs a C++ compiler)"""
    conv: Annotated[str, Field(min_length=1, examples=["aten", "auto", "winograd", "winograd,aten"])] = "aten"
    """manual: the algorithm of every 2-d convolution, one of `trainloop benchmark-conv --list`; aten is the library's, auto \
the fastest for each; with commas between several, the first that can"""
    rules: Literal["aten", "formula"] = "aten"
    """manual: aten lets each rule of the tape call the library's backward kernel, formula computes it in tensor operations"""


class LogConfig(Section):
    """What is written down, and how often."""

    every: Annotated[int, Field(ge=1)] = 1
    """steps between two step lines of metrics.jsonl"""
    timing_every: Annotated[int, Field(ge=1)] = 20
    """one step in this many is timed stage by stage"""


Every = (
    Annotated[int, Field(ge=1)]
    | Annotated[str, Field(pattern=PATTERN, examples=["60s", "5m", "500 steps", "1 epoch", "never"])]
)


class CheckpointConfig(Section):
    """What is kept of a run while it goes on, so that it can be taken up again."""

    every: Every = "60s"
    """a number of steps, a time, or epochs between two checkpoints; the end of the training and an interruption make one \
besides"""
    keep: Annotated[int, Field(ge=1)] = 2
    """how many of the newest checkpoints stay"""
    best: Literal["val_accuracy", "val_loss"] | None = None
    """keep the checkpoint of the best epoch besides, judged by this; needs data.val_size above 0"""


class RunConfig(Section):
    """A whole run."""

    mode: Mode = "builtin"
    """builtin: PyTorch's own stages; manual: the ones written out in this project"""
    device: Annotated[
        str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$", examples=["auto", "cpu", "mps", "cuda", "cuda:0"])
    ] = "auto"
    """auto (cuda, then mps, then cpu), cpu, mps, cuda, or one of several GPUs such as cuda:0"""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads of one operation; null takes one for each core"""
    keep_memory: bool = True
    """keep freed memory for the next step instead of returning it to the system (Linux with glibc); fewer page faults"""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """start of every random stream"""
    deterministic: Literal["off", "seeded", "strict"] = "seeded"
    """off, seeded (all seeds set), or strict (seeded, and only deterministic kernels)"""
    data: DataConfig = Field(default_factory=DataConfig)
    """which images, and how they reach the model"""
    model: ModelConfig = Field(default_factory=ModelConfig)
    """which network"""
    optimizer: OptimizerConfig = Field(default_factory=SGDConfig)
    """how parameters are updated"""
    schedule: ScheduleConfig = Field(default_factory=CosineConfig)
    """how the lr goes over the run"""
    train: TrainConfig = Field(default_factory=TrainConfig)
    """how long and how"""
    stages: StagesConfig = Field(default_factory=StagesConfig)
    """single stages that differ from mode"""
    checkpoint: CheckpointConfig = Field(default_factory=CheckpointConfig)
    """what is kept of the run while it goes on"""
    log: LogConfig = Field(default_factory=LogConfig)
    """what is written down, and how often"""

    @model_validator(mode="after")
    def _keys_agree(self) -> RunConfig:
        check_run(self)
        return self
