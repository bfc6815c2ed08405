"""The house: who imports whom, where the modes are named, who writes files, and what the command line loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "trainloop"
FILES = sorted(SOURCE.rglob("*.py"))

LEAVES = {"errors", "files"}
MODE_HOMES = {"stages", "config", "cli"}
HEAVY = ("torch", "torchvision", "matplotlib", "safetensors", "PIL", "numpy")


def imported_modules(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def package_of(module):
    return module.split(".")[1] if module.startswith("trainloop.") else None


def package_of_file(path):
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def edges():
    found = defaultdict(set)
    for path in FILES:
        for module in imported_modules(path):
            package = package_of(module)
            if package and package != package_of_file(path):
                found[package_of_file(path)].add(package)
    return found


def test_no_two_packages_import_each_other():
    found = edges()
    mutual = [(one, two) for one in found for two in found[one] if one in found.get(two, ())]
    assert mutual == []


def room_of(parts, house):
    """The sub-package of a package that a module lies in; None where it lies elsewhere, or in the package itself."""
    inside = parts[: len(house)] == house and len(parts) > len(house) + 1
    return parts[len(house)] if inside else None


def test_no_two_rooms_of_a_package_import_each_other():
    houses = {path.parent.relative_to(SOURCE).parts for path in FILES if path.parent != SOURCE}
    for house in houses:
        found = defaultdict(set)
        for path in FILES:
            room = room_of(path.relative_to(SOURCE).parts, house)
            for module in imported_modules(path) if room else ():
                # One more part stands for the name that is imported from a package.
                other = room_of((*module.split(".")[1:], "name"), house) if module.startswith("trainloop.") else None
                if other and other != room:
                    found[room].add(other)
        assert [(one, two) for one in found for two in found[one] if one in found.get(two, ())] == [], house


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("errors", set()),
        ("files", {"errors"}),
        ("config", {"errors", "files"}),
        ("manual", set()),
        ("data", {"errors", "files", "config"}),
        ("plugin", {"errors", "config"}),
        ("own_kernel", {"errors", "manual", "plugin"}),
        ("intervals", set()),
        ("models", {"errors", "files", "config", "data", "plugin"}),
        ("stages", {"errors", "config", "manual"}),
        ("loop", {"errors", "config", "data", "random_state", "stages"}),
        ("random_state", set()),
        ("interruption", {"errors"}),
        ("checkpoint", {"errors", "files", "config", "interruption", "loop", "stages"}),
        ("report", {"errors", "files", "loop", "estimate"}),
        ("runs", {"errors", "files", "config", "checkpoint", "loop", "report"}),
        (
            "compare",
            {
                *{"errors", "config", "data", "device", "manual", "models", "stages", "loop", "build", "report"},
                *{"files", "intervals", "own_kernel", "plugin", "random_state", "tolerance", "ulp"},
            },
        ),
        ("verify_resume", {"errors", "files", "config", "checkpoint", "loop", "report"}),
        (
            "bench",
            {
                *{"errors", "config", "device", "intervals", "manual", "module_text", "own_kernel", "plugin", "report"},
                "tolerance",
            },
        ),
        ("module_text", {"errors", "config", "manual"}),
        ("explain_conv", {"errors", "files", "config", "manual", "models", "module_text", "report"}),
        ("doctor", {"errors", "files", "data", "device", "manual", "report", "tolerance"}),
        (
            "explain",
            {
                *{"errors", "config", "data", "device", "manual", "stages", "loop", "build", "report"},
                *{"random_state", "ulp"},
            },
        ),
    ],
)
def test_imports_run_one_way(package, allowed):
    assert edges()[package] <= allowed


def test_manual_imports_torch_and_the_standard_library_only():
    modules = {module for path in FILES if package_of_file(path) == "manual" for module in imported_modules(path)}
    foreign = {
        module
        for module in modules
        if module.split(".")[0] not in sys.stdlib_module_names | {"torch"} and not module.startswith("trainloop.manual")
    }
    assert foreign == set()


def test_the_modes_are_named_in_few_rooms():
    named = {package_of_file(path) for path in FILES if '"manual"' in path.read_text(encoding="utf-8")}
    assert named <= MODE_HOMES


WRITERS = {SOURCE / "files"}


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def writes_a_file(node):
    function = node.func
    if (isinstance(function, ast.Attribute) and function.attr == "open") or (
        isinstance(function, ast.Name) and function.id == "open"
    ):
        texts = [
            arg.value for arg in [*node.args, *(kw.value for kw in node.keywords)] if isinstance(arg, ast.Constant)
        ]
        return any(isinstance(text, str) and set(text) & set("wax+") and set(text) <= set("rwaxbt+") for text in texts)
    if not isinstance(function, ast.Attribute):
        return False
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    return (owner, function.attr) in {
        *{("torch", "save"), ("os", "rename"), ("os", "replace"), ("os", "open"), ("os", "write"), ("shutil", "copy")}
    } or (function.attr in {"write_text", "write_bytes"} and owner not in {"files", "disk"})


def test_every_file_write_goes_through_the_file_module():
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in FILES
        if path.parent not in WRITERS
        for node in calls(path)
        if writes_a_file(node)
    ]
    assert found == []


def test_nothing_is_unpickled_freely_or_extracted():
    text = {path: path.read_text(encoding="utf-8") for path in FILES}
    for word in ("torch.load(", "pickle.load(", "pickle.loads(", ".extractall(", "yaml.load("):
        hits = [path.name for path, content in text.items() if word in content]
        assert hits == [], word


def loaded_by(code):
    script = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def test_the_command_line_loads_nothing_heavy():
    assert loaded_by("import trainloop.cli") == "[]"


def test_help_loads_nothing_heavy():
    code = "\nfrom trainloop.cli import app\ntry:\n    app(['train', '--help'])\nexcept SystemExit:\n    pass"
    assert loaded_by(code) == "[]"
