"""Hostile files of every kind that trainloop reads, each a folder and the command that meets them.

Every maker yields (name, words of the command) after it has put its files into a new folder below ``room``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile

from hostile_archives import DATA, IMPORT, archives, member
from hostile_contents import configs, gadgets, headers, images, put

from trainloop.checkpoint.folder import MANIFEST, STATE, TENSORS

RUN = "run"
NEWEST = "step-00000007"
TRAIN = ("train", "--config", "run/config.yaml", "--run-dir", RUN, "--progress", "none")


class Room:
    """Where samples are made.

    Args:
        path: holds a numbered folder for each.
        stopped, finished: run folders to copy.
        secret: a file outside, with its folder.
        tiny: a small CIFAR-10.
        every: take each so-many-th of those samples that differ only in the file that holds them.
    """

    def __init__(self, path, stopped, finished, secret, tiny, every):
        self.path, self.stopped, self.finished, self.secret, self.tiny = path, stopped, finished, secret, tiny
        self.every, self.count = every, 0

    def some(self, contents):
        return dict(list(contents.items())[:: self.every])

    def empty(self):
        self.count += 1
        folder = self.path / f"{self.count}" / "here"
        (folder / DATA).mkdir(parents=True)
        return folder

    def run(self, *, finished=False):
        """Return the folder of a copied run; of an unfinished one only the newest checkpoint."""
        folder = self.empty()
        shutil.copytree(self.finished if finished else self.stopped, folder / RUN)
        for other in (folder / RUN / "checkpoints").iterdir():
            if other.name != NEWEST and not finished:
                shutil.rmtree(other)
        return folder

    def checkpoint(self):
        folder = self.run()
        return folder, folder / RUN / "checkpoints" / NEWEST

    def forged(self, name, content):
        """Return the folder of a run in whose checkpoint a file was exchanged, and the manifest says so."""
        folder, checkpoint = self.checkpoint()
        (checkpoint / name).write_bytes(content)
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (checkpoint / MANIFEST).write_text(json.dumps(manifest))
        return folder

    def state(self, **changes):
        """Return the folder of a run whose ``state.json`` says something else, consistently."""
        folder, checkpoint = self.checkpoint()
        state = json.loads((checkpoint / STATE).read_text())
        shutil.rmtree(folder.parent)
        return self.forged(STATE, json.dumps({**state, **changes}).encode())


def checkpoints(room):
    for what, content in gadgets().items():
        for name in (TENSORS, STATE, MANIFEST)[:: room.every]:
            folder, checkpoint = room.checkpoint()
            (checkpoint / name).write_bytes(content)
            yield f"{what} as {name}", folder, TRAIN
        for name in (TENSORS, STATE):
            yield f"{what} as {name}, its digest right", room.forged(name, content), TRAIN
    for what, content in headers().items():
        yield f"tensors: {what}", room.forged(TENSORS, content), TRAIN
    yield from states(room)
    yield from manifests(room)
    yield from things(room)


def states(room):
    _, checkpoint = room.checkpoint()
    state = json.loads((checkpoint / STATE).read_text())
    position, first = state["position"], next(iter(state["random"]))
    texts = {
        "deep nesting": b"[" * 100_000 + b"]" * 100_000,
        "no text": b"\xff\xfe\x00",
        "a number of 10,000 digits": json.dumps(state).replace('"step": 7', '"step": ' + "9" * 10_000, 1).encode(),
        "1e999": json.dumps(state).replace('"epoch_loss_sum": ', '"epoch_loss_sum": 1e999', 1).encode(),
    }
    for what, text in texts.items():
        yield f"state: {what}", room.forged(STATE, text), TRAIN
    changes = {
        "a class to build": {"_target_": "os.system", "_args_": ["true"]},
        "an instantiator": {"_instantiator_": "builtins:eval", "config": {**state["config"], "_partial_": True}},
        "python objects": {"config": {"!!python/object/apply:os.system": ["true"]}},
        "metrics of 2^62 bytes": {"metrics_bytes": 1 << 62},
        "metrics of 2^80 bytes": {"metrics_bytes": 1 << 80},
        "another step": {"position": {**position, "step": 10**15}},
        "a step of text": {"position": {**position, "step": "__import__('os')"}},
        "a negative step": {"position": {**position, "step": -7}},
        "no random streams": {"random": {}},
        "random streams of text": {"random": {first: "os"}},
        "a best epoch elsewhere": {"best": {"folder": "../../../secret", "value": "x"}},
        "plug-ins elsewhere": {"plugins": {"../../evil.py": "0" * 64}},
        "strides of 2^60": {"strides": {"model/stem.0.weight": [1 << 60] * 4, "model/head.weight": [1 << 60, 1]}},
        "state of a parameter that is not there": {"optimizer_numbers": {"__class__": {"__init__": 1}}},
        "another model": {"config": {**state["config"], "model": {"name": "os:system", "args": {}, "weights": None}}},
    }
    for what, change in changes.items():
        yield f"state: {what}", room.state(**change), TRAIN


def manifests(room):
    _, checkpoint = room.checkpoint()
    manifest = json.loads((checkpoint / MANIFEST).read_text())
    files = manifest["files"]
    sizes = {**files, TENSORS: {**files[TENSORS], "bytes": 1 << 62}}
    texts = {
        "deep nesting": b"[" * 100_000,
        "no text": b"\xff" * 100,
        "a tag": b"!!python/object/apply:os.system ['true']",
        "files elsewhere": json.dumps({**manifest, "files": {**files, "../../../secret.txt": files[STATE]}}).encode(),
        "an absolute file": json.dumps({**manifest, "files": {**files, "/etc/passwd": files[STATE]}}).encode(),
        "the name of a path": json.dumps({**manifest, "name": "../" + NEWEST}).encode(),
        "a file of 2^62 bytes": json.dumps({**manifest, "files": sizes}).encode(),
        "a key twice": (json.dumps(manifest)[:-1] + ', "name": "step-00000099"}').encode(),
        "70 million bytes": b" " * 70_000_000,
    }
    for what, text in texts.items():
        folder, checkpoint = room.checkpoint()
        (checkpoint / MANIFEST).write_bytes(text)
        yield f"manifest: {what}", folder, TRAIN


def things(room):
    """Yield checkpoints in which something else stands in place of a file, or of the folder."""
    for name in (TENSORS, STATE, MANIFEST):
        for what in ("link", "pipe", "folder", "device", "dangling link"):
            folder, checkpoint = room.checkpoint()
            (checkpoint / name).unlink()
            put(what, checkpoint / name, room.secret)
            yield f"a {what} as {name}", folder, TRAIN
    folder, checkpoint = room.checkpoint()
    manifest = json.loads((checkpoint / MANIFEST).read_text())
    manifest["files"][TENSORS]["bytes"] = 1 << 40
    (checkpoint / MANIFEST).write_text(json.dumps(manifest))
    os.truncate(checkpoint / TENSORS, 1 << 40)
    yield "tensors of a terabyte of nothing", folder, TRAIN
    for name in (NEWEST, "step-00000099", ".step-00000099.1-ab.tmp"):
        folder, checkpoint = room.checkpoint()
        (checkpoint / TENSORS).write_bytes(b"damaged, so that the start is refused")
        shutil.rmtree(checkpoint.with_name(name), ignore_errors=True)
        checkpoint.with_name(name).symlink_to(room.secret.parent)
        yield f"a link to a folder as {name}", folder, TRAIN


def run_folders(room):
    """Yield runs that go on in a folder where something hostile stands in place of a file of the run."""
    for name in (
        "metrics.jsonl",
        "config.yaml",
        "env.json",
        "summary.json",
        "weights.safetensors",
        "curves.png",
        ".lock",
    ):
        for what in ("link", "pipe", "dangling link"):
            folder = room.run()
            shutil.copy(folder / RUN / "config.yaml", folder / "config.yaml")
            (folder / RUN / name).unlink(missing_ok=True)
            put(what, folder / RUN / name, room.secret)
            yield f"a {what} as {name}", folder, ("train", "--config", "config.yaml", *TRAIN[3:])
    folder = room.run()
    shutil.rmtree(folder / RUN / "checkpoints")
    (folder / RUN / "checkpoints").symlink_to(room.secret.parent)
    yield "a link as the folder of the checkpoints", folder, TRAIN
    first = (
        b'{"event": "step", "step": 1, "epoch": 1, "lr": 0.1, "loss": 2, "correct": 1, "samples": 250, "seconds": 1}\n'
    )
    contents = {
        "pickles": gadgets()["a pickle of protocol 2"].ljust(20_000, b"\n"),
        "deep nesting": b"[" * 50_000,
        "no text": b"\xff" * 20_000,
        "a list a line": b"[1, 2]\n" * 5_000,
        "unknown keys": b'{"event": "step", "__class__": 1}\n' * 900,
        "texts for numbers": first.replace(b"0.1", b'"os"') * 300,
        "numbers of any size": first.replace(b'"step": 1,', b'"step": 1' + b"0" * 400 + b",") * 100,
        "an event that is an object": b'{"event": {"a": 1}}\n' * 1_500,
    }
    for what, content in contents.items():
        folder = room.run()
        (folder / RUN / "metrics.jsonl").write_bytes(content)
        yield f"metrics: {what}", folder, TRAIN
    for what, text in configs().items():
        folder = room.run()
        shutil.rmtree(folder / RUN / "checkpoints")
        shutil.copy(folder / RUN / "config.yaml", folder / "config.yaml")
        (folder / RUN / "config.yaml").write_bytes(text)
        yield f"the config of a run to go on with: {what}", folder, ("train", "--config", "config.yaml", *TRAIN[3:])


def config_files(room):
    for what, text in configs().items():
        folder = room.empty()
        (folder / "config.yaml").write_bytes(text)
        yield f"config: {what}", folder, ("train", "--config", "config.yaml", "--run-dir", RUN)
    evil = "import os\nos.system('true')\nclass Net: pass\n"
    for name in (
        *("os:system", "posix:system", "builtins:eval", "os.system", "evil.py:Net", "./evil.py:Net", "evil:Net"),
        *(
            "torchvision.os",
            "torchvision.__import__",
            "torchvision.models.resnet18",
            "trainloop.models.small_cnn:small_cnn",
        ),
    ):
        folder = room.empty()
        (folder / "evil.py").write_text(evil)
        (folder / "config.yaml").write_text(f"model: {{name: '{name}'}}\ntrain: {{max_steps: 1}}\n")
        yield f"model.name: {name}", folder, ("train", "--config", "config.yaml", "--run-dir", RUN)
    for what, content in room.some({**gadgets(), **headers()}).items():
        folder = room.empty()
        (folder / "start").write_bytes(content)
        (folder / "config.yaml").write_text("model: {name: small_cnn, weights: start}\ntrain: {max_steps: 1}\n")
        yield f"model.weights: {what}", folder, ("train", "--config", "config.yaml", "--run-dir", RUN)
    for what in ("pipe", "folder", "device", "dangling link"):
        folder = room.empty()
        put(what, folder / "start", room.secret)
        (folder / "config.yaml").write_text("model: {name: small_cnn, weights: start}\ntrain: {max_steps: 1}\n")
        yield f"model.weights: a {what}", folder, ("train", "--config", "config.yaml", "--run-dir", RUN)


def image_files(room):
    for what, content in images().items():
        folder = room.empty()
        for split in ("train", "test"):
            for name in ("a", "b"):
                (folder / DATA / split / name).mkdir(parents=True)
                (folder / DATA / split / name / "0.png").write_bytes(content)
        (folder / "config.yaml").write_text("data: {dataset: folder, path: data}\ntrain: {max_steps: 1}\n")
        yield f"an image to train on: {what}", folder, ("train", "--config", "config.yaml", "--run-dir", RUN)
        folder = room.run(finished=True)
        (folder / "image.png").write_bytes(content)
        yield f"an image to classify: {what}", folder, ("predict", RUN, "image.png")
    for what in ("pipe", "device", "folder", "dangling link"):
        folder = room.run(finished=True)
        put(what, folder / "image.png", room.secret)
        yield f"an image to classify: a {what}", folder, ("predict", RUN, "image.png")


def finished_runs(room):
    """Yield finished runs, to be evaluated, with hostile files."""
    _, environment = None, json.loads((room.finished / "env.json").read_text())
    summary = json.loads((room.finished / "summary.json").read_text())
    data = environment["data"]
    contents = {
        "env.json": {
            "nothing": {},
            "a list": [1],
            "no data": {"data": None},
            "classes of another kind": {"data": {**data, "classes": 10**9}},
            "images of 10^9 pixels a side": {"data": {**data, "image_shape": [3, 10**9, 10**9]}},
            "images of text": {"data": {**data, "image_shape": "os.system"}},
            "means of text": {"data": {**data, "mean": ["a", "b", "c"]}},
            "a million means": {"data": {**data, "mean": [0.5] * 1_000_000}},
        },
        "summary.json": {
            "nothing": {},
            "a text": "os.system",
            "a digest of another kind": {**summary, "weights_sha256": 7},
            "an accuracy of text": {**summary, "test_accuracy": "__import__('os')"},
        },
    }
    for name, changes in contents.items():
        for what, value in changes.items():
            folder = room.run(finished=True)
            (folder / RUN / name).write_text(json.dumps(value))
            yield f"{name}: {what}", folder, ("evaluate", RUN)
        for what, text in room.some({"deep nesting": b"[" * 100_000, "no text": b"\xff", **gadgets()}).items():
            folder = room.run(finished=True)
            (folder / RUN / name).write_bytes(text)
            yield f"{name}: {what}", folder, ("evaluate", RUN)
    for name in ("env.json", "summary.json", "weights.safetensors", "config.yaml"):
        for what in ("pipe", "device", "folder", "dangling link"):
            folder = room.run(finished=True)
            (folder / RUN / name).unlink()
            put(what, folder / RUN / name, room.secret)
            yield f"{name}: a {what}", folder, ("evaluate", RUN)
    for what, content in room.some({**gadgets(), **headers()}).items():
        folder = room.run(finished=True)
        (folder / RUN / "weights.safetensors").write_bytes(content)
        yield f"weights.safetensors: {what}", folder, ("evaluate", RUN)


def controls(room):
    """Yield (name, folder, words, broken reader): what the watch must see."""
    content = gadgets()["a zipped torch file"]
    yield "unpickled tensors", room.forged(TENSORS, content), TRAIN, "pickled_tensors", "os.system"
    folder = room.empty()
    with tarfile.open(folder / DATA / "copy", "w:gz") as archive:
        header, text = member(str(room.secret.with_name("extracted")))
        archive.addfile(header, io.BytesIO(text))
    yield "an extracted archive", folder, IMPORT, "extracted_archive", "open for writing"
    folder = room.run()
    (folder / RUN / "metrics.jsonl").unlink()
    shutil.copy(room.stopped / "metrics.jsonl", room.secret.with_name("their.jsonl"))
    (folder / RUN / "metrics.jsonl").symlink_to(room.secret.with_name("their.jsonl"))
    yield "a link that is followed", folder, TRAIN, "trusted_links", "open for writing"
    folder = room.empty()
    (folder / "config.yaml").write_text("seed: !!python/object/apply:os.system ['true']\n")
    words = ("train", "--config", "config.yaml", "--run-dir", RUN)
    yield "a config with tags", folder, words, "trusted_names", "os.system"


def harmless(room):
    """Yield commands on honest files, so that what any run loads is loaded."""
    runs = [room.run() for _ in range(2)]
    yield ("train", "--config", f"{runs[0]}/run/config.yaml", "--run-dir", f"{runs[0]}/run", "--progress", "none")
    folder = room.run(finished=True)
    (folder / "image.png").write_bytes(next(iter(room.tiny.images().values())))
    yield ("predict", str(folder / RUN), str(folder / "image.png"))
    yield ("evaluate", str(folder / RUN))
    yield ("train", "--config", f"{folder}/missing.yaml")
    yield ("train", "--set", "a=1", "--set", "b=2")
    (folder / "no image.png").write_bytes(b"text")
    yield ("predict", str(folder / RUN), str(folder / "no image.png"))
    yield ("train", "--set", "model.name=resnet9000", "--run-dir", str(folder / "other"))
    for form, prefix in (
        ("binary", "cifar-10-batches-bin/"),
        ("python", "cifar-10-batches-py/"),
        ("sheets", "package/"),
    ):
        folder = room.empty()
        with tarfile.open(folder / "copy", "w:gz") as archive:
            for name, content in getattr(room.tiny, form)().items():
                header, _ = member(prefix + name, content)
                archive.addfile(header, io.BytesIO(content))
        yield ("data", "import", str(folder / "copy"), "--to", str(folder / DATA))
    images = room.empty()
    for name, content in room.tiny.images().items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(content)
    yield ("data", "import", str(images), "--to", str(images / DATA))


FAMILIES = (checkpoints, run_folders, config_files, archives, image_files, finished_runs)


def all_samples(room):
    for family in FAMILIES:
        for name, folder, words in family(room):
            yield family.__name__, name, folder, words
