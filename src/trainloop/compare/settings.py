"""The two sides as the command line describes them: ``mode=manual,stages.step=foreach`` laid over one config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainloop.config import Override, RunConfig, load_config
from trainloop.errors import UsageError
from trainloop.stages import refuse_without_effect, stage_modes

STAGE_NAMES = ("zero_grad", "forward", "loss", "backward", "sync", "step")
CONV_KEY, LIBRARY, ANY = "stages.conv", "aten", "auto"
"""where the algorithm for convolutions is named, the library's, and the word for whichever is fastest (it refuses nothing)"""
SHARED = (
    "seed",
    "deterministic",
    "keep_memory",
    "data",
    "model.name",
    "model.args",
    "model.weights",
    "schedule",
    "train.epochs",
    "train.max_steps",
    "train.batch_size",
)
"""what both sides must have in common, for else they would not do the same step"""


@dataclass(frozen=True)
class Plugins:
    """A user's own parts of the candidate, each ``path/to/file.py:name``; empty where there is none.

    Args:
        optimizer: a class, called as those of torch.optim.
        model: a subclass of torch.nn.Module.
        loss: (logits, labels) → mean loss.
        rule: a rule of the tape, or the name of one, ``=`` and a forward whose vjp has the same name with ``_vjp`` behind it.
        conv: what does the candidate's convolutions: names of algorithms (these are not the user's) or ``file.py:function``,
            with commas between them.
    """

    optimizer: str = ""
    model: str = ""
    loss: str = ""
    rule: str = ""
    conv: str = ""

    def named(self) -> dict[str, str]:
        """Return those that a title names one by one, by kind; convolutions are a setting and stand among these."""
        every = {"optimizer": self.optimizer, "model": self.model, "loss": self.loss, "rule": self.rule}
        return {kind: text for kind, text in every.items() if text}


@dataclass(frozen=True)
class Sides:
    """Both sides, described.

    Args:
        reference: its config.
        candidate: its config.
        reference_title: in a few words.
        candidate_title: likewise.
        plugins: of the candidate.
        files: that may be imported for ``model.name``.
    """

    reference: RunConfig
    candidate: RunConfig
    reference_title: str
    candidate_title: str
    plugins: Plugins = field(default_factory=Plugins)
    files: tuple[Path, ...] = ()


def describe_sides(
    path: Path | None,
    overrides: Sequence[str | Override] = (),
    *,
    reference: str = "",
    candidate: str = "",
    plugins: Plugins | None = None,
    files: Sequence[Path] = (),
) -> Sides:
    """Read a config twice, with the settings of each side.

    Without settings the reference is built-in, and the candidate is manual; with parts of the user's own it is whatever the
    reference is, so that nothing else differs, except that a rule or an algorithm for convolutions needs the manual forward,
    loss and backward.

    Args:
        path: of the config; None takes the defaults.
        overrides: for both.
        reference: settings with commas between them.
        candidate: likewise.
        plugins: parts of the candidate that are the user's own.
        files: Python files that ``model.name`` may name a class of.

    Raises:
        ConfigError: a fault of the file or of a setting.
        UsageError: the two differ in what both must have in common.
        StageError: an algorithm for the candidate's convolutions, whose forward is builtin.
    """
    plugins = plugins or Plugins()
    base = tuple(f"stages.{stage}=null" for stage in STAGE_NAMES)
    reference_settings = split_settings(reference) or ["mode=builtin"]
    candidate_settings = split_settings(candidate) or default_candidate(reference_settings, plugins)
    if plugins.conv:
        candidate_settings.append(f"{CONV_KEY}={order_of(plugins.conv)}")
    one = _load(path, overrides, base, reference_settings, "--reference")
    two = _load(path, overrides, base, candidate_settings, "--candidate")
    require_common(one, two)
    if plugins.conv:
        refuse_without_effect(two)
    title_one, title_two = (
        ", ".join(texts).replace("mode=", "")
        for texts in (
            [*reference_settings, *_inherited(one, reference_settings)],
            [*candidate_settings, *_inherited(two, candidate_settings), *plugins.named().values()],
        )
    )
    return Sides(one, two, title_one, title_two, plugins, tuple(files))


def order_of(conv: str) -> str:
    """Return the order of algorithms that a candidate is given: what its own does not support is the library's, by name.

    Args:
        conv: as the command line has it, such as ``winograd``.
    """
    names = [name.strip() for name in conv.split(",")]
    return ",".join(names if {LIBRARY, ANY} & {*names} else [*names, LIBRARY])


def _inherited(config: RunConfig, settings: Sequence[str]) -> list[str]:
    """Return the algorithm for convolutions that a side has from what both share, so that its title does not hide it."""
    named = any(setting.partition("=")[0].strip() == CONV_KEY for setting in settings)
    acts = stage_modes(config)["forward"] != "builtin" and config.stages.conv != LIBRARY
    return [f"{CONV_KEY}={config.stages.conv}"] if acts and not named else []


def default_candidate(reference: Sequence[str], plugins: Plugins) -> list[str]:
    """Return the candidate's settings where none are given."""
    if plugins.conv or plugins.rule or not plugins.named():
        return ["mode=manual"]
    return list(reference)


def split_settings(text: str) -> list[str]:
    """Split at commas that stand outside of brackets and quotes."""
    found, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        if character == "," and not depth and not quote:
            found.append("")
        else:
            found[-1] += character
    return [item.strip() for item in found if item.strip()]


def require_common(reference: RunConfig, candidate: RunConfig) -> None:
    """Refuse two sides that would not do the same step.

    Raises:
        UsageError: naming the key with both values.
    """
    for key in SHARED:
        one, two = _value(reference, key), _value(candidate, key)
        if one != two:
            raise UsageError(
                f"reference and candidate differ in {key}, which both must have in common",
                where="--candidate" if _value(RunConfig(), key) == one else "--reference",
                found=f"{two} on the candidate",
                expected=f"{one}, as on the reference",
                help=f"leave {key} out of --reference and --candidate, and set it for both with --set {key}=…",
            )


def _value(config: RunConfig, key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _load(
    path: Path | None,
    overrides: Sequence[str | Override],
    base: Sequence[str],
    settings: Sequence[str],
    option: str,
) -> RunConfig:
    silent = [Override(text, f"compare-modes, which sets {text}") for text in base]
    own = [Override(text, f'{option} "{text}"') for text in settings]
    return load_config(path, [*overrides, *silent, *own]).config
