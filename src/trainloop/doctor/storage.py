"""Data and disks: is CIFAR-10 here and whole, and does a disk keep what a run writes?"""

from __future__ import annotations

import os
import secrets
import statistics
import time
from pathlib import Path

from trainloop.data import cifar10, embedded
from trainloop.doctor.line import Line, State
from trainloop.errors import DataError, ResourceError
from trainloop.files import (
    AppendFile,
    free_bytes,
    is_held,
    make_new_folder,
    one_writer,
    remove_flat_folder,
    write_text,
    writing,
)
from trainloop.report.format import count, size

DATA, DISK, RUNS = "data", "disk", "runs"
LOW_BYTES = 1 << 30
"""a checkpoint of resnet18 with momentum takes 90 MB, and one more than ``checkpoint.keep`` of them stand at once"""
SLOW_FSYNC_MS = 100.0
"""a checkpoint waits for the disk some ten times, which then is a second"""
NUM_FSYNCS = 5
HOW_TO_CHOOSE = {
    RUNS: "choose another folder: trainloop train --run-dir DIR",
    DATA: "choose another folder: the variable TRAINLOOP_DATA, or trainloop data fetch --to DIR",
}
"""what a folder is for → how to have another"""


def data_lines(folder: Path) -> list[Line]:
    """Return whether the images are here and right.

    Args:
        folder: of the six files of CIFAR-10.
    """
    return [embedded_line(), cifar10_line(folder)]


def embedded_line() -> Line:
    """Check the images inside the package."""
    try:
        sets = embedded.load()
    except DataError as error:
        return _failed("cifar10-mini", error)
    images = " + ".join(count(len(images.labels)) for images in sets.values())
    return Line(DATA, "cifar10-mini", State.ok, f"{images} images inside the package, SHA-256 as it should be")


def cifar10_line(folder: Path) -> Line:
    """Check every file of the full set that is here."""
    try:
        missing = cifar10.missing(folder)
    except OSError as error:
        return Line(DATA, "cifar10", State.note, f"cannot be read ({error.strerror}): {folder}", HOW_TO_CHOOSE[DATA])
    present = [file for file in cifar10.FILES if file not in missing]
    how = f"{cifar10.HOW_TO_GET}; configs/quickstart.yaml needs none of it"
    if not present:
        return Line(DATA, "cifar10", State.note, f"not here: {folder}", how)
    try:
        cifar10.verify(folder, present)
    except DataError as error:
        return _failed("cifar10", error)
    if missing:
        names = ", ".join(file.name for file in missing)
        return Line(DATA, "cifar10", State.note, f"{names} missing in {folder}", how)
    return Line(DATA, "cifar10", State.ok, f"{len(present)} files, SHA-256 of each as it should be: {folder}")


def disk_line(name: str, folder: Path, *, needed: bool) -> Line:
    """Write where a run would write: a whole file, lines, flushes, a rename, a lock; nothing stays.

    Args:
        name: what the folder is for, a key of ``HOW_TO_CHOOSE``.
        folder: it, which need not be there yet.
        needed: nothing can be trained if it cannot be written.
    """
    place = folder
    try:
        with writing(folder):
            place = _existing(folder)
        fault, fsync_ms = try_disk(place)
    except (ResourceError, NotImplementedError) as error:  # the latter is how filelock says that a disk knows no locks
        why = error.faults[0].found if isinstance(error, ResourceError) else str(error)
        state = State.failed if needed else State.note
        return Line(DISK, name, state, f"cannot be used ({why}): {place}", HOW_TO_CHOOSE[name])
    if fault:
        return Line(DISK, name, State.failed, f"{fault}: {place}", HOW_TO_CHOOSE[name])
    free = free_bytes(place)
    found = f"{size(free)} free, fsync {fsync_ms:.1f} ms, whole files and locks work: {folder}"
    if free < LOW_BYTES:
        return Line(DISK, name, State.note, found, "free some space: checkpoints of a large model may not fit")
    if fsync_ms > SLOW_FSYNC_MS:
        return Line(DISK, name, State.note, found, "a local disk, or a longer checkpoint.every, makes saving cheaper")
    return Line(DISK, name, State.ok, found)


def try_disk(place: Path) -> tuple[str, float]:
    """Use a disk as a run does, in a hidden folder that is removed again.

    Args:
        place: a folder that is there.

    Returns:
        what is wrong, or nothing; and the median time of an fsync in ms.

    Raises:
        ResourceError: it cannot be written.
    """
    with writing(place):
        folder = place / f".trainloop-doctor-{os.getpid()}-{secrets.token_hex(4)}"
        make_new_folder(folder)
        try:
            return _use(folder)
        finally:
            remove_flat_folder(folder)


def _use(folder: Path) -> tuple[str, float]:
    fault = ""
    with one_writer(folder):
        if not is_held(folder):
            fault = "a second process could take the lock of a run folder"
        text = secrets.token_hex(512)
        write_text(folder / "whole", text)
        if (folder / "whole").read_text(encoding="utf-8") != text:
            fault = "a file reads otherwise than it was written"
        fsync_ms = _fsync_ms(folder / "lines")
    return fault or ("a lock stays when it is let go" if is_held(folder) else ""), fsync_ms


def _fsync_ms(path: Path) -> float:
    times = []
    with AppendFile(path, fresh=True) as file:
        for _ in range(NUM_FSYNCS):
            file.append(64 * "line of a metrics file, of about 64 bytes, with a line end at it\n")
            start = time.perf_counter()
            file.sync()
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _failed(name: str, error: DataError) -> Line:
    fault = error.faults[0]
    more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
    found = ", ".join(text for text in (fault.found, fault.expected and f"expected {fault.expected}") if text)
    return Line(
        DATA, name, State.failed, f"{fault.what}{more}: {fault.where}" + (f": {found}" if found else ""), fault.help
    )
