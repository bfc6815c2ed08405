"""SIGKILL at random moments and inside saves, of the real command: nothing that was saved is lost, and no bit changes."""

from __future__ import annotations

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainloop.config.schema import RunConfig
from trainloop.verify_resume import prove
from trainloop.verify_resume.proof import Aim

BROKEN = Path(__file__).with_name("broken_program.py")
BASE = {
    "threads": 1,
    "data": {"val_size": 100},
    "model": {"name": "small_cnn", "args": {"width": 8}},
    "train": {"max_steps": 300, "batch_size": 64, "eval_batch_size": 500},
    "checkpoint": {"best": "val_accuracy", "keep": 2},
}
CONFIGS = {
    "builtin": {
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "train": {**BASE["train"], "ema_decay": 0.99},
    },
    "manual": {
        "mode": "manual",
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "schedule": {"name": "one_cycle"},
        "train": {**BASE["train"], "accumulation_steps": 2, "clip_grad_norm": 1.0},
    },
}


def config_of(name, **train):
    changes = {**BASE, **CONFIGS[name]}
    return RunConfig.model_validate({**changes, "train": {**changes["train"], **train}})


def test_kills(amount, tmp_path, counted):
    kills = amount(20, 100)
    # Both at once, a core each: most of the time goes into starting a process.
    with ThreadPoolExecutor() as pool:
        started = [
            pool.submit(prove, config_of(name), tmp_path / name, kills=kills, draw=random.Random(name))
            for name in CONFIGS
        ]
        proofs = [future.result() for future in started]
    for proof in proofs:
        assert [kill.fault for kill in proof.kills if kill.fault] == []
        assert [part for run in proof.parts for part in run if part.first] == []
        assert len(proof.kills) == kills
        assert sum(kill.aim is Aim.SAVE for kill in proof.kills) >= kills // 2
    all_kills = [kill for proof in proofs for kill in proof.kills]
    # Enough of those aimed hit, else this test proves less than it says; how many do is chance.
    assert sum(kill.during_save for kill in all_kills) >= len(all_kills) // 10
    counted(
        f"{len(all_kills)} kills, {sum(kill.during_save for kill in all_kills)} inside a save, "
        f"{sum(kill.aim is Aim.START for kill in all_kills)} before the training, 0 checkpoints lost, at most "
        f"{max(kill.at_step - kill.newest for kill in all_kills)} steps of {proofs[0].every} done again"
    )


FAULTS = {"remove before writing": 6, "forget the optimizer": 2}
"""what is broken → kills within which it shows"""


def test_a_broken_program_is_found_out(tmp_path):
    config = config_of("builtin", max_steps=120)
    with ThreadPoolExecutor() as pool:
        started = {
            fault: pool.submit(
                prove,
                config,
                tmp_path / fault,
                kills=kills,
                draw=random.Random(1),
                program=[sys.executable, str(BROKEN), fault],
            )
            for fault, kills in FAULTS.items()
        }
        proofs = {fault: future.result() for fault, future in started.items()}
    assert any(kill.fault for kill in proofs["remove before writing"].kills)
    assert "optimizer" in {part.part for run in proofs["forget the optimizer"].parts for part in run if part.first}
