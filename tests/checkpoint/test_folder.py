"""One checkpoint on the disk: it comes back bit for bit, or not at all."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainloop.checkpoint.folder import MANIFEST, STATE, TENSORS, folder_name, read_checkpoint, write_checkpoint
from trainloop.errors import CheckpointError, NonFiniteError


@pytest.fixture
def path(tmp_path, saved_at):
    folder = tmp_path / folder_name(7, epoch_closed=False)
    write_checkpoint(folder, saved_at(7))
    return folder


def test_everything_comes_back_bit_for_bit(path, saved_at):
    before, after = saved_at(7), read_checkpoint(path)
    assert after.tensors.keys() == before.tensors.keys()
    for name, tensor in before.tensors.items():
        assert torch.equal(after.tensors[name], tensor)
        assert after.tensors[name].dtype == tensor.dtype
        assert after.tensors[name].stride() == tensor.stride()
    assert after.facts.position == before.facts.position


def test_the_folder_holds_three_files_and_nothing_is_left_beside_it(path):
    assert {file.name for file in path.iterdir()} == {TENSORS, STATE, MANIFEST}
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_non_finite_is_saved(tmp_path, saved_at, value):
    saved = saved_at(3, **{"optimizer/weight/exp_avg": torch.tensor([1.0, value])})
    with pytest.raises(NonFiniteError, match=r"stage step: .*\n  found: optimizer/weight/exp_avg"):
        write_checkpoint(tmp_path / "step-00000003", saved)
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_share_memory_are_saved_each(tmp_path, saved_at):
    whole = torch.arange(6.0)
    saved = saved_at(1, **{"model/a": whole[:3], "model/b": whole, "model/c": whole})
    write_checkpoint(tmp_path / "step-00000001", saved)
    read = read_checkpoint(tmp_path / "step-00000001").tensors
    assert [read[f"model/{name}"].tolist() for name in "abc"] == [[0, 1, 2], list(range(6)), list(range(6))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, saved_at):
    folder = tmp_path_factory.mktemp("whole") / "step-00000007"
    write_checkpoint(folder, saved_at(7))
    return folder


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_no_damage_is_half_believed(whole, data):
    folder = whole.parent / "damaged" / whole.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    file = folder / data.draw(st.sampled_from([TENSORS, STATE, MANIFEST]))
    content = bytearray(file.read_bytes())
    damage = data.draw(st.sampled_from(["flip", "cut", "zeros", "missing"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if damage == "flip":
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "cut":
        del content[place:]
    elif damage == "zeros":
        content[place : place + 16] = bytes(len(content[place : place + 16]))
    if damage == "missing":
        file.unlink()
    elif bytes(content) == file.read_bytes():
        return
    else:
        file.write_bytes(content)
    try:
        read = read_checkpoint(folder)
    except CheckpointError:
        return
    # A manifest may be changed without changing what it says: white space, say.
    assert file.name == MANIFEST
    assert torch.equal(read.tensors["model/weight"], read_checkpoint(whole).tensors["model/weight"])


def test_files_swapped_between_checkpoints_are_refused(path, tmp_path, saved_at):
    other = tmp_path / "step-00000008"
    write_checkpoint(other, saved_at(8))
    shutil.copy(other / TENSORS, path / TENSORS)
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors"):
        read_checkpoint(path)


def test_a_checkpoint_under_another_name_is_refused(path):
    moved = path.rename(path.with_name("step-00000009"))
    with pytest.raises(CheckpointError, match="the checkpoint step-00000007 under another name"):
        read_checkpoint(moved)


def test_a_link_is_no_file(path, tmp_path):
    (tmp_path / "elsewhere").write_bytes((path / STATE).read_bytes())
    (path / STATE).unlink()
    (path / STATE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="not a plain file"):
        read_checkpoint(path)


@pytest.mark.parametrize("strides", [[1, 2, 3], [1, 1, 1, 1], [0, 0, 0, 0], [10**9, 1, 1, 1]])
def test_strides_that_are_no_order_of_the_axes_are_refused(path, strides):
    import hashlib

    state = json.loads((path / STATE).read_text())
    state["strides"]["model/weight"] = strides
    content = json.dumps(state).encode()
    (path / STATE).write_bytes(content)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][STATE] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="an order of the axes"):
        read_checkpoint(path)
