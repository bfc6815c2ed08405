"""Runs on disks that refuse: each in a fork of this process, in a mount namespace of its own (``unshare -m``).

Run as a script with a folder. Prints one JSON line a run: the exit code, what was printed,
every claim that a checkpoint is saved and whether it was true when it was made, and what verifies at the end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401 - loaded here once, not in every fork
import torch
import yaml

from trainloop.checkpoint import store
from trainloop.checkpoint.folder import verify
from trainloop.checkpoint.keeper import CheckpointKeeper
from trainloop.cli.app import main
from trainloop.errors import CheckpointError, ResourceError
from trainloop.report.json_lines import JsonLines
from trainloop.training import train  # noqa: F401 - likewise

STEPS = 6
CONFIG = {
    "model": {"name": "small_cnn", "args": {"width": 64}},
    "train": {"epochs": 1, "max_steps": STEPS, "batch_size": 16, "eval_batch_size": 500},
    "threads": 1,
    "checkpoint": {"every": 1, "keep": 2},
}
ROOM = 64_000_000
"""bytes of a disk that is large enough"""


def shell(*words):
    subprocess.run(words, check=True, capture_output=True)


def whole(folder):
    """Return the names of the checkpoints of a run that verify."""
    found = []
    for path in sorted((folder / "checkpoints").glob("step-*")):
        with contextlib.suppress(CheckpointError):
            verify(path)
            found.append(path.name)
    return found


class Watched:
    """One run; ``at`` is called after each step and may change the disk.

    Args:
        home: a folder for it alone.
        at: step → None.
    """

    def __init__(self, home, at=lambda _: None):
        self.run, self.config, self.log = home / "run", home.parent / "config.yaml", home.parent / "output.txt"
        self.claims, self.at = [], at

    def __call__(self):
        due, handle = CheckpointKeeper.due, JsonLines.handle

        def watched_due(keeper, step, seconds):
            self.at(step)
            return due(keeper, step, seconds)

        def watched_handle(sink, event):
            if event.kind == "checkpoint" and sink._whole_run:
                self.claims.append((event.step, Path(event.path).name in whole(self.run)))
            handle(sink, event)

        CheckpointKeeper.due, JsonLines.handle = watched_due, watched_handle
        sys.argv = [
            "trainloop",
            "train",
            "--config",
            str(self.config),
            "--run-dir",
            str(self.run),
            "--progress",
            "json",
        ]
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException as error:  # noqa: BLE001 - whatever came through the command line is a finding
            code = f"{type(error).__name__}: {error}"
        sys.stdout.flush()
        summary = self.run / "summary.json"
        return {
            "code": code,
            "text": self.log.read_text(),
            "claims": self.claims,
            "whole": whole(self.run),
            "weights": json.loads(summary.read_text())["weights_sha256"] if summary.exists() else None,
        }


def forked(work):
    """Do work in a fork and return what it gave."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        with open(write, "w") as stream:  # noqa: PTH123 - a pipe
            json.dump(work(), stream)
        os._exit(0)
    os.close(write)
    with open(read) as stream:  # noqa: PTH123 - a pipe
        content = stream.read()
    os.waitpid(pid, 0)
    return json.loads(content)


class Disks:
    """The scenarios: each yields (name, what the run did)."""

    def __init__(self, home):
        self.home, self.count, self.size = home, 0, 0

    def disk(self, size=ROOM):
        """Return a new file system of so many bytes."""
        self.count += 1
        home = self.home / f"{self.count}" / "disk"
        home.mkdir(parents=True)
        shell("mount", "-t", "tmpfs", "-o", f"size={int(size)},mode=0755", "none", str(home))
        (home.parent / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        return home

    def all(self):
        home = self.disk()
        yield "enough", forked(Watched(home))
        self.size = sum(file.stat().st_size for file in next((home / "run" / "checkpoints").iterdir()).iterdir())
        yield from self.too_small()
        yield from self.filled_for_a_while()
        yield from self.limited()
        yield from self.read_only()
        yield from self.not_allowed()
        yield from self.claimed_too_early()

    def too_small(self):
        """Disks that hold some checkpoints and not all, and the same command on a larger one."""
        for share in (0.3, 0.9, 1.5, 2.2):
            home = self.disk(share * self.size)
            yield f"{share} checkpoints", forked(Watched(home))
            shell("mount", "-o", f"remount,size={ROOM}", str(home))
            yield f"{share} checkpoints, then enough", forked(Watched(home))

    def filled_for_a_while(self):
        """Somebody else fills the disk after step 2 and frees it after step 4."""
        home = self.disk(4.2 * self.size)
        ballast = home / "ballast"

        def at(step):
            if step == 2:
                free = os.statvfs(home)
                ballast.write_bytes(bytes(int(free.f_bavail * free.f_frsize - 0.4 * self.size)))
            elif step == 4:
                ballast.unlink(missing_ok=True)

        yield "filled for a while", forked(Watched(home, at))

    def limited(self):
        """Files of this process may not grow beyond a limit."""
        for share in (0.7, 0.3):
            home = self.disk()

            def work(home=home, share=share):
                watched, limit = Watched(home), int(share * self.size)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                return watched()

            yield f"files of at most {share} checkpoints", forked(work)

    def read_only(self):
        """The folder of the checkpoints, or the whole run folder, turns read-only after step 2, for good or till step 4."""
        for what, end in (("checkpoints", 4), ("", None)):
            home = self.disk()

            def at(step, folder=home / "run" / what, end=end):
                if step == 2:
                    shell("mount", "--bind", str(folder), str(folder))
                    shell("mount", "-o", "remount,ro,bind", str(folder))
                elif step == end:
                    shell("umount", str(folder))

            yield f"read-only {what or 'run folder'}", forked(Watched(home, at))

    def not_allowed(self):
        """An ordinary user, whose folder may not be written after step 2, or never."""
        for name, mode in (("no rights for a while", 0o755), ("no rights from the start", 0o555)):
            home = self.disk()

            def at(step, home=home):
                if step in (2, 4):
                    (home / "run" / "checkpoints").chmod(0o555 if step == 2 else 0o755)

            def work(home=home, mode=mode, at=at):
                home.chmod(mode)
                obey_modes()
                return Watched(home, at)()

            yield name, forked(work)

    def claimed_too_early(self):
        """The control: on a disk for one checkpoint, a store that says that it saved, whatever the disk said."""
        home = self.disk(1.5 * self.size)

        def work():
            claims_too_early()
            return Watched(home)()

        yield "a claim too early", forked(work)


def obey_modes():
    """Give up the right of root to write where the mode of a folder forbids it (CAP_DAC_OVERRIDE and its kin)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, rights = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, rights) == 0
    rights[0] &= ~0b1110
    assert libc.capset(header, rights) == 0


def claims_too_early():
    """Say that a checkpoint is saved, whatever the disk said."""
    save = store.CheckpointStore.save

    def early(self, saved):
        try:
            return save(self, saved)
        except ResourceError:
            return self.path / f"step-{saved.facts.position.step:08d}", 1

    store.CheckpointStore.save = early


if __name__ == "__main__":
    torch.set_num_threads(1)
    for told in Disks(Path(sys.argv[1])).all():
        print(json.dumps(told), flush=True)
