"""Which checkpoints stay, as a state machine: saving, best epochs, going on and back, kills and refusals, in any order."""

from __future__ import annotations

import contextlib
import errno
import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trainloop.checkpoint.folder import TENSORS, folder_name, read_checkpoint
from trainloop.checkpoint.layout import Best
from trainloop.checkpoint.store import CheckpointStore
from trainloop.errors import CheckpointError, ResourceError
from trainloop.files import operations

NAMES = ("create", "write", "fsync", "replace", "rename_folder", "unlink", "mkdir", "rmdir")


class Killed(BaseException):
    """Stands for the end of the process."""


class Faults:
    """Make one file operation fail, or every one from it on; after a kill none is made.

    Args:
        patch: puts it in the place of the real ones.
    """

    def __init__(self, patch):
        self.left, self.how = None, None
        for name in NAMES:
            patch.setattr(operations, name, self.wrapped(name, getattr(operations, name)))

    @contextlib.contextmanager
    def planned(self, how, after):
        self.left, self.how = (None if how is None else after), how
        try:
            yield
        finally:
            self.left = self.how = None

    def wrapped(self, name, real):
        def operation(*args):
            if self.left is None:
                return real(*args)
            if self.how == "renames fail":
                if name in ("replace", "rename_folder"):
                    raise OSError(errno.EIO, "refused")
                return real(*args)
            self.left -= 1
            if self.left < 0 and self.how == "kill":
                raise Killed
            if self.left == -1 or (self.left < 0 and self.how == "refuse from then on"):
                raise OSError(errno.ENOSPC, "refused")
            return real(*args)

        return operation


HOWS = st.sampled_from([None, None, None, "kill", "refuse once", "refuse from then on", "renames fail"])


class Retention(RuleBasedStateMachine):
    """One run folder, and what must be in it."""

    sequences = 0
    home: Path
    make = staticmethod(lambda *_, **__: None)
    bits = staticmethod(lambda _: None)

    def __init__(self):
        super().__init__()
        Retention.sequences += 1
        self.run = Path(tempfile.mkdtemp(dir=self.home))
        self.patch = pytest.MonkeyPatch()
        self.faults = Faults(self.patch)
        self.saved, self.alive, self.best = {}, [], None
        self.step, self.past, self.dead = 0, 0, False

    def teardown(self):
        self.patch.undo()
        shutil.rmtree(self.run)

    @initialize(keep=st.integers(1, 3))
    def begin(self, keep):
        self.keep = keep
        self.store = CheckpointStore(self.run, keep)

    def place(self, name):
        return self.store._place(Path(name))

    def required(self, alive):
        """Return the newest so many, and the best."""
        newest = sorted(alive, key=self.place, reverse=True)[: self.keep]
        return {*newest, *({self.best.folder} & set(alive) if self.best else ())}

    def is_whole(self, name):
        try:
            return self.bits(read_checkpoint(self.store.path / name)) == self.bits(self.saved[name])
        except CheckpointError:
            return False

    def require(self, alive):
        missing = [name for name in self.required(alive) if not self.is_whole(name)]
        assert missing == [], f"lost: {missing} of {alive}"
        self.alive = [name for name in alive if self.is_whole(name)]

    @precondition(lambda self: not self.dead)
    @rule(steps=st.integers(1, 3), closes=st.booleans(), improves=st.booleans(), how=HOWS, after=st.integers(0, 24))
    def save(self, steps, closes, improves, how, after):
        self.step += steps
        name = folder_name(self.step, epoch_closed=closes)
        if closes and improves:
            self.best = Best(folder=name, value=float(self.step))
        before = self.saved.get(name)
        self.saved[name] = self.make(self.step, epoch_closed=closes, best=self.best, past=self.past)
        reported = False
        with self.faults.planned(how, after):
            try:
                self.store.save(self.saved[name])
                reported = True
            except Killed:
                self.dead = True
            except ResourceError:
                pass
        assert not reported or self.is_whole(name)
        if self.is_whole(name):
            self.require([*self.alive, name])
        else:
            self.saved[name] = before
            self.require(self.alive)

    @rule()
    def go_on(self):
        """Begin a new process that goes on from the newest."""
        self.store = CheckpointStore(self.run, self.keep)
        found = self.store.newest()
        if found.path is None:
            assert self.alive == []
            self.store.clean(after=None)
            self.step = 0
        else:
            self.go_on_from(found.path.name)
        self.dead = False

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), how=st.sampled_from([None, None, "kill"]), after=st.integers(0, 8))
    def go_back(self, data, how, after):
        """Begin a new process that goes on from a checkpoint of the user's choice."""
        name = data.draw(st.sampled_from(sorted(self.alive)))
        self.store = CheckpointStore(self.run, self.keep)
        with self.faults.planned(how, after):
            try:
                self.go_on_from(name)
                self.dead = False
            except Killed:
                self.alive = [name for name in self.alive if self.is_whole(name)]
                self.dead = True

    def go_on_from(self, name):
        self.store.clean(after=self.store.path / name)
        further = [path.name for path in self.store.folders() if self.place(path.name) > self.place(name)]
        assert further == [], "a past that is not shared any more would win"
        left = [path.name for path in (*self.run.iterdir(), *self.store.path.iterdir()) if path.name.startswith(".")]
        assert left == [], "left behind by a dead process"
        self.best = self.saved[name].facts.best
        self.require([other for other in self.alive if self.place(other) <= self.place(name)])
        self.step, self.past = self.place(name)[0], self.past + 1

    @precondition(lambda self: self.dead and len(self.alive) > 1)
    @rule()
    def rot(self):
        """Damage the newest while no process runs."""
        newest = max(self.alive, key=self.place)
        (self.store.path / newest / TENSORS).write_bytes(b"rotten")
        self.alive.remove(newest)

    @invariant()
    def the_newest_is_what_was_saved_last(self):
        if not self.alive:
            return
        found = CheckpointStore(self.run, self.keep).newest()
        assert found.path is not None
        assert found.path.name == max(self.alive, key=self.place)
        assert self.bits(found.saved) == self.bits(self.saved[found.path.name])


