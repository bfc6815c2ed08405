"""The zoo of seeded faults: how many, of what kinds, and that they leave the real modules as they are."""

from __future__ import annotations

import builtins
import sys

import pytest

from trainloop.compare.key import STAGES
from trainloop.compare.zoo.edit import PRIVATE, Edit, EditError
from trainloop.compare.zoo.fault import UNKNOWN
from trainloop.compare.zoo.faults import FAULTS, SHORT
from trainloop.manual import RULES, node
from trainloop.manual.optim import adam, sgd

EDITED = [fault for fault in FAULTS if fault.edit is not None]


def test_there_are_many_and_at_least_half_are_edits_of_the_source():
    assert len(FAULTS) >= 48
    assert len(EDITED) * 2 >= len(FAULTS)


def test_no_two_have_one_name():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("faults", [FAULTS, SHORT], ids=["all", "short"])
def test_every_stage_has_some(faults):
    assert {fault.stage for fault in faults} == set(STAGES)


def test_some_are_of_kinds_that_nobody_lists():
    assert sum(fault.cause == UNKNOWN and fault.name.startswith("odd:") for fault in FAULTS) >= 6


@pytest.mark.parametrize("fault", EDITED, ids=lambda fault: fault.name)
def test_every_edit_fits_the_source(fault):
    assert fault.edit.text() != Edit(fault.edit.module, ()).text()


def test_an_edit_leaves_the_real_module_and_the_process_as_they_were():
    before = {**vars(sgd)}, {**vars(adam)}, {**vars(node)}, dict(RULES), builtins.__import__
    for fault in EDITED[::5]:
        fault.pair()
    assert before == ({**vars(sgd)}, {**vars(adam)}, {**vars(node)}, dict(RULES), builtins.__import__)
    assert not [name for name in sys.modules if name.startswith(PRIVATE)]


def test_an_edited_module_is_another_one():
    module = Edit("optim.sgd", (('-scalars["lr"]', 'scalars["lr"]'),), "update").load()
    assert module.SGD is not sgd.SGD
    assert issubclass(module.SGD, sgd.Optimizer)


def test_a_module_on_top_of_an_edited_one_sees_the_edit():
    edit = Edit("optim.adam", (("1 - lr * group", "1 - group"),), "scalars", ("optim.adamw",))
    assert edit.load().AdamW.__mro__[1] is not adam.Adam


def test_a_submodule_of_a_package_is_found_edited_too():
    module = Edit("conv.im2col", ((".sum((0,", ".mean((0,"),), "grad_bias", ("rules.conv",)).load()
    assert module.im2col.__file__ == "<trainloop.manual.conv.im2col, edited>"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("clip", (("no such text", ""),)), r"'no such text' occurs 0 times in clip, expected once"),
        (
            Edit("clip", (("grad", ""),), "clip_grad_norm"),
            r"'grad' occurs \d+ times in clip, in clip_grad_norm, expected once",
        ),
        (Edit("clip", (), "nothing"), r"nothing is defined 0 times in clip, expected once"),
        (Edit("nowhere", ()), r"there is no module trainloop\.manual\.nowhere"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(edit, message):
    with pytest.raises(EditError, match=message):
        edit.load()
