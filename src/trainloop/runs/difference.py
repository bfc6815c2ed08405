"""What two runs do not share: keys of the config, facts of machine and data, results, metrics, weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainloop.config.flatten import flat, leaves
from trainloop.errors import CheckpointError
from trainloop.report import run_folder
from trainloop.runs.details import read_checkpoints
from trainloop.runs.metrics import MetricsDifference, first_difference
from trainloop.runs.reading import as_text, read_config, read_json, reason

ABSENT = "not there"
RESULTS = (
    *("steps", "epochs", "final_train_loss", "final_train_accuracy", "val_accuracy", "test_loss", "test_accuracy"),
    *("seconds", "images_per_second", "peak_memory_mib"),
)
"""fields of ``summary.json`` that stand side by side"""


@dataclass(frozen=True)
class Pair:
    """One fact of both runs.

    Args:
        name: of it.
        a, b: its values.
    """

    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class RunDifference:
    """What two runs do not share.

    Args:
        a, b: the run folders.
        config: keys that differ.
        facts: of ``env.json`` and of the user's own files, that differ.
        results: of ``summary.json``, whether or not they differ; empty unless one of the runs ended.
        metrics: where they differ first.
        same_weights: whether the final weights have the same bits; None where a run has none.
        problems: files that could not be compared, and why.
    """

    a: Path
    b: Path
    config: tuple[Pair, ...]
    facts: tuple[Pair, ...]
    results: tuple[Pair, ...]
    metrics: MetricsDifference
    same_weights: bool | None
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as plain values."""
        return {
            "a": str(self.a),
            "b": str(self.b),
            **{name: [vars(pair) for pair in getattr(self, name)] for name in ("config", "facts", "results")},
            "metrics": {**vars(self.metrics), "same": self.metrics.same},
            "same_weights": self.same_weights,
            "problems": list(self.problems),
        }


def compare_runs(a: Path, b: Path) -> RunDifference:
    """Compare two run folders; what cannot be read is said and left out."""
    problems: list[str] = []
    configs = [_read(problems, run, _config) for run in (a, b)]
    facts = [_read(problems, run, _environment) for run in (a, b)]
    summaries = [_summary(problems, run) for run in (a, b)]
    plugins = [_plugins(run) for run in (a, b)]
    digests = [as_text(summary, "weights_sha256") for summary in summaries]
    return RunDifference(
        a=a,
        b=b,
        config=_differing(*configs) if all(configs) else (),
        facts=(*(_differing(*facts) if all(facts) else ()), *_differing(*plugins)),
        results=tuple(Pair(name, *(summary.get(name) for summary in summaries)) for name in RESULTS)
        if any(summaries)
        else (),
        metrics=first_difference(a / run_folder.METRICS, b / run_folder.METRICS),
        same_weights=digests[0] == digests[1] if all(digests) else None,
        problems=tuple(problems),
    )


def _read(problems: list[str], run: Path, read: Any) -> dict[str, Any]:
    try:
        content: dict[str, Any] = read(run)
    except CheckpointError as error:
        problems.append(f"{run}: {reason(error)}")
        return {}
    return content


def _config(run: Path) -> dict[str, Any]:
    return {".".join(path): value for path, value in leaves(read_config(run)).items()}


def _environment(run: Path) -> dict[str, Any]:
    return flat(read_json(run / run_folder.ENVIRONMENT))


def _summary(problems: list[str], run: Path) -> dict[str, Any]:
    """Return the results of a run; one that did not end has none, which is no problem."""
    if not run_folder.is_finished(run):
        return {}
    return _read(problems, run, lambda run: read_json(run / run_folder.SUMMARY))


def _plugins(run: Path) -> dict[str, str]:
    facts, _ = read_checkpoints(run)
    return {f"the file {name}": digest for name, digest in facts.plugins.items()} if facts else {}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Pair, ...]:
    names = dict.fromkeys([*a, *b])
    pairs = (Pair(name, a.get(name, ABSENT), b.get(name, ABSENT)) for name in names)
    return tuple(pair for pair in pairs if repr(pair.a) != repr(pair.b))
