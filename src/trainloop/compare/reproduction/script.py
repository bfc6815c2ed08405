"""What all scripts share: the head that says what was found, the tensors, the comparison at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainloop.compare.key import title
from trainloop.compare.reproduction.scene import Reproduction, Scene, Source
from trainloop.compare.wording import place

IMPORTED = '''
def imported(file, name):
    """Import something from a file of your own; its path is as the command line had it."""
    spec = importlib.util.spec_from_file_location(f"_own_{Path(file).stem}", file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)

'''

SHOW = '''
def show(one, two):
    """Print both results at INDEX beside the recorded ones; return whether the difference is there."""
    for name, now in (("reference", one), ("candidate", two)):
        then = TENSORS.get(f"recorded.{name}")
        print(f"{name}  {value_of(now)}   recorded: {value_of(then)}")
    if one is None or two is None or one.shape != two.shape:
        return not (one is None and two is None)
    gap = torch.where(one == two, 0.0, (two.double() - one.double()).abs())
    print(f"difference at {list(INDEX)}: {gap[INDEX].item()}, largest: {gap.max().item()}")
@VERDICT@


def value_of(tensor):
    """Return the element at INDEX; what has no such element as a word."""
    if tensor is None:
        return "None"
    return tensor[INDEX].item() if len(INDEX) == tensor.dim() else f"a tensor of shape {tuple(tensor.shape)}"


def main():
    """Run both sides; 1 as long as the difference is there, 0 when it is gone."""
    there = show(reference(), candidate())
    print("the difference is there" if there else "the difference is gone")
    return int(there)


if __name__ == "__main__":
    sys.exit(main())
'''
ROUNDING = (
    '    print(f"taken for rounding: up to {ALLOWED}")\n    return not bool((gap <= ALLOWED).all())  # a NaN is not'
)
EXACT = """    # Every bit counts: 0 and -0 differ.
    one, two = (tensor.detach().contiguous().reshape(-1).view(torch.uint8) for tensor in (one, two))
    return not torch.equal(one, two)"""


@dataclass
class Script:
    """A script that grows.

    Args:
        imports: further lines of the head.
        helpers: functions that both sides use.
        sides: the functions ``reference`` and ``candidate``.
        constants: lines between the tensors and the functions.
        tensors: that the script reads.
        note: a paragraph for the head.
        needs_import_file: a part comes from a file of the user's own.
    """

    imports: list[str] = field(default_factory=list)
    helpers: list[str] = field(default_factory=list)
    sides: list[str] = field(default_factory=list)
    constants: list[str] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    note: str = ""
    needs_import_file: bool = False

    def own(self, text: str) -> str:
        """Return the expression for ``file.py:name``."""
        self.needs_import_file = True
        file, _, name = text.rpartition(":")
        return f"imported({code(file)}, {code(name)})"

    def add_import(self, line: str) -> None:
        """Add a line once."""
        if line not in self.imports:
            self.imports.append(line)

    def add_function(self, name: str, docstring: str, lines: Sequence[str]) -> None:
        """Add one of the two sides."""
        self.sides.append("\n".join([f"def {name}():", f'    """{docstring}"""', *(f"    {line}" for line in lines)]))

    def finish(self, scene: Scene) -> Reproduction:
        """Return the whole script with its tensors."""
        saved, strides = _saved({**self.tensors, **scene.recorded})
        imports = ["import importlib.util"] if self.needs_import_file else []
        own = sorted(line for line in self.imports if "trainloop" in line)
        blocks = [
            f'"""{_head(scene, self.note)}"""\n',
            "\n".join([*imports, "import sys", "from pathlib import Path", "", "import torch"]),
            "\n".join([*sorted(set(self.imports) - set(own)), "from safetensors.torch import load_file", *own]),
            "\n".join(["", *self._constants(scene, strides), "", ""]),
        ]
        functions = [IMPORTED.strip("\n")] if self.needs_import_file else []
        show = SHOW.replace("@VERDICT@", EXACT if scene.exact else ROUNDING).strip("\n")
        functions += [*(text.strip("\n") for text in (*self.helpers, *self.sides)), show]
        return Reproduction(saved, "\n".join(blocks) + "\n" + "\n\n\n".join(functions) + "\n")

    def _constants(self, scene: Scene, strides: Mapping[str, tuple[int, ...]]) -> list[str]:
        device = scene.differing.reference[0].device
        lines = [f"torch.set_num_threads({torch.get_num_threads()})  # their number decides about bits"]
        where = "" if device.type == "cpu" else f", device={str(device)!r}"
        lines.append(f'TENSORS = load_file(Path(__file__).with_name("tensors.safetensors"){where})')
        if strides:
            lines += [
                "STRIDES = {  # of what does not lie in memory in the usual order",
                *(f"    {code(name)}: {stride}," for name, stride in strides.items()),
                "}",
                "for name, stride in STRIDES.items():",
                "    tensor = TENSORS[name]",
                "    TENSORS[name] = torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype, device=tensor.device)",
                "    TENSORS[name].copy_(tensor)",
            ]
        lines.append(f"INDEX = {scene.differing.judged.difference.index!r}  # of the element that differed most")
        if not scene.exact:
            lines.append(f"ALLOWED = {scene.allowed!r}  # what rounding explains, measured on the reference")
        return [*lines, *self.constants]


def _head(scene: Scene, note: str) -> str:
    judged, record = scene.differing.judged, scene.record
    where = place(str(judged.key), judged.difference.index)
    case = "" if record.case == "config" else f" of the {record.case}"
    first = f"Step {record.step}{case}, stage {title(scene.stage)}: {where} is different on the candidate."
    sides = (scene.differing.reference[0].of, scene.differing.candidate[0].of)
    titles = "\n".join(f"{side.name}  {side.title}".replace("\\", "/") for side in sides)
    run = (
        "Run it in the folder where the comparison ran. It ends with 1 as long as the difference is there, with 0 when it "
        "is gone."
    )
    parts = [first, titles, *([textwrap.fill(note, 118)] if note else []), textwrap.fill(run, 118)]
    return "\n\n".join(parts).replace('"""', "'''") + "\n"


def _saved(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, tuple[int, ...]]]:
    """Return tensors as a file takes them, and the strides of those that lie in another order."""
    strides = {
        name: value.stride()
        for name, value in tensors.items()
        if not value.is_contiguous() and min(value.stride()) > 0 and not name.startswith("recorded.")
    }
    # A copy each, for the format refuses tensors that share memory.
    saved = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return saved, strides


def code(value: object) -> str:
    """Return a literal, its texts in double quotes."""
    text = repr(value)
    return text if '"' in text else text.replace("'", '"')


def wrapped(name: str, values: Sequence[str]) -> str:
    """Return a constant with some texts, in lines that fit the screen."""
    text = f"{name} = {code(tuple(values))}"
    if len(text) <= 118:
        return text
    inner = ", ".join(code(value) for value in values)
    rows = textwrap.wrap(inner, 112, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"{name} = (", *(f"    {row}" for row in rows[:-1]), f"    {rows[-1]},", ")"])


def literal(arguments: Mapping[str, object]) -> str:
    """Return keyword arguments as code."""
    return ", ".join(f"{name}={code(value)}" for name, value in arguments.items())


def describe(source: Source, stage: str) -> str:
    """Return the first line of a side's function."""
    return f"Run {stage} as the {source.name} does."
