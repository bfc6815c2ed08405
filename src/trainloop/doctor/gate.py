"""Ask a device for known answers, and refuse to train on one that gets them wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainloop.doctor.answer import Mismatch, find_mismatch
from trainloop.doctor.kernels import CHECKS, COSTLY, Check
from trainloop.errors import DeviceError

_sound: set[tuple[object, ...]] = set()
"""devices, with the settings that choose kernels, that have answered rightly in this process; others are asked again"""


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Args:
        name: of the check.
        num_answers: results that were looked at.
        num_numbers: elements of them.
        mismatches: those that are wrong.
    """

    name: str
    num_answers: int
    num_numbers: int
    mismatches: tuple[Mismatch, ...]


def run_check(name: str, check: Check, device: torch.device) -> Outcome:
    """Run one check; what the device cannot compute at all is wrong too.

    Raises:
        torch.OutOfMemoryError: which says nothing of the device.
    """
    num_answers = num_numbers = 0
    mismatches = []
    try:
        for answer in check(device):
            num_answers += 1
            num_numbers += answer.expected.size
            mismatch = find_mismatch(answer)
            if mismatch is not None:
                mismatches.append(mismatch)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        found = str(error).partition("\n")[0]
        mismatches.append(Mismatch(name, f"an error after {num_answers} answers: {found}", "an answer"))
    return Outcome(name, num_answers, num_numbers, tuple(mismatches))


def run_checks(device: torch.device, *, quick: bool = False) -> list[Outcome]:
    """Run the checks on a device, with the threads that are set; no stream of random numbers is touched.

    Args:
        device: to ask.
        quick: leave those out that take longer than all others together.
    """
    return [run_check(name, check, device) for name, check in CHECKS.items() if not (quick and name in COSTLY)]


def admit_device(device: torch.device, *, allow_failing: bool, announce: Callable[[str], None]) -> list[str]:
    """Refuse a device that computes wrongly; examined once a process, at a cost of some 70 ms.

    Args:
        device: to train on.
        allow_failing: train on it all the same.
        announce: told in one line what is wrong with it then.

    Returns:
        what is wrong, a line for each wrong answer; nothing for a sound device.

    Raises:
        DeviceError: a known answer is wrong; names the first.
    """
    key = _settings(device)
    if key in _sound:
        return []
    mismatches = [mismatch for outcome in run_checks(device, quick=True) for mismatch in outcome.mismatches]
    if not mismatches:
        _sound.add(key)
        return []
    if not allow_failing:
        raise _refusal(device, mismatches)
    announce(f"{device} computes wrongly ({_count(mismatches)}), and trains all the same: {mismatches[0]}")
    return [str(mismatch) for mismatch in mismatches]


def _settings(device: torch.device) -> tuple[object, ...]:
    """Return what decides which kernels run."""
    return (
        str(device),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.backends.mkldnn.enabled,
    )


def _refusal(device: torch.device, mismatches: list[Mismatch]) -> DeviceError:
    first = mismatches[0]
    return DeviceError(
        f"{device} computes wrongly: {first.what}",
        where="device",
        found=f"{first.found}; {_count(mismatches)} in all",
        expected=first.expected,
        help=f"`trainloop doctor --device {device}` shows every check; use another --device or another version of torch, "
        "or train all the same: --allow-failing-device",
    )


def _count(mismatches: list[Mismatch]) -> str:
    return f"{len(mismatches)} wrong answer{'s' if len(mismatches) > 1 else ''}"
