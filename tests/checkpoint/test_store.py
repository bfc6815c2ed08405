"""The checkpoints of a run: which one is taken, which ones stay, and what a crash between two file operations leaves."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from trainloop.checkpoint.folder import TENSORS
from trainloop.checkpoint.layout import Best
from trainloop.checkpoint.store import CheckpointStore
from trainloop.errors import ResourceError
from trainloop.files import operations


def names(store):
    return [path.name for path in store.folders()]


def test_the_newest_stay_and_the_best(tmp_path, saved_at):
    store = CheckpointStore(tmp_path, keep=2)
    best = Best(folder="step-00000010-end", value=0.5)
    store.save(saved_at(10, epoch_closed=True, best=best))
    for step in (20, 30, 40):
        store.save(saved_at(step, best=best))
    assert names(store) == ["step-00000040", "step-00000030", "step-00000010-end"]


def test_the_end_of_an_epoch_is_further_than_its_last_step(tmp_path, saved_at):
    store = CheckpointStore(tmp_path)
    store.save(saved_at(10, epoch_closed=True))
    store.save(saved_at(10))
    assert store.newest().path == store.path / "step-00000010-end"


def test_a_damaged_checkpoint_is_passed_over_and_does_not_count(tmp_path, saved_at):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (1, 2):
        store.save(saved_at(step))
    (store.path / "step-00000002" / TENSORS).write_bytes(b"")
    again = CheckpointStore(tmp_path, keep=2)
    found = again.newest()
    assert found.path == store.path / "step-00000001"
    assert [path.name for path, _ in found.rejected] == ["step-00000002"]
    again.save(saved_at(3))
    assert names(again) == ["step-00000003", "step-00000001"]


def test_the_same_place_is_saved_once_and_mended_if_damaged(tmp_path, saved_at):
    store = CheckpointStore(tmp_path)
    assert store.save(saved_at(1))[1] > 0
    assert store.save(saved_at(1))[1] == 0
    (store.path / "step-00000001" / TENSORS).write_bytes(b"")
    again = CheckpointStore(tmp_path)
    assert again.save(saved_at(1))[1] > 0
    assert again.newest().path is not None


def test_what_lies_further_on_than_the_start_is_removed(tmp_path, saved_at):
    store = CheckpointStore(tmp_path, keep=9)
    for step in (1, 2, 3):
        store.save(saved_at(step))
    store.clean(after=store.path / "step-00000002")
    assert names(store) == ["step-00000002", "step-00000001"]


def test_the_start_is_known_however_its_path_is_written(tmp_path, saved_at, monkeypatch):
    """A path that is compared as text would take the start for a stranger, and remove it."""
    store = CheckpointStore(tmp_path / "run", keep=9)
    for step in (1, 2, 3):
        store.save(saved_at(step))
    monkeypatch.chdir(tmp_path)
    CheckpointStore(Path("run")).clean(after=store.path / "step-00000002")
    assert names(store) == ["step-00000002", "step-00000001"]


def test_a_start_elsewhere_removes_nothing_here(tmp_path, saved_at):
    here, there = CheckpointStore(tmp_path / "here"), CheckpointStore(tmp_path / "there")
    here.save(saved_at(5))
    there.save(saved_at(1))
    here.clean(after=there.path / "step-00000001")
    here.clean(after=None)
    assert names(here) == ["step-00000005"]


def test_what_a_dead_process_left_half_done_is_removed(tmp_path, saved_at):
    store = CheckpointStore(tmp_path)
    store.save(saved_at(1))
    (tmp_path / ".weights.safetensors.1-ab.tmp").write_bytes(b"half")
    half = store.path / ".step-00000002.1-ab.tmp"
    half.mkdir()
    (half / TENSORS).write_bytes(b"half")
    store.clean(after=store.path / "step-00000001")
    assert list(tmp_path.iterdir()) == [store.path]
    assert names(store) == [path.name for path in store.path.iterdir()] == ["step-00000001"]


OPERATIONS = ("create", "write", "fsync", "rename_folder", "unlink", "mkdir", "rmdir")


class Crash(BaseException):
    """Stands for the end of the process: nothing that runs after it may touch the disk."""


class Breaking:
    """Make the k-th operation fail; after a crash every further one does nothing.

    Args:
        monkeypatch: puts it in the place of the real ones.
        at: which operation fails, counted from 1; 0 for none.
        how: an errno, "short" for half a write, or "crash".
        every: fail at all later ones too.
    """

    def __init__(self, monkeypatch, at, how, *, every=False):
        self.count, self.at, self.how, self.every, self.dead = 0, at, how, every, False
        for name in OPERATIONS:
            monkeypatch.setattr(operations, name, self.wrapped(name, getattr(operations, name)))

    def wrapped(self, name, real):
        def operation(*args):
            if self.dead:
                raise Crash
            self.count += 1
            hit = self.at and (self.count == self.at or (self.every and self.count > self.at))
            if hit and self.how == "crash":
                self.dead = True
                raise Crash
            if hit and self.how == "short":
                return real(args[0], args[1][: (len(args[1]) + 1) // 2]) if name == "write" else real(*args)
            if hit:
                raise OSError(self.how, "refused")
            return real(*args)

        return operation


def cycle(store, saved_at):
    """Save a third checkpoint: the one that also removes the first."""
    store.save(saved_at(3))


def operations_of_a_cycle(tmp_path, saved_at):
    with pytest.MonkeyPatch.context() as patch:
        store = prepared(tmp_path / "count", saved_at)
        breaking = Breaking(patch, 0, "none")
        cycle(store, saved_at)
    return breaking.count


def prepared(folder, saved_at):
    store = CheckpointStore(folder, keep=2)
    for step in (1, 2):
        store.save(saved_at(step))
    return store


FAILURES = ["crash", "short", errno.ENOSPC, errno.EIO, errno.EACCES]


@pytest.mark.parametrize("every", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("how", FAILURES, ids=str)
def test_whatever_fails_the_newest_verified_checkpoint_is_not_lost(tmp_path, saved_at, how, every):
    total = operations_of_a_cycle(tmp_path, saved_at)
    assert total > 12
    for at in range(1, total + 1):
        folder = tmp_path / f"{at}"
        store = prepared(folder, saved_at)
        claimed = True
        with pytest.MonkeyPatch.context() as patch:
            Breaking(patch, at, how, every=every)
            try:
                cycle(store, saved_at)
            except (Crash, ResourceError):
                claimed = False
        after = CheckpointStore(folder, keep=2)
        found = after.newest()
        assert found.saved is not None, at
        assert found.rejected == (), at
        step = found.saved.facts.position.step
        assert step == 3 if claimed else step in (2, 3), at
        after.clean(after=found.path)
        assert all(not path.name.startswith(".") for path in after.path.iterdir()), at
        after.save(saved_at(4))
        assert CheckpointStore(folder).newest().path == after.path / "step-00000004", at


def test_a_writer_that_skips_the_hidden_name_fails_this_test(tmp_path, saved_at, monkeypatch):
    """The negative control: files written straight under the final name leave a checkpoint that is half there."""
    import contextlib

    from trainloop.checkpoint import folder

    @contextlib.contextmanager
    def straight(path, **_):
        operations.mkdir(path)
        yield path

    monkeypatch.setattr(folder, "staged_folder", straight)
    with pytest.raises(AssertionError):
        test_whatever_fails_the_newest_verified_checkpoint_is_not_lost(tmp_path, saved_at, "crash", every=False)
