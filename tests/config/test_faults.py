"""A corpus of wrong configs: each row gives the text, where the fault must point, and what the message must say."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from trainloop.errors import Fault

Refuse = Callable[..., tuple[Fault, ...]]

# (text, line:column, part of what, found, part of help)
KEYS = [
    ("seeed: 3", "1:1", "unknown key `seeed` at the top level", "seeed", "`seed`"),
    ("Seed: 3", "1:1", "unknown key `Seed`", "Seed", "`seed`"),
    ("lr: 0.1", "1:1", "unknown key `lr` at the top level", "lr", "`lr` belongs to section `optimizer`"),
    ("epochs: 3", "1:1", "unknown key `epochs`", "epochs", "`train.epochs`"),
    ("optimiser: {}", "1:1", "unknown key `optimiser`", "optimiser", "`optimizer`"),
    ("scheduler: {}", "1:1", "unknown key `scheduler`", "scheduler", "`schedule`"),
    ("optimizer:\n  learning_rate: 1", "2:3", "in section `optimizer`", "learning_rate", "`optimizer.lr`"),
    ("optimizer:\n  momentun: 1", "2:3", "unknown key `momentun`", "momentun", "`optimizer.momentum`"),
    ("optimizer:\n  weight-decay: 1", "2:3", "unknown key `weight-decay`", "weight-decay", "`optimizer.weight_decay`"),
    ("optimizer: {wd: 1}", "1:13", "unknown key `wd`", "wd", "`optimizer.weight_decay`"),
    ("train:\n  batchSize: 2", "2:3", "unknown key `batchSize`", "batchSize", "`train.batch_size`"),
    ("train: {bs: 2}", "1:9", "unknown key `bs`", "bs", "`train.batch_size`"),
    ("train: {epoch: 2}", "1:9", "unknown key `epoch`", "epoch", "`train.epochs`"),
    ("train: {num_epochs: 2}", "1:9", "unknown key `num_epochs`", "num_epochs", "`train.epochs`"),
    ("train: {max_step: 2}", "1:9", "unknown key `max_step`", "max_step", "`train.max_steps`"),
    ("train: {lr: 2}", "1:9", "unknown key `lr` in section `train`", "lr", "belongs to section `optimizer`"),
    ("train: {seed: 2}", "1:9", "unknown key `seed`", "seed", "`seed` belongs to the top level"),
    ("train: {clip_grad: 2}", "1:9", "unknown key `clip_grad`", "clip_grad", "`train.clip_grad_norm`"),
    ("train: {amp: true}", "1:9", "unknown key `amp`", "amp", "`train.precision`"),
    ("train: {name: x}", "1:9", "unknown key `name`", "name", "`optimizer.name` or `schedule.name`"),
    ("data: {root: x}", "1:8", "unknown key `root`", "root", "`data.path`"),
    ("data: {flip: none}", "1:8", "unknown key `flip`", "flip", "section `data.augment`"),
    ("data:\n  augment:\n    flp: none", "3:5", "in section `data.augment`", "flp", "`data.augment.flip`"),
    ("model: {width: 3}", "1:9", "unknown key `width`", "width", "`model.args.width`"),
    ("optimizer.lr: 1", "1:1", "unknown key `optimizer.lr`", "optimizer.lr", "`lr:` indented below `optimizer:`"),
    (
        "optimizer: {name: adamw, momentum: 0.9}",
        "1:26",
        "unknown key `momentum`",
        "momentum",
        "`momentum` belongs to optimizer sgd, rmsprop or muon, and optimizer.name is adamw (c.yaml:1:19)",
    ),
    (
        "schedule: {start: 0.1}",
        "1:12",
        "unknown key `start`",
        "start",
        "`start` belongs to schedule triangle or one_cycle, and schedule.name is cosine by default",
    ),
    ("optimizer: {groups: [{mach: a}]}", "1:23", "`optimizer.groups[0]`", "mach", "`optimizer.groups.match`"),
    ("zzzzzzzz: 1", "1:1", "unknown key `zzzzzzzz`", "zzzzzzzz", "trainloop config init -"),
    ("on: 1", "1:1", "unknown key `on`", "on", "trainloop config init -"),
    ("optimizer: {lr: 1,5}", "1:19", "unknown key `5`", "5", "decimal comma"),
]

# (text, line:column, part of what, found, expected, part of help)
VALUES = [
    ("mode: manal", "1:7", "`mode` has no such choice", "manal", "builtin or manual", "`manual`"),
    ("mode: Manual", "1:7", "`mode` has no such choice", "Manual", "builtin or manual", "`manual`"),
    ("mode: torch", "1:7", "`mode` has no such choice", "torch", "builtin or manual", "`builtin`"),
    ("device: gpu", "1:9", "`device` has no such choice", "gpu", "such as auto, cpu, mps, cuda or cuda:0", "`cuda`"),
    (
        "device: cuda0",
        "1:9",
        "`device` has no such choice",
        "cuda0",
        "such as auto, cpu, mps, cuda or cuda:0",
        "`cuda`",
    ),
    ("deterministic: false", "1:16", "no such choice", "false", "off, seeded or strict", "`off`"),
    ("seed: -1", "1:7", "`seed` is out of range", "-1", "a whole number ≥ 0 and < 2^63", ""),
    ("seed: 9223372036854775808", "1:7", "out of range", "9223372036854775808", "a whole number ≥ 0 and < 2^63", ""),
    ("seed: true", "1:7", "`seed` has the wrong type", "true", "a whole number ≥ 0 and < 2^63", ""),
    ("seed: 1:30", "1:7", "`seed` has the wrong type", "1:30", "a whole number ≥ 0 and < 2^63", ""),
    ("seed: 2026-01-01", "1:7", "wrong type", "2026-01-01", "a whole number ≥ 0 and < 2^63", ""),
    ("seed:\nmode: manual", "1:6", "`seed` has no value", "nothing", "a whole number ≥ 0 and < 2^63", "after `seed:`"),
    ("train: {epochs: 0}", "1:17", "`train.epochs` is out of range", "0", "a whole number ≥ 1", ""),
    ("train: {epochs: 10.0}", "1:17", "wrong type", "10.0", "a whole number ≥ 1", "write 10"),
    ("train: {epochs: ten}", "1:17", "wrong type", "ten", "a whole number ≥ 1", ""),
    ("train: {epochs: '3'}", "1:17", "wrong type", "'3'", "a whole number ≥ 1", "without quotes: 3"),
    ("train:\n  epochs: 1,000", "2:11", "wrong type", "1,000", "a whole number ≥ 1", "write"),
    ("train: {max_steps: none}", "1:20", "wrong type", "none", "a whole number ≥ 1, or null", "`null`"),
    ("train: {compile: yes}", "1:18", "wrong type", "yes", "true or false", "`true`"),
    ("data: {fetch: off}", "1:15", "`data.fetch` has the wrong type", "off", "true or false", "`false`"),
    ("data: {fetch: 0}", "1:15", "wrong type", "0", "true or false", "`false`"),
    ("data: {image_size: 4}", "1:20", "out of range", "4", "a whole number from 8 to 1024, or null", ""),
    ("data: {path: None}", "1:14", "`data.path` is None, not a path", "None", "a path, or null", "`null`"),
    ("data: {path: ''}", "1:14", "`data.path` is empty", "''", "a path, or null", "`null`"),
    ("data: {path: 3}", "1:14", "wrong type", "3", "a path, or null", "quotes around it: '3'"),
    ("data: {augment: {flip: null}}", "1:24", "no value", "null", "none, random or alternating", "`none`"),
    ("data: {dataset: cifar100}", "1:17", "no such choice", "cifar100", "cifar10-mini, cifar10 or folder", "`cifar10`"),
    ("train: {precision: bfloat16}", "1:20", "no such choice", "bfloat16", "fp32, bf16 or fp16", "`bf16`"),
    ("train: {precision: 16}", "1:20", "no such choice", "16", "fp32, bf16 or fp16", "`fp16`"),
    ("train: {label_smoothing: 1}", "1:26", "out of range", "1", "a number ≥ 0 and < 1", ""),
    ("stages: {loss: auto}", "1:16", "`stages.loss` has no such choice", "auto", "builtin, manual or null", ""),
    ("optimizer: {lr: 0}", "1:17", "`optimizer.lr` is out of range", "0", "a number > 0", ""),
    ("optimizer: {lr: '0.1'}", "1:17", "wrong type", "'0.1'", "a number > 0", "without quotes: 0.1"),
    ("optimizer: {lr: .inf}", "1:17", "`optimizer.lr` is not a finite number", ".inf", "a number > 0", ""),
    ("optimizer: {lr: .nan}", "1:17", "`optimizer.lr` is not a finite number", ".nan", "a number > 0", ""),
    ("optimizer: {lr: 1e999}", "1:17", "`optimizer.lr` is not a finite number", "1e999", "a number > 0", ""),
    ("optimizer:\n  lr: 0,1", "2:7", "wrong type", "0,1", "a number > 0", "a decimal point: 0.1"),
    ("optimizer:\n  lr: 10%", "2:7", "wrong type", "10%", "a number > 0", "a fraction: 0.1"),
    ("optimizer:\n  lr: 1 e-3", "2:7", "wrong type", "1 e-3", "a number > 0", "no spaces: 0.001"),
    ("optimizer:\n  lr: 10^-3", "2:7", "wrong type", "10^-3", "a number > 0", "write 0.001"),
    ("optimizer: {lr: {a: 1}}", "1:17", "`optimizer.lr` is a value, not a section", "{a: 1}", "a number > 0", ""),
    (
        "optimizer: {name: rmspop}",
        "1:19",
        "`optimizer.name` has no such choice",
        "rmspop",
        "one of sgd, adam, adamw, nadam, radam, adamax, adagrad, adadelta, rmsprop, rprop, asgd, adafactor, muon",
        "`rmsprop`",
    ),
    (
        "optimizer: {name: rprop, etas: [0.5, 1]}",
        "1:38",
        "`optimizer.etas[1]` is out of range",
        "1",
        "a number > 1",
        "",
    ),
    (
        "optimizer: {name: adafactor, eps: 1e-3}",
        "1:35",
        "`optimizer.eps` has the wrong type",
        "1e-3",
        "a list of 2: a number ≥ 0, or null, then a number ≥ 0",
        "[1e-3]",
    ),
    (
        "optimizer: {name: muon, ns_coefficients: [1.5]}",
        "1:42",
        "`optimizer.ns_coefficients` has the wrong length",
        "[1.5]",
        "a list of 3, each a number",
        "",
    ),
    (
        "optimizer: {name: muon, adjust_lr_fn: spectral}",
        "1:39",
        "`optimizer.adjust_lr_fn` has no such choice",
        "spectral",
        "original, match_rms_adamw, spectral_unclamped or null",
        "",
    ),
    (
        "optimizer: {name: adamw, betas: [0.9]}",
        "1:33",
        "`optimizer.betas` has the wrong length",
        "[0.9]",
        "a list of 2, each a number ≥ 0 and < 1",
        "",
    ),
    (
        "optimizer: {name: adamw, betas: [0.9, 1.5]}",
        "1:39",
        "`optimizer.betas[1]` is out of range",
        "1.5",
        "a number ≥ 0 and < 1",
        "",
    ),
    (
        "optimizer: {groups: {match: a}}",
        "1:21",
        "`optimizer.groups` is a list, not a section",
        "{match: a}",
        "a list, each with the keys match, lr_scale, weight_decay",
        "",
    ),
    (
        "optimizer: {groups: [{lr_scale: 2}]}",
        "1:22",
        "`optimizer.groups[0].match` is missing",
        "",
        "text (not empty)",
        "add `match:`",
    ),
    (
        "model: {name: 18}",
        "1:15",
        "`model.name` has the wrong type",
        "18",
        "text (not empty)",
        "quotes around it: '18'",
    ),
    ("model: {name: ''}", "1:15", "`model.name` is empty", "''", "text (not empty)", ""),
    (
        "model: {args: {width: [3]}}",
        "1:23",
        "`model.args.width` has the wrong type",
        "[3]",
        "true or false, a whole number, a number or text",
        "",
    ),
    (
        "schedule: {name: multistep, milestones: 3}",
        "1:41",
        "`schedule.milestones` has the wrong type",
        "3",
        "a list of at least 1, each a number > 0",
        "[3]",
    ),
    (
        "schedule: {name: multistep}",
        "1:12",
        "`schedule.milestones` is missing",
        "",
        "a list of at least 1, each a number > 0",
        "add `milestones:`",
    ),
    (
        "schedule: {name: cosin}",
        "1:18",
        "`schedule.name` has no such choice",
        "cosin",
        "one of constant, cosine, triangle, one_cycle, multistep",
        "`cosine`",
    ),
    (
        "schedule: {name: linear}",
        "1:18",
        "no such choice",
        "linear",
        "one of constant, cosine, triangle, one_cycle, multistep",
        "`triangle`",
    ),
]

SECTION = "a section (keys with values, indented below it)"
SECTIONS = [
    ("optimizer: adamw", "1:12", "`optimizer` is a section, not a value", "adamw", "`optimizer: {name: adamw}`"),
    ("data: cifar10", "1:7", "`data` is a section, not a value", "cifar10", "`data: {dataset: cifar10}`"),
    ("model: resnet18", "1:8", "`model` is a section, not a value", "resnet18", "`model: {name: resnet18}`"),
    ("train: 3", "1:8", "`train` is a section, not a value", "3", "its keys below it: epochs, max_steps"),
    (
        "train:\n  epochs:3",
        "2:3",
        "`train` is a section, not a value",
        "epochs:3",
        "space after the colon: `epochs: 3`",
    ),
    ("train:\nseed: 1", "1:7", "`train` has no value", "nothing", "remove `train:`"),
    ("optimizer: [sgd]", "1:12", "`optimizer` is a section, not a value", "[sgd]", "its keys below it: name"),
]


@pytest.mark.parametrize(("text", "place", "what", "found", "help"), KEYS, ids=[row[0] for row in KEYS])
def test_unknown_key(refuse: Refuse, text: str, place: str, what: str, found: str, help: str) -> None:
    fault = next(fault for fault in refuse(text) if fault.where == f"c.yaml:{place}")
    assert what in fault.what
    assert fault.found == found
    assert help in fault.help
    assert fault.expected.startswith("one of ")


@pytest.mark.parametrize(("text", "place", "what", "found", "expected", "help"), VALUES, ids=[row[0] for row in VALUES])
def test_wrong_value(refuse: Refuse, text: str, place: str, what: str, found: str, expected: str, help: str) -> None:
    (fault,) = refuse(text)
    assert fault.where == f"c.yaml:{place}"
    assert what in fault.what
    assert fault.found == found
    assert fault.expected == expected
    assert help in fault.help
    assert bool(help) == bool(fault.help)


@pytest.mark.parametrize(("text", "place", "what", "found", "help"), SECTIONS, ids=[row[0] for row in SECTIONS])
def test_value_in_place_of_a_section(refuse: Refuse, text: str, place: str, what: str, found: str, help: str) -> None:
    (fault,) = refuse(text)
    assert (fault.where, fault.what, fault.found, fault.expected) == (f"c.yaml:{place}", what, found, SECTION)
    assert help in fault.help


def test_unknown_key_lists_the_keys_of_its_section(refuse: Refuse) -> None:
    (fault,) = refuse("stages: {opt: manual}")
    assert fault.expected == "one of zero_grad, forward, loss, backward, sync, step, conv, rules"


def test_every_fault_of_a_file_is_reported_at_once_in_reading_order(refuse: Refuse) -> None:
    text = "mode: manal\ntrain:\n  epochs: 0\n  epochs: 1\n  lr: 2\nschedule:\n  name: cosin\n  stat: 3\nlog: 3\n"
    found = [(fault.where, fault.found) for fault in refuse(text, "seed=x", "data.fetch=no")]
    assert found == [
        ("c.yaml:1:7", "manal"),
        ("c.yaml:3:11", "0"),
        ("c.yaml:4:3", "epochs"),
        ("c.yaml:5:3", "lr"),
        ("c.yaml:7:9", "cosin"),
        ("c.yaml:8:3", "stat"),
        ("c.yaml:9:6", "3"),
        ("--set seed=x", "x"),
        ("--set data.fetch=no", "no"),
    ]


def test_a_misfit_is_reported_beside_faults_of_other_keys(refuse: Refuse) -> None:
    wheres = [fault.where for fault in refuse("seed: x\ndata: {dataset: folder}")]
    assert wheres == ["c.yaml:1:7", "c.yaml:2:17"]


def test_a_misfit_with_a_faulty_key_is_left_for_later(refuse: Refuse) -> None:
    (fault,) = refuse("stages: {forward: manal, loss: manual, backward: manual}\nmode: manual")
    assert fault.found == "manal"


def test_an_unknown_name_without_a_near_one_leaves_its_section_unjudged(refuse: Refuse) -> None:
    (fault,) = refuse("schedule: {name: wobble, depth: 3}")
    assert fault.found == "wobble"


def test_control_characters_in_a_value_are_escaped(refuse: Refuse) -> None:
    (fault,) = refuse('mode: "\\e[31mred"')
    assert fault.found == '"\\x1b[31mred"'


def test_a_long_value_is_cut(refuse: Refuse) -> None:
    (fault,) = refuse(f"mode: {'m' * 100}")
    assert fault.found == "m" * 59 + "…"


def test_every_place_in_the_tables_is_a_line_and_a_column() -> None:
    rows = [*KEYS, *VALUES, *SECTIONS]
    assert len(rows) >= 60
    assert all(re.fullmatch(r"\d+:\d+", row[1]) for row in rows)
