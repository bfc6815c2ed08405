"""A device that computes wrongly is refused, unless told otherwise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainloop.doctor import gate
from trainloop.doctor.kernels import CHECKS, COSTLY
from trainloop.errors import DeviceError

CPU = torch.device("cpu")


def silent(_):
    raise AssertionError("nothing is to be announced")


@pytest.fixture
def broken(monkeypatch):
    """Adam's last operation writes nothing into a tensor that is not contiguous."""
    real = Tensor.addcdiv_

    def addcdiv_(self, *args, **kwargs):
        return real(self, *args, **kwargs) if self.is_contiguous() else self

    monkeypatch.setattr(Tensor, "addcdiv_", addcdiv_)


def counted(monkeypatch):
    calls = []

    def run(name, check, device):
        calls.append(name)
        return real(name, check, device)

    real = gate.run_check
    monkeypatch.setattr(gate, "run_check", run)
    return calls


def test_a_sound_device_is_admitted_and_asked_once_for_each_number_of_threads(monkeypatch, device):
    calls = counted(monkeypatch)
    assert gate.admit_device(device, allow_failing=False, announce=silent) == []
    assert calls == [name for name in CHECKS if name not in COSTLY]
    assert gate.admit_device(device, allow_failing=False, announce=silent) == []
    assert len(calls) == len(CHECKS) - len(COSTLY)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        gate.admit_device(device, allow_failing=False, announce=silent)
    finally:
        torch.set_num_threads(before)
    assert len(calls) == 2 * (len(CHECKS) - len(COSTLY))


@pytest.mark.usefixtures("broken")
def test_a_wrong_answer_refuses_the_device_by_name_and_numbers():
    with pytest.raises(DeviceError) as caught:
        gate.admit_device(CPU, allow_failing=False, announce=silent)
    (fault,) = caught.value.faults
    assert caught.value.exit_code == 2
    assert fault.what == "cpu computes wrongly: addcdiv_ on channels_last"
    assert fault.where == "device"
    assert fault.found.startswith("-2 at [0, 2, 3, 1] (357 of 420 ")
    assert fault.found.endswith(" wrong answers in all")
    assert fault.expected == "10"
    assert "`trainloop doctor --device cpu`" in fault.help
    assert "--allow-failing-device" in fault.help


@pytest.mark.usefixtures("broken")
def test_told_otherwise_it_is_announced_in_one_line_and_every_wrong_answer_returned():
    said = []
    wrong = gate.admit_device(CPU, allow_failing=True, announce=said.append)
    assert len(said) == 1
    assert said[0].startswith(
        f"cpu computes wrongly ({len(wrong)} wrong answers), and trains all the same: addcdiv_ on"
    )
    assert "\n" not in said[0]
    assert wrong[0].startswith("addcdiv_ on channels_last: -2 at [")
    assert any(line.startswith("adam on transposed, param: ") for line in wrong)


def test_a_wrong_answer_is_not_remembered(monkeypatch):
    with monkeypatch.context() as broken:
        real = F.linear
        broken.setattr(F, "linear", lambda *args: real(*args) * 2)
        with pytest.raises(DeviceError, match="cpu computes wrongly: linear, output"):
            gate.admit_device(CPU, allow_failing=False, announce=silent)
        with pytest.raises(DeviceError, match="linear, output"):
            gate.admit_device(CPU, allow_failing=False, announce=silent)
    assert gate.admit_device(CPU, allow_failing=False, announce=silent) == []


def test_a_kernel_that_is_not_there_is_a_wrong_answer(monkeypatch):
    def absent(*_):
        raise NotImplementedError("Could not run 'aten::conv' on this backend.\nmore")

    monkeypatch.setattr(F, "conv_transpose2d", absent)
    outcome = gate.run_check("conv_transpose2d", CHECKS["conv_transpose2d"], CPU)
    (mismatch,) = outcome.mismatches
    assert mismatch.found == "an error after 0 answers: Could not run 'aten::conv' on this backend."


def test_a_full_memory_says_nothing_of_the_device(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(F, "conv2d", full)
    with pytest.raises(torch.OutOfMemoryError):
        gate.admit_device(CPU, allow_failing=True, announce=silent)
