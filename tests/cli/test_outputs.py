"""Files beside the screen: refused before the work."""

from __future__ import annotations

import errno

import pytest

from trainloop.cli.outputs import check_outputs, named_files, printed
from trainloop.errors import ResourceError, UsageError
from trainloop.files import operations

PICTURES = {"--chart": ("svg", "png")}


def refused(files):
    with pytest.raises(UsageError) as caught:
        check_outputs(files, PICTURES)
    return caught.value.faults[0]


def test_files_and_one_output_to_the_screen_are_fine(tmp_path):
    check_outputs({"--json": "-", "--markdown": str(tmp_path / "a.md"), "--chart": "a.SVG"}, PICTURES)


def test_two_outputs_to_the_screen_are_refused():
    fault = refused({"--json": "-", "--markdown": "-"})
    assert (fault.what, fault.where) == ("standard output can take one of JSON and Markdown", "--json, --markdown")
    assert (fault.found, fault.expected) == ("- and -", "one of them -, the other a file")


@pytest.mark.parametrize("name", ["a.pdf", "a", "-"])
def test_another_kind_of_picture_is_refused(name):
    fault = refused({"--chart": name})
    assert (fault.what, fault.found) == ("the picture is an SVG or a PNG", name)
    assert fault.expected == "FILE.svg or FILE.png"


def test_a_folder_is_refused(tmp_path):
    fault = refused({"--json": str(tmp_path)})
    assert (fault.what, fault.where) == ("a folder stands where the file would go", "--json")


def test_what_goes_where():
    files = {"--json": "-", "--markdown": "a.md", "--chart": None}
    assert named_files(files) == {"--markdown": "a.md"}
    assert printed(files) == "json"
    assert printed({"--json": None, "--markdown": "-"}) == "markdown"
    assert printed({"--json": "a.json"}) == ""


def test_a_device_is_not_replaced():
    with pytest.raises(UsageError, match="a device or a pipe stands where the file would go"):
        check_outputs({"--json": "/dev/null"}, {})


def test_two_outputs_do_not_swallow_each_other(tmp_path):
    with pytest.raises(UsageError, match="two outputs go to the same file"):
        check_outputs({"--json": str(tmp_path / "a"), "--markdown": str(tmp_path / "a")}, {})


def test_a_place_where_no_file_can_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for name in (tmp_path / "file" / "a.html", tmp_path / "file" / "new" / "a.html"):
        with pytest.raises(ResourceError, match=r"cannot write a\.html") as caught:
            check_outputs({"--json": "-", "--html": str(name)}, {})
        assert caught.value.faults[0].where == str(name)


def test_what_the_disk_refuses_is_told_before_the_work(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(operations, "create", refuse)
    with pytest.raises(ResourceError, match=r"no permission to write a\.html"):
        check_outputs({"--html": str(tmp_path / "a.html")}, {})


def test_nothing_is_left_of_the_look_whether_a_file_can_be_made(tmp_path):
    there = tmp_path / "there.html"
    there.write_text("as before")
    check_outputs({"--html": str(there), "--json": str(tmp_path / "new" / "a.json")}, {})
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_text() == "as before"
