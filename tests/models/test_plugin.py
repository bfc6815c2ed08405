import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from trainloop.errors import Fault, PluginError
from trainloop.models.plugin import is_plugin_name

Build = Callable[..., nn.Module]

GOOD = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, width=4, name="x"):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    def write(code: str) -> Path:
        file = tmp_path / "net.py"
        file.write_text(code, encoding="utf-8")
        return file

    return write


def refused(build: Build, file: Path, class_name: str = "Net", /, **changes: object) -> Fault:
    with pytest.raises(PluginError) as caught:
        build(f"{file}:{class_name}", **{"plugins": (file,), **changes})
    assert caught.value.exit_code == 2
    return caught.value.faults[0]


@pytest.mark.parametrize(
    ("name", "expected"), [("a/net.py:Net", True), ("net.py", True), ("resnet18", False), ("numpy", False)]
)
def test_a_plugin_name_is_told_from_a_models_name(name: str, expected: bool) -> None:
    assert is_plugin_name(name) is expected


def test_a_class_is_built_with_the_number_of_classes_and_the_arguments(build: Build, written) -> None:
    file = written(GOOD)
    model = build(f"{file}:Net", plugins=(file,), width=7)
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(7, 3, 3, 3), (7,), (5, 7), (5,)]


def test_a_class_that_takes_no_number_of_classes_is_built_without(build: Build, written) -> None:
    code = "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
    file = written(code + "        super().__init__(nn.Flatten(), nn.Linear(3072, 5))\n")
    assert build(f"{file}:Net", plugins=(file,))(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


def test_the_file_may_be_named_by_another_path(build: Build, written, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(GOOD)
    monkeypatch.chdir(file.parent)
    assert build("net.py:Net", plugins=(file.parent / "." / "net.py",)) is not None


def test_dataclasses_work_in_the_file(build: Build, written) -> None:
    settings = (
        "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass S:\n    n: int = 1\n"
    )
    file = written(settings + GOOD)
    assert build(f"{file}:Net", plugins=(file,)) is not None


def test_the_search_path_of_modules_is_not_changed(build: Build, written) -> None:
    file, before = written(GOOD), list(sys.path)
    build(f"{file}:Net", plugins=(file,))
    assert sys.path == before
    assert "net" not in sys.modules


@pytest.mark.parametrize("plugins", [(), (Path("other.py"),)])
def test_a_file_that_the_command_line_does_not_name_is_not_run(
    build: Build, written, plugins: tuple[Path, ...]
) -> None:
    file = written("raise SystemExit('this file was run')")
    fault = refused(build, file, plugins=plugins)
    assert (fault.what, fault.where) == ("a config alone never runs a file", "model.name")
    assert fault.found == f"{file}:Net"
    assert fault.help == f"if you trust this file, add: --plugin {file}"


def test_the_files_that_are_allowed_are_listed(build: Build, written) -> None:
    fault = refused(build, written(GOOD), plugins=(Path("other.py"), Path("a.py")))
    assert fault.expected == "one of the files named by --plugin: other.py, a.py"


@pytest.mark.parametrize("name", ["net.py", "net.py:", "net.py:a b", "net.py:Net:more"])
def test_a_name_without_a_class_shows_the_form(build: Build, name: str) -> None:
    with pytest.raises(PluginError) as caught:
        build(name)
    fault = caught.value.faults[0]
    assert (fault.what, fault.found) == ("the name in the file is missing", name)
    assert fault.expected == "path/to/file.py:Class"


def test_a_missing_file_is_named(build: Build, tmp_path: Path) -> None:
    fault = refused(build, tmp_path / "gone.py")
    assert (fault.what, fault.where) == ("there is no such file", str(tmp_path / "gone.py"))


def test_a_folder_in_place_of_a_file_is_named(build: Build, tmp_path: Path) -> None:
    (tmp_path / "net.py").mkdir()
    fault = refused(build, tmp_path / "net.py")
    assert fault.what == "this is a folder, not a file"


def test_a_syntax_error_is_shown_with_line_and_column(build: Build, written) -> None:
    file = written("x = 1\ny = = 2\n")
    fault = refused(build, file)
    assert (fault.what, fault.where) == ("the file cannot be imported", f"{file}:2:5")
    assert fault.found == "SyntaxError: invalid syntax (net.py, line 2)"


def test_bytes_that_are_no_text_are_refused(build: Build, written) -> None:
    file = written("")
    file.write_bytes(b"x = '\xff'\n")
    fault = refused(build, file)
    assert fault.what == "the file cannot be imported"
    assert "utf-8" in fault.found


def test_an_import_that_fails_is_shown_with_its_line(build: Build, written) -> None:
    file = written("import torch\nimport no_such_module_anywhere\n")
    fault = refused(build, file)
    assert fault.where == f"{file}:2"
    assert fault.found == "ModuleNotFoundError: No module named 'no_such_module_anywhere'"


def test_a_file_that_exits_is_an_error_too(build: Build, written) -> None:
    file = written("import sys\n\nsys.exit(3)\n")
    fault = refused(build, file)
    assert (fault.where, fault.found) == (f"{file}:3", "SystemExit: 3")


def test_a_file_that_failed_is_not_kept(build: Build, written) -> None:
    before = set(sys.modules)
    refused(build, written("raise ValueError('first try')"))
    assert not [name for name in set(sys.modules) - before if name.startswith("_trainloop_plugin_")]


def test_a_missing_class_lists_the_networks_and_the_nearest(build: Build, written) -> None:
    file = written(GOOD + "\nclass Other(nn.Module):\n    pass\n")
    fault = refused(build, file, "Nett")
    assert (fault.what, fault.where) == ("the file has no class Nett", str(file))
    assert (fault.expected, fault.help) == ("Net, Other", "did you mean 'Net'?")


@pytest.mark.parametrize(
    ("code", "kind"), [("Net = 3", "int"), ("class Net: pass", "type"), ("def Net(): pass", "function")]
)
def test_something_else_than_a_network_is_refused(build: Build, written, code: str, kind: str) -> None:
    fault = refused(build, written(code))
    assert fault.what == "Net is not a subclass of torch.nn.Module"
    assert (fault.found, fault.expected) == (f"Net is a {kind}", "a class derived from torch.nn.Module")


def test_an_argument_that_the_class_does_not_take_shows_its_signature(build: Build, written) -> None:
    file = written(GOOD)
    fault = refused(build, file, depth=3)
    assert fault.what == "Net does not take these arguments: got an unexpected keyword argument 'depth'"
    assert (fault.where, fault.found) == (f"{file}:4", "depth=3, num_classes=5")
    assert fault.expected == "Net(num_classes, width=4, name='x')"


def test_an_argument_that_nothing_gives_shows_the_signature(build: Build, written) -> None:
    fault = refused(build, written(GOOD.replace("width=4", "width")), name="y")
    assert fault.what == "Net does not take these arguments: missing a required argument: 'width'"


def test_a_constructor_that_raises_is_shown_with_its_line(build: Build, written) -> None:
    file = written(GOOD)
    fault = refused(build, file, width="wide")
    assert (fault.what, fault.where) == ("Net cannot be built", f"{file}:7")
    assert fault.found.startswith("TypeError: ")


def test_a_forward_that_raises_is_shown_with_its_line(build: Build, written) -> None:
    file = written(GOOD.replace(".mean((2, 3))", ""))
    fault = refused(build, file)
    assert (fault.what, fault.where) == ("the model fails on 2 images of 32×32", f"{file}:11")
    assert fault.found.startswith("RuntimeError: ")
    assert "shapes cannot be multiplied" in fault.found


def test_an_output_of_another_shape_is_refused(build: Build, written) -> None:
    fault = refused(build, written(GOOD.replace("nn.Linear(width, num_classes)", "nn.Linear(width, 9)")))
    assert fault.found == "an output of shape (2, 9) for 2 images of 32×32"
    assert fault.expected == "logits of shape (2, 5)"
