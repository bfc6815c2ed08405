from __future__ import annotations

import os
from pathlib import Path

import pytest

from trainloop.config.source import MAX_BYTES, read_text
from trainloop.errors import ConfigError, Fault


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(path: str) -> Fault:
    with pytest.raises(ConfigError) as caught:
        read_text(Path(path))
    (fault,) = caught.value.faults
    return fault


def test_a_byte_order_mark_is_dropped() -> None:
    Path("c.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_text(Path("c.yaml")) == "a: 1"


def test_a_missing_file_in_an_empty_folder_leads_to_init() -> None:
    fault = refused("c.yaml")
    assert (fault.what, fault.where) == ("there is no such config file", "c.yaml")
    assert "`trainloop config init c.yaml`" in fault.help


def test_a_missing_file_names_the_nearest_in_its_folder() -> None:
    Path("quickstart.yaml").touch()
    assert refused("quikstart.yml").help == "did you mean quickstart.yaml?"


def test_a_missing_file_names_the_nearest_in_configs() -> None:
    Path("configs").mkdir()
    Path("configs/cifar10.yaml").touch()
    assert refused("cifar10").help == f"did you mean {Path('configs/cifar10.yaml')}?"


def test_a_missing_file_unlike_any_other_lists_what_there_is() -> None:
    Path("a.yaml").touch()
    Path("b.yml").touch()
    assert refused("something.yaml").help == "there are: a.yaml, b.yml"


def test_a_file_taken_for_a_folder_is_missing() -> None:
    Path("c.yaml").touch()
    assert refused("c.yaml/x.yaml").what == "there is no such config file"


def test_a_folder_names_the_files_in_it() -> None:
    Path("configs").mkdir()
    Path("configs/a.yaml").touch()
    fault = refused("configs")
    assert (fault.what, fault.where) == ("this is a folder, not a config file", "configs")
    assert fault.help == f"name one of its files: {Path('configs/a.yaml')}"


def test_a_folder_without_files_leads_to_init() -> None:
    Path("empty").mkdir()
    assert refused("empty").help.startswith("it holds no YAML file; `trainloop config init")


def test_a_pipe_is_refused_without_waiting_for_it() -> None:
    os.mkfifo("pipe")
    assert refused("pipe").what == "this is not a regular file"


def test_a_file_that_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("c.yaml").touch()

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    fault = refused("c.yaml")
    assert (fault.what, fault.help) == (
        "no permission to read the config file",
        "change it, for instance: chmod u+r c.yaml",
    )


def test_a_name_that_the_system_refuses() -> None:
    assert refused("x" * 300).what == "the config file cannot be read"
    assert refused("a\0b").where == "'a\\x00b'"


def test_a_large_file_is_refused_before_it_is_read() -> None:
    with Path("c.yaml").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    fault = refused("c.yaml")
    assert fault.what == "the file is too large for a config"
    assert (fault.found, fault.expected) == ("1,048,577 bytes", "at most 1,048,576 bytes")


def test_utf_16_is_named() -> None:
    Path("c.yaml").write_bytes("a: 1".encode("utf-16"))
    fault = refused("c.yaml")
    assert (fault.what, fault.found, fault.help) == ("the file is not UTF-8", "UTF-16 text", "save it as UTF-8")


def test_a_byte_that_is_not_utf_8_has_its_place() -> None:
    Path("c.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    fault = refused("c.yaml")
    assert (fault.where, fault.found) == ("c.yaml:2:7", "the byte 0xe9")
