"""The ends of two runs: the same where they are, and what differs is named, whatever it is."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil

import numpy as np
import pytest
import torch

from trainloop.checkpoint.folder import read_checkpoint, write_checkpoint
from trainloop.config.schema import RunConfig
from trainloop.training import train
from trainloop.verify_resume.ends import compare_ends, read_end, tensor_digest


def config_of(**changes):
    base = {
        "threads": 1,
        "train": {"max_steps": 2, "batch_size": 8, "eval_batch_size": 500, "ema_decay": 0.9},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "data": {"val_size": 20},
        "checkpoint": {"best": "val_accuracy"},
    }
    return RunConfig.model_validate({**base, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folders = []
    for number in range(2):
        folders.append(tmp_path_factory.mktemp("ends") / "run")
        # What a process finds its streams at must not matter.
        random.seed(number)
        np.random.seed(number)
        train(config_of(), run_dir=folders[-1])
    return folders


def differing(one, other):
    return {same.part: same.first for same in compare_ends(read_end(one), read_end(other)) if same.first}


def test_two_runs_of_one_config_end_the_same_in_every_part(finished):
    one, other = finished
    parts = compare_ends(read_end(one), read_end(other))
    assert [same.first for same in parts] == [""] * len(parts)
    assert {same.part: same.count for same in parts} == {
        "weights and buffers": 20,
        "optimizer": 33,
        "running mean": 11,
        "random streams": 8,
        "counts and sums": 12,
        "best epoch": 1,
        "metrics, line by line": 4,
        "weights.safetensors": 1,
    }


def changed_checkpoint(folder, tmp_path, change):
    """Return a copy of a run whose last checkpoint is another, and whole all the same."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (path,) = (copy / "checkpoints").iterdir()
    saved = change(read_checkpoint(path))
    shutil.rmtree(path)
    write_checkpoint(path, saved)
    return copy


def with_tensor(kind):
    def change(saved):
        name = next(name for name in saved.tensors if name.startswith(f"{kind}/"))
        tensor = saved.tensors[name].clone()
        tensor.view(-1).view(torch.uint8)[0] ^= 1
        return dataclasses.replace(saved, tensors={**saved.tensors, name: tensor})

    return change


def with_facts(**changes):
    return lambda saved: dataclasses.replace(saved, facts=saved.facts.model_copy(update=changes))


def with_position(**changes):
    return lambda saved: with_facts(position=saved.facts.position.model_copy(update=changes))(saved)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("weights and buffers", with_tensor("model")),
        ("optimizer", with_tensor("optimizer")),
        ("running mean", with_tensor("average")),
        ("random streams", with_tensor("random")),
        ("counts and sums", with_position(epoch_correct=0)),
        ("random streams", lambda saved: with_facts(random={**saved.facts.random, "numpy_position": 1})(saved)),
        ("gradient scaler", with_facts(scaler={"scale": 2.0})),
        ("optimizer", with_facts(optimizer_numbers={"a": {"step": 1}})),
        ("best epoch", with_facts(best=None)),
    ],
)
def test_one_bit_or_number_that_differs_is_found(finished, tmp_path, part, change):
    found = differing(finished[0], changed_checkpoint(finished[0], tmp_path, change))
    assert found.keys() == {part}
    assert "without a break" in found[part]


def test_times_do_not_count(finished, tmp_path):
    change = with_position(seconds=9e9, train_seconds=9e9, epoch_seconds=9e9)
    assert differing(finished[0], changed_checkpoint(finished[0], tmp_path, change)) == {}


@pytest.mark.parametrize(
    ("edit", "first"),
    [
        (lambda lines: lines[:-1], "line 4"),
        (lambda lines: [*lines, lines[-1]], "line 5"),
        (lambda lines: [lines[0], json.dumps({**json.loads(lines[1]), "loss": 0.1}), *lines[2:]], "line 2"),
    ],
)
def test_a_line_of_the_metrics_that_differs_is_found(finished, tmp_path, edit, first):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy)
    lines = (copy / "metrics.jsonl").read_text().splitlines()
    (copy / "metrics.jsonl").write_text("\n".join(edit(lines)) + "\n")
    assert differing(finished[0], copy)["metrics, line by line"].startswith(f"{first}: ")


def test_final_weights_that_differ_are_found(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy)
    content = bytearray((copy / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(content)
    assert differing(finished[0], copy).keys() == {"weights.safetensors"}


def test_dtype_shape_and_memory_order_are_part_of_a_digest():
    tensors = [
        torch.zeros(2, 3),
        torch.zeros(3, 2),
        torch.zeros(2, 3, dtype=torch.int32),
        torch.zeros(3, 2).t(),
        torch.zeros(2, 3).copysign(torch.tensor(-1.0)),
    ]
    assert len({tensor_digest(tensor) for tensor in tensors}) == len(tensors)
    assert tensor_digest(torch.zeros(())) != tensor_digest(torch.zeros(1))


def test_without_a_seed_the_streams_of_python_and_numpy_are_not_compared(tmp_path):
    for number in range(2):
        random.seed(number)
        np.random.seed(number)
        train(config_of(deterministic="off"), run_dir=tmp_path / str(number))
    parts = compare_ends(read_end(tmp_path / "0"), read_end(tmp_path / "1"))
    assert [same.first for same in parts] == [""] * len(parts)
    assert next(same.count for same in parts if same.part == "random streams") == 1