def play(count, *, phases=tuple(Phase)):
    Retention.sequences = 0
    run_state_machine_as_test(
        Retention,
        settings=settings(
            max_examples=count,
            stateful_step_count=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Retention.sequences


class Broken:
    """Ways to keep the wrong ones."""

    def forgets_the_best(self, *, newest, best):
        del best
        kept = [path for path in self.folders() if path != newest][: self.keep - 1]
        self._remove([path for path in self.folders() if path not in (newest, *kept)])

    def keeps_one_less(self, *, newest, best):
        kept = [path for path in self.folders() if path != newest and path.name != best][: max(0, self.keep - 2)]
        self._remove([path for path in self.folders() if path not in (newest, *kept) and path.name != best])

    def cleans_nothing_further(self, *, after):
        del after

    def removes_before_it_writes(self, saved):
        for path in self.folders()[self.keep - 1 :]:
            self._remove([path])
        return SAVE(self, saved)


SAVE = CheckpointStore.save
CONTROLS = {
    "_prune": (Broken.forgets_the_best, Broken.keeps_one_less),
    "clean": (Broken.cleans_nothing_further,),
    "save": (Broken.removes_before_it_writes,),
}


def test_what_is_needed_stays_whatever_happens(quick_path, saved_at, bits, amount, counted, monkeypatch):
    monkeypatch.setattr(Retention, "home", quick_path, raising=False)
    monkeypatch.setattr(Retention, "make", staticmethod(saved_at))
    monkeypatch.setattr(Retention, "bits", staticmethod(bits))
    sequences = play(amount(500, 5_000))
    assert sequences >= 500
    counted(f"{sequences:,} sequences of up to 12 acts")
    for name, broken in itertools.chain.from_iterable(((key, one) for one in ways) for key, ways in CONTROLS.items()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CheckpointStore, name, broken)
            with pytest.raises(AssertionError):
                play(500, phases=(Phase.generate,))
