"""Damaged checkpoints: whatever happens to the newest, it is passed over with its reason, or nothing of it has changed."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil

import pytest

from trainloop.checkpoint import folder as folder_module
from trainloop.checkpoint.folder import MANIFEST, STATE, TENSORS, verify
from trainloop.checkpoint.store import CheckpointStore

NAMES = (TENSORS, STATE, MANIFEST)
NEWEST, SECOND = "step-00000003", "step-00000002"


@pytest.fixture(scope="module")
def three(tmp_path_factory, saved_at):
    """Return a run folder with three checkpoints."""
    run = tmp_path_factory.mktemp("three")
    store = CheckpointStore(run, keep=3)
    for step in (1, 2, 3):
        store.save(saved_at(step))
    return run


def flips(randomness, contents, count):
    """Yield checkpoints that differ in one bit, at places drawn over all bytes of all files."""
    places = [(name, place, bit) for name in NAMES for place in range(len(contents[name])) for bit in range(8)]
    for name, place, bit in randomness.sample(places, min(count, len(places))):
        damaged = bytearray(contents[name])
        damaged[place] ^= 1 << bit
        yield f"bit {bit} of byte {place} of {name}", {**contents, name: bytes(damaged)}


def cuts(randomness, contents, count):
    """Yield checkpoints of which one file is cut off."""
    for _ in range(count):
        name = randomness.choice(NAMES)
        place = randomness.randrange(len(contents[name]))
        yield f"{name} cut at {place}", {**contents, name: contents[name][:place]}


def zeros(randomness, contents, count):
    """Yield checkpoints with a range of zeros, as a lost page of the disk leaves it."""
    while count:
        name = randomness.choice(NAMES)
        begin, length = randomness.randrange(len(contents[name])), randomness.choice((1, 16, 64, 512, 4096))
        damaged = bytearray(contents[name])
        damaged[begin : begin + length] = bytes(len(damaged[begin : begin + length]))
        if damaged != contents[name]:
            count -= 1
            yield f"{length} zeros at {begin} of {name}", {**contents, name: bytes(damaged)}


def edited(contents, **changes):
    """Return a checkpoint with an edited manifest."""
    return {**contents, MANIFEST: json.dumps({**json.loads(contents[MANIFEST]), **changes}).encode()}


def forged(contents, name, content):
    """Return a checkpoint in which a file was exchanged and the manifest says so."""
    files = json.loads(contents[MANIFEST])["files"]
    files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return edited({**contents, name: content}, files=files)


def by_hand(contents, others):
    """Yield damage of other kinds: exchanged, missing, edited."""
    for name in NAMES:
        yield f"{name} of another checkpoint", {**contents, name: others[name]}
        yield f"no {name}", {key: value for key, value in contents.items() if key != name}
        yield f"{name} empty", {**contents, name: b""}
        yield f"{name} longer", {**contents, name: contents[name] + b"}"}
    yield "an empty folder", {}
    yield "all files of another checkpoint", others
    files = json.loads(contents[MANIFEST])["files"]
    yield "a later version", edited(contents, schema_version=2)
    yield "an earlier version", edited(contents, schema_version=0)
    yield "the name of another", edited(contents, name=SECOND)
    yield "a file more", edited(contents, files={**files, "more.bin": files[STATE]})
    yield "a file less", edited(contents, files={STATE: files[STATE]})
    yield "a path", edited(contents, files={**files, "../" + STATE: files[STATE]})
    yield "digests exchanged", edited(contents, files={TENSORS: files[STATE], STATE: files[TENSORS]})
    yield "a digest of all zeros", edited(contents, files={**files, TENSORS: {**files[TENSORS], "sha256": "0" * 64}})
    yield "a short digest", edited(contents, files={**files, TENSORS: {**files[TENSORS], "sha256": "00"}})
    yield "a negative size", edited(contents, files={**files, TENSORS: {**files[TENSORS], "bytes": -1}})
    yield "a huge size", edited(contents, files={**files, TENSORS: {**files[TENSORS], "bytes": 1 << 62}})
    yield "a key more", edited(contents, more=1)
    state = json.loads(contents[STATE])
    for key in state:
        rest = {name: value for name, value in state.items() if name != key}
        yield f"consistent, state without {key}", forged(contents, STATE, json.dumps(rest).encode())
    other_step = {**state, "position": {**state["position"], "step": 9}}
    yield "consistent, another step", forged(contents, STATE, json.dumps(other_step).encode())
    no_number = json.dumps(state).replace('"epoch_loss_sum": 0.0', '"epoch_loss_sum": NaN').encode()
    yield "consistent, NaN in the state", forged(contents, STATE, no_number)
    header = contents[TENSORS]
    yield "consistent, header cut", forged(contents, TENSORS, header[:40])
    yield "consistent, header longer", forged(contents, TENSORS, b"\xff" + header[1:])
    yield "consistent, other dtype", forged(contents, TENSORS, header.replace(b'"F32"', b'"F64"', 1))
    yield "consistent, other shape", forged(contents, TENSORS, header.replace(b"[4,3,2,2]", b"[4,3,2,9]", 1))


def contents_of(folder):
    return {name: (folder / name).read_bytes() for name in NAMES}


def judged(run, damages, bits, expected):
    """Damage the newest in every way; return how many were passed over, told harmless, and believed although changed."""
    newest = run / "checkpoints" / NEWEST
    passed_over, harmless, silent = 0, 0, []
    for what, contents in damages:
        shutil.rmtree(newest)
        newest.mkdir()
        for name, content in contents.items():
            (newest / name).write_bytes(content)
        found = CheckpointStore(run, keep=3).newest()
        assert found.path is not None, what
        if found.path.name == NEWEST:
            # A manifest may be changed without changing what it says: white space, say.
            same = bits(found.saved) == bits(expected[NEWEST])
            harmless, silent = harmless + same, silent if same else [*silent, what]
            continue
        assert found.path.name == SECOND, what
        assert bits(found.saved) == bits(expected[SECOND]), what
        ((path, error),) = found.rejected
        assert path == newest, what
        assert re.search("the checkpoint is (damaged|of another version)", str(error)), what
        assert error.faults[0].found, what
        passed_over += 1
    return passed_over, harmless, silent


def test_no_damage_is_believed(quick_path, three, saved_at, bits, amount, counted):
    randomness = random.Random(6)
    contents = contents_of(three / "checkpoints" / NEWEST)
    others = contents_of(three / "checkpoints" / SECOND)
    damages = [
        *flips(randomness, contents, amount(3_000, 1_000_000)),
        *cuts(randomness, contents, amount(1_000, 10_000)),
        *zeros(randomness, contents, amount(500, 5_000)),
        *by_hand(contents, others),
    ]
    expected = {NEWEST: saved_at(3), SECOND: saved_at(2)}
    run = shutil.copytree(three, quick_path / "run")
    passed_over, harmless, silent = judged(run, damages, bits, expected)
    counted(f"{passed_over} passed over, {harmless} without effect")
    assert silent == []
    assert passed_over + harmless == len(damages) >= 4_500
    assert harmless <= 0.05 * len(damages)

    # The control: a reader that believes the sizes and digests unseen loads other weights without a word.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            folder_module, "verify", lambda path: {name: (path / name).read_bytes() for name in (TENSORS, STATE)}
        )
        weights = [damage for damage in damages if damage[0].startswith("bit ") and TENSORS in damage[0]]
        assert judged(run, weights, bits, expected)[2]


def test_what_stands_beside_the_files_changes_nothing(tmp_path, three, saved_at, bits):
    run = shutil.copytree(three, tmp_path / "run")
    store = CheckpointStore(run, keep=3)
    newest = store.path / NEWEST
    (newest / "notes.txt").write_text("mine")
    (newest / "@eaDir").mkdir()
    (newest / "@eaDir" / "thumb").write_bytes(b"x")
    (store.path / "step-00000099").write_text("a file")
    (store.path / "step-99").mkdir()
    assert bits(store.newest().saved) == bits(saved_at(3))
    for step in (4, 5, 6):
        store.save(saved_at(step))
    assert [path.name for path in store.folders()] == [f"step-0000000{step}" for step in (6, 5, 4)]
    assert not newest.exists()


def damage(folder, name=TENSORS):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_says_what_it_passed_over_and_goes_on(tmp_path, stopped_run, command, name):
    run = shutil.copytree(stopped_run, tmp_path / "run")
    damage(run / "checkpoints" / "step-00000007", name)
    code, out, _ = command("train", "--config", run / "config.yaml", "--run-dir", run, "--progress", "none")
    assert code == 0
    (said,) = (line for line in out.splitlines() if line.startswith("passed over"))
    assert "step-00000007" in said
    assert "the checkpoint is damaged" in said
    assert any(file in said for file in NAMES)
    assert "going on from step 6 of 12" in out


def test_nothing_but_damage_is_exit_4_and_changes_nothing(tmp_path, stopped_run, command):
    run = shutil.copytree(stopped_run, tmp_path / "run")
    folders = sorted((run / "checkpoints").iterdir())
    assert len(folders) == 3
    for folder, name in zip(folders, NAMES, strict=True):
        damage(folder, name)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    code, out, err = command("train", "--config", run / "config.yaml", "--run-dir", run)
    assert code == 4
    for folder in folders:
        assert folder.name in out
        assert folder.name in err
    assert "begin anew: --resume none" in err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ((b'"model/head.weight"', b'"model/heed.weight"'), "head.weight"),
        ((b'"F32"', b'"I32"'), "int32"),
        ((b'"optimizer/', b'"optimises/'), "optimises/"),
    ],
)
def test_a_consistent_forgery_of_another_model_is_refused_by_name(tmp_path, stopped_run, command, change, named):
    run = shutil.copytree(stopped_run, tmp_path / "run")
    newest = run / "checkpoints" / "step-00000007"
    contents = contents_of(newest)
    assert change[0] in contents[TENSORS]
    for name, content in forged(contents, TENSORS, contents[TENSORS].replace(*change, 1)).items():
        (newest / name).write_bytes(content)
    verify(newest)
    code, _, err = command("train", "--config", run / "config.yaml", "--run-dir", run)
    assert code == 4
    assert named in err
