"""Run ``trainloop`` on hostile files, one process each, and tell what the interpreter was asked to do meanwhile.

Run as a script with a JSON file: ``warm`` (commands on harmless files, which load what any run loads), ``jobs`` (name, words,
folder, control). Prints one JSON line a job. Each job is a fork of this process,
which has loaded everything by then: whatever it loads more, it loads because of the hostile file.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path

NEVER = {
    *("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "pickle.find_class", "os.startfile"),
    *("ctypes.dlopen", "webbrowser.open", "urllib.Request", "ftplib.connect", "smtplib.connect", "code.__new__"),
}
PATHS = {
    **dict.fromkeys(("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "os.chown", "shutil.rmtree"), 1),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink", "shutil.move", "shutil.copyfile"), 2),
}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
MEMORY = 700_000_000
CPU_SECONDS = 20
WALL_SECONDS = 120


HARMLESS = ("ctypes.dlopen (None,)", "subprocess.Popen ('git', ['git', '-C', '")
"""this program itself, and the question which commit it is of; no file has a say in either"""


class Watch:
    """An audit hook: what a job did that no file may make it do."""

    def __init__(self):
        self.folder, self.seen = None, []

    def __call__(self, event, arguments):
        if self.folder is None:
            return
        if event in NEVER:
            text = f"{event} {arguments!r}"
            if not text.startswith(HARMLESS):
                self.seen.append(text[:200])
        elif event == "import":
            self.seen.append(f"import {arguments[0]}")
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            self.opened(*arguments)
        elif event in PATHS:
            for path in arguments[: PATHS[event]]:
                self.must_be_inside(event, path)

    def opened(self, path, mode, flags):
        if (isinstance(flags, int) and flags & WRITING) or (isinstance(mode, str) and set(mode) & set("wax+")):
            self.must_be_inside("open for writing", path, follow=True)

    def must_be_inside(self, what, path, *, follow=False):
        if isinstance(path, int):
            # An open file, which was looked at when it was opened.
            return
        path = os.fsdecode(path)
        parent = os.path.realpath(path if follow else Path(path).absolute().parent)
        if not (parent + "/").startswith(self.folder + "/") and parent != "/dev/null":
            self.seen.append(f"{what} {path}")


WATCH = Watch()
sys.addaudithook(WATCH)

from trainloop.cli.app import main  # noqa: E402 - only now: the hook comes first


def pickled_tensors(patch):
    """Read the tensors of a checkpoint as ``torch.load`` did for years."""
    import io

    import torch

    from trainloop.checkpoint import folder

    patch(folder, "LARGEST_TENSOR_HEADER", 1 << 64)
    patch(folder, "load", lambda content: torch.load(io.BytesIO(content), weights_only=False))


def extracted_archive(patch):
    """Unpack an archive as it says."""
    import tarfile

    from trainloop.data.sources import store

    def extract(path, to, **_):
        with tarfile.open(path) as archive:
            # The control: what no reader here does.
            archive.extractall(to, filter="fully_trusted")

    patch(store, "import_copy", extract)


def trusted_links(patch):
    """Go on in a run folder without a look at what stands there."""
    from trainloop import resume
    from trainloop.files import operations
    from trainloop.report import run_folder

    for module in (run_folder, resume):
        patch(module, "require_plain_file", lambda _: None)
    patch(operations, "open_to_append", lambda path: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))


def trusted_names(patch):
    """Import the file that a config names, and all YAML tags."""
    import yaml

    from trainloop.config import load

    def unsafe(text, *_):
        yaml.load(text, Loader=yaml.UnsafeLoader)  # noqa: S506 - the control

    patch(load, "read_yaml", unsafe)


CONTROLS = {control.__name__: control for control in (pickled_tensors, extracted_archive, trusted_links, trusted_names)}


def call(words):
    """Run the command in this process and return its exit code."""
    sys.argv = ["trainloop", *words]
    try:
        main()
    except SystemExit as error:
        return error.code or 0
    return 0


def job(task, out):
    """Run one command under watch, and write what it did; never returns."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = Path(task["folder"]).parent / "output.txt"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(task["folder"])
    if task["control"]:
        CONTROLS[task["control"]](setattr)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    WATCH.folder = os.path.realpath(task["folder"])
    try:
        code = call(task["words"])
    except BaseException as error:  # noqa: BLE001 - whatever came through the command line is a finding
        code = f"{type(error).__name__}: {error}"
    WATCH.folder = None
    sys.stdout.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    facts = {
        "code": code,
        "seen": WATCH.seen,
        "text": log.read_text(encoding="utf-8", errors="replace")[-4_000:],
        "seconds": used.ru_utime + used.ru_stime,
    }
    os.write(out, json.dumps(facts).encode())
    os._exit(0)


def result(task):
    """Fork for one job; a job that hangs is ended and says so."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        job(task, write)
    os.close(write)
    deadline, content = time.monotonic() + WALL_SECONDS, b""
    os.set_blocking(read, False)
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            part = os.read(read, 1 << 16)
            content += part
            if not part:
                break
            continue
        time.sleep(0.002)
    else:
        os.kill(pid, 9)
    os.close(read)
    _, status = os.waitpid(pid, 0)
    if not content:
        return {"code": f"ended by signal {status & 127}", "seen": [], "text": "", "seconds": 0.0}
    return json.loads(content)


def run():
    tasks = json.loads(Path(sys.argv[1]).read_text())
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        for words in tasks["warm"]:
            call(words)
        # A codec that the reader of old pickles asks for by itself.
        "".encode("raw_unicode_escape")
    for task in tasks["jobs"]:
        print(json.dumps({"name": task["name"], **result(task)}), flush=True)


if __name__ == "__main__":
    run()
