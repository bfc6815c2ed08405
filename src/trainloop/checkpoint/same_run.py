"""What may differ between the run that saved a checkpoint and the one that goes on from it.

Three kinds of keys: those that never matter to the result; those with which the run goes on, but not to the same bits; and
all others, with which it would be another run, so that they are refused unless the user says that this is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trainloop.checkpoint.capture import Origin
from trainloop.checkpoint.layout import Facts
from trainloop.config.flatten import flat
from trainloop.stages import SAME_BITS, STAGES

FREE_SECTIONS = frozenset({"log", "checkpoint"})
FREE = frozenset({"keep_memory", "data.fetch", "data.path", "mode", "device", "threads", "train.on_nonfinite"})
"""no effect on the result of a run that went well, or judged by what they bring about: the stages, the device, the threads,
the images"""
INEXACT = ("stages.conv", "stages.rules", "train.eval_batch_size", "train.channels_last")


@dataclass(frozen=True)
class Difference:
    """One fact that is not what it was.

    Args:
        what: a key of the config, or words.
        saved: in the checkpoint.
        now: in this run.
    """

    what: str
    saved: str
    now: str

    def __str__(self) -> str:
        """Return it in one line."""
        return f"{self.what} was {self.saved} and is {self.now}"


@dataclass(frozen=True)
class Comparison:
    """What differs.

    Args:
        inexact: with which the run goes on, to other bits.
        other: with which it would be another run.
    """

    inexact: tuple[Difference, ...]
    other: tuple[Difference, ...]


def compare_runs(facts: Facts, now: Origin) -> Comparison:
    """Compare the run of a checkpoint with the present one."""
    saved = flat(facts.config)
    here = flat(now.config)
    other, inexact = [], list(_machine(facts, now))
    for key in differing_keys(saved, here):
        difference = Difference(key, str(saved.get(key, "not there")), str(here.get(key, "not there")))
        if key.startswith("stages.") and key.removeprefix("stages.") in STAGES:
            if not {_stage(saved, key), _stage(here, key)} <= SAME_BITS:
                inexact.append(difference)
        elif key in INEXACT:
            inexact.append(difference)
        else:
            other.append(difference)
    if facts.data_digest != now.data_digest:
        other.append(Difference("the data set", f"{facts.data_digest[:16]}…", f"{now.data_digest[:16]}…"))
    for name in dict.fromkeys([*facts.plugins, *now.plugins]):
        before, after = facts.plugins.get(name, "not there"), now.plugins.get(name, "not there")
        if before != after:
            other.append(Difference(f"the file {name}", f"{before[:16]}…", f"{after[:16]}…"))
    return Comparison(tuple(inexact), tuple(other))


def differing_keys(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys of two flat configs that differ and are not free to."""
    return [
        key
        for key in dict.fromkeys([*saved, *now])
        if saved.get(key) != now.get(key) and key not in FREE and key.partition(".")[0] not in FREE_SECTIONS
    ]


def _stage(config: Mapping[str, Any], key: str) -> Any:
    return config.get(key) or config.get("mode")


def _machine(facts: Facts, now: Origin) -> Iterator[Difference]:
    before, after = facts.machine.model_dump(), now.machine.model_dump()
    for name, value in before.items():
        if after[name] != value:
            yield Difference(name, str(value), str(after[name]))
    if now.config["train"]["compile"]:
        yield Difference("train.compile", "compiled in another process", "compiled anew")
