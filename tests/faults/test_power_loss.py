"""Power loss: whatever of the writes that nobody flushed the disk forgets, the last checkpoint that was reported is there.

A shim records every file operation of a run and keeps two pictures of the disk: what the operating system shows, and what is
flushed. After each operation it makes states that a file system may show after a power cut: of a file, what was
flushed and none, some or all of what was not, or zeros in its place; of a folder, any beginning of the changes of
its entries (created, renamed, removed) since it was flushed, each folder by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import stat
from pathlib import Path

import pytest

from trainloop import files
from trainloop.checkpoint import store as store_module
from trainloop.checkpoint.store import CheckpointStore
from trainloop.files import AppendFile, operations, whole

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
MODES = (*SHARES, *(f"{share} and zeros" for share in SHARES[:-1]))
"""how much of what a file gained since its last flush is there, and whether zeros stand in place of the rest"""


class File:
    """A file: what is flushed, and the writes since."""

    def __init__(self):
        self.flushed, self.pending = b"", []

    def content(self, mode=1.0):
        share, _, rest = str(mode).partition(" and ")
        if not rest and float(share) == 0:
            return self.flushed
        content = self.flushed
        for kind, value in self.pending:
            content = content + value if kind == "write" else content[:value].ljust(value, b"\0")
        pairs = zip(content, self.flushed, strict=False)
        sure = next(
            (place for place, (one, other) in enumerate(pairs) if one != other), min(len(content), len(self.flushed))
        )
        kept = content[: sure + round(float(share) * (len(content) - sure))]
        return kept.ljust(len(content), b"\0") if rest else kept

    def flush(self):
        self.flushed, self.pending = self.content(), []


class Folder:
    """A folder: the entries that are flushed, and the changes since, each of which comes whole or not at all."""

    def __init__(self):
        self.flushed, self.pending = {}, []

    def entries(self, changes):
        entries = dict(self.flushed)
        for change in self.pending[:changes]:
            for name, node in change.items():
                entries.pop(name, None)
                if node is not None:
                    entries[name] = node
        return entries

    def now(self):
        return self.entries(len(self.pending))

    def flush(self):
        self.flushed, self.pending = self.now(), []


class Disk:
    """Record the file operations below a folder, and collect states after a power cut.

    Args:
        base: the folder; everything in it now is flushed.
        patch: puts the shim in the place of the real operations.
        forgets: "file" or "folder": a flush of this kind does nothing; the negative controls.
        cap: how many states to make after one operation.
    """

    def __init__(self, base, patch, *, forgets=None, cap=12):
        self.base, self.root, self.forgets, self.cap = base, Folder(), forgets, cap
        self.open, self.states, self.phase, self.randomness = {}, {}, None, random.Random(25)
        self.operations, self.killed_in = 0, None
        for name in ("create", "open_to_append", "write", "truncate", "fsync", "replace", "rename_folder"):
            patch.setattr(operations, name, self.recorded(getattr(operations, name), getattr(self, name)))
        for name in ("unlink", "mkdir", "rmdir"):
            patch.setattr(operations, name, self.recorded(getattr(operations, name), getattr(self, name)))

    def recorded(self, real, note):
        def operation(*args):
            if self.killed_in is not None:
                self.killed_in -= 1
                if self.killed_in < 0:
                    raise Killed
            result = real(*args)
            note(result, *args)
            self.operations += 1
            self.collect()
            return result

        return operation

    def place(self, path):
        """Return the folder that a path stands in, and its name there."""
        *folders, name = path.relative_to(self.base).parts
        node = self.root
        for folder in folders:
            node = node.now()[folder]
        return node, name

    def create(self, descriptor, path):
        folder, name = self.place(path)
        self.open[descriptor] = node = folder.now().get(name) or File()
        if name not in folder.now():
            folder.pending.append({name: node})

    open_to_append = create

    def write(self, written, descriptor, content):
        self.open[descriptor].pending.append(("write", bytes(content[:written])))

    def truncate(self, _, descriptor, length):
        self.open[descriptor].pending.append(("truncate", length))

    def fsync(self, _, descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        if self.forgets == ("folder" if is_folder else "file"):
            return
        if not is_folder:
            self.open[descriptor].flush()
            return
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        folder, name = self.place(path) if path != self.base else ({}, None)
        (folder.now()[name] if name else self.root).flush()

    def replace(self, _, source, target):
        folder, name = self.place(source)
        folder.pending.append({name: None, target.name: folder.now()[name]})

    rename_folder = replace

    def unlink(self, _, path):
        folder, name = self.place(path)
        folder.pending.append({name: None})

    rmdir = unlink

    def mkdir(self, _, path):
        folder, name = self.place(path)
        folder.pending.append({name: Folder()})

    def changed(self, node, kind):
        """Return every folder, or file, that may be lost or changed, also where nothing is left of its name."""
        found, seen, todo = [], set(), [node]
        while todo:
            node = todo.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, kind) and node.pending:
                found.append(node)
            if isinstance(node, Folder):
                todo += [*node.flushed.values(), *(n for change in node.pending for n in change.values() if n)]
        return found

    def collect(self):
        """Make states that may stand on the disk after a power cut now."""
        folders, contents = self.changed(self.root, Folder), self.changed(self.root, File)
        lengths = [range(len(folder.pending) + 1) for folder in folders]
        total = len(MODES) ** min(len(contents), 3)
        for length in lengths:
            total *= len(length)
        if total <= self.cap:
            choices = itertools.product(itertools.product(*lengths), itertools.product(MODES, repeat=len(contents)))
        else:
            choices = (
                (
                    [self.randomness.choice(length) for length in lengths],
                    self.randomness.choices(MODES, k=len(contents)),
                )
                for _ in range(self.cap)
            )
        for counts, modes in choices:
            chosen = {id(node): count for node, count in zip(folders, counts, strict=True)}
            chosen |= {id(node): mode for node, mode in zip(contents, modes, strict=True)}
            tree = dict(self.tree(self.root, Path(), chosen))
            self.states.setdefault((self.phase, tuple(sorted(tree.items()))), None)

    def tree(self, node, path, chosen):
        for name, child in node.entries(chosen.get(id(node), len(node.pending))).items():
            if isinstance(child, Folder):
                yield str(path / name), None
                yield from self.tree(child, path / name, chosen)
            else:
                yield str(path / name), child.content(chosen.get(id(child), 1.0))


class Killed(BaseException):
    """Stands for the end of the process: no operation is made after it."""


RUN = "runs/mine"


def play(disk, saved_at, *, keep, killed_in):
    """Go through the life of a run; ``disk.phase`` is always what may be found, one of it at least.

    Args:
        disk: records it.
        saved_at: step → a checkpoint.
        keep: how many checkpoints stay.
        killed_in: operations of the save of step 5 before the process is killed; another one goes on.
    """
    base, written = disk.base, {}
    run = base / RUN

    def save(store, metrics, step, may, past=0):
        metrics.append(f"{past} {step}\n" * 3)
        saved = saved_at(step, past=past, metrics_bytes=metrics.sync())
        written[past, step] = saved, metrics.path.read_bytes()
        disk.phase = (*may, (past, step))
        store.save(saved)
        disk.phase = ((past, step),)
        disk.collect()

    disk.phase = (None,)
    files.make_new_folder(run)
    files.write_text(run / "config.yaml", "seed: 0\n")
    metrics, store = AppendFile(run / "metrics.jsonl", fresh=True), CheckpointStore(run, keep)
    may = disk.phase
    for step in (1, 2, 3, 4):
        save(store, metrics, step, may)
        may = disk.phase
    disk.killed_in = killed_in
    with contextlib.suppress(Killed):
        save(store, metrics, 5, may)
    disk.killed_in = None
    may = disk.phase
    # Back to the furthest but one: what is further is of a past that this run does not share.
    store = CheckpointStore(run, keep)
    start = (store.folders()[1:] or store.folders())[0]
    back = int(start.name.removeprefix("step-"))
    disk.phase = (*may, (0, back))
    store.clean(after=start)
    disk.phase = may = ((0, back),)
    disk.collect()
    metrics = AppendFile(metrics.path, keep=len(written[0, back][1]))
    for step in (back + 1, back + 2, back + 3):
        save(store, metrics, step, may, past=1)
        may = disk.phase
    metrics.close()
    files.write_bytes(run / "weights.safetensors", b"weights")
    return written


def judge(base, phase, tree, written, bits, saved_at):
    """Put a state on the disk, recover from it, and say what is wrong; an empty text is well."""
    run = base / RUN
    for name, content in tree:
        if content is None:
            (base / name).mkdir()
        else:
            (base / name).write_bytes(content)
    store = CheckpointStore(run, keep=2)
    found = store.newest()
    if found.saved is None:
        if None not in phase or found.rejected:
            return f"no checkpoint, {phase[0]} was reported"
        return ""
    key = next((key for key in phase if key and bits(written[key][0]) == bits(found.saved)), None)
    if key is None:
        return f"{found.path.name} is none of {phase}, or not what was saved"
    metrics = run / "metrics.jsonl"
    content = metrics.read_bytes() if metrics.exists() else b""
    if content[: len(written[key][1])] != written[key][1]:
        return f"the metrics before {key} are lost"
    store.clean(after=found.path)
    left = [path.name for path in (*run.iterdir(), *store.path.iterdir()) if path.name.startswith(".")]
    if left:
        return f"left behind: {left}"
    AppendFile(metrics, keep=len(written[key][1])).close()
    store.save(saved_at(100))
    again = CheckpointStore(run, keep=2).newest()
    return "" if again.path is not None and again.path.name == "step-00000100" else "the next save is not found"


def lived(base, saved_at, bits, *, cap, keep=2, killed_in=9, forgets=None, broken=()):
    """Play a run, judge every state, and return how many there were and what is wrong."""
    (base / "live").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for where, name, worse in broken:
            patch.setattr(where, name, worse)
        disk = Disk(base / "live", patch, forgets=forgets, cap=cap)
        written = play(disk, saved_at, keep=keep, killed_in=killed_in)
    wrong = []
    for number, (phase, tree) in enumerate(disk.states):
        (base / f"{number}").mkdir()
        fault = judge(base / f"{number}", phase, tree, written, bits, saved_at)
        if fault:
            wrong.append(fault)
    return disk.operations, len(disk.states), wrong


CONTROLS = {
    "files are not flushed": {"forgets": "file"},
    "folders are not flushed": {"forgets": "folder"},
    "names of new folders are not flushed": {"broken": [(whole, "make_lasting", lambda path: operations.mkdir(path))]},
    "removed checkpoints are not flushed": {"broken": [(store_module, "sync_folder", lambda _: None)]},
}


def test_no_power_cut_loses_what_was_reported(quick_path, saved_at, bits, amount, counted):
    lives = list(itertools.product((1, 2, 3), amount((3, 9), range(25))))
    states = made = 0
    for number, (keep, killed_in) in enumerate(lives):
        life = quick_path / f"life {number}"
        operations_made, found, wrong = lived(life, saved_at, bits, cap=amount(50, 300), keep=keep, killed_in=killed_in)
        assert wrong == [], (keep, killed_in)
        states, made = states + found, made + operations_made
        shutil.rmtree(life)
    assert states >= 500
    counted(f"{states:,} states of the disk, after {made:,} file operations of {len(lives)} runs")
    for number, (what, control) in enumerate(CONTROLS.items()):
        assert lived(quick_path / f"control {number}", saved_at, bits, cap=50, **control)[2], what
