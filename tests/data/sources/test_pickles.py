from __future__ import annotations

import contextlib
import pickle
import random
import struct
import sys

import numpy as np
import pytest

from trainloop.data.cifar10 import PIXEL_BYTES
from trainloop.data.sources import pickles
from trainloop.data.sources.pickles import read_batch
from trainloop.errors import DataError

ROWS = 10
FORBIDDEN = ("os.", "subprocess.", "socket.", "shutil.", "open", "exec", "import", "compile", "ctypes.", "pty.")


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self._function, self._arguments = function, arguments

    def __reduce__(self):
        return self._function, self._arguments


def batch(**changes) -> dict:
    return {"data": np.zeros((ROWS, PIXEL_BYTES), np.uint8), "labels": [3] * ROWS, **changes}


def hostile() -> dict[str, bytes]:
    import os
    import subprocess

    return {
        "os.system": pickle.dumps(Call(os.system, "true"), 2),
        "subprocess": pickle.dumps(Call(subprocess.Popen, ["true"]), 4),
        "eval": pickle.dumps(Call(eval, "1+1"), 2),
        "getattr": pickle.dumps(Call(getattr, "text", "__class__"), 4),
        "inside data": pickle.dumps(batch(data=Call(os.system, "true")), 2),
        "inside labels": pickle.dumps(batch(labels=[Call(os.system, "true")]), 2),
        "instance opcode": b"(S'true'\nios\nsystem\n.",
        "object opcode": b"(cos\nsystem\nS'true'\no.",
        "newobj": b"\x80\x02cnumpy\nndarray\nK\x01\x85\x81.",
        "persistent": b"Pname\n.",
        "extension": b"\x80\x02\x82\x01.",
        "numpy load": b"cnumpy\nload\nS'x'\n\x85R.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.sum\x93.",
        "dotted module": b"\x80\x04\x8c\x15numpy.core.multiarray\x8c\x19_reconstruct.__globals__\x93.",
        "state of a function": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}U\x08__code__Ns\x86b.",
        "state of a type": b"\x80\x02cnumpy\nndarray\nN}U\x03sumNs\x86b.",
        "call of a type": b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.",
        "huge memo": b"\x80\x02Nr\xff\xff\xff\xff.",
        "huge string": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b".",
        "endless": b"\x80\x02" + b"0".join([b"N"] * 100_000) + b".",
        "encode": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        "deep": b"\x80\x02" + b"(" * 900 + b"t" * 900 + b".",
    }


HOSTILE = hostile()
EVENTS: list[str] | None = None


def _record(event: str, _: object) -> None:
    if EVENTS is not None:
        EVENTS.append(event)


sys.addaudithook(_record)


def audited(content: bytes) -> tuple[DataError, list[str]]:
    """Read a pickle that must be refused; return the error and what the interpreter saw meanwhile."""
    global EVENTS
    EVENTS = []
    try:
        with pytest.raises(DataError) as caught:
            read_batch(content, ROWS, PIXEL_BYTES, "data_batch_1")
        return caught.value, EVENTS
    finally:
        EVENTS = None


def test_the_audit_sees_what_an_ordinary_unpickler_does():
    global EVENTS
    EVENTS = []
    pickle.loads(HOSTILE["os.system"])  # noqa: S301 - shows that the audit below can fail
    seen, EVENTS = EVENTS, None
    assert "os.system" in seen


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickle_is_refused_without_doing_anything(name):
    error, events = audited(HOSTILE[name])
    assert "data_batch_1: not an official Python batch of CIFAR-10" in str(error)
    assert error.exit_code == 3
    assert [event for event in events if event.startswith(FORBIDDEN)] == []


def test_refusal_names_what_the_pickle_wanted():
    error, _ = audited(b"cposix\nsystem\nS'true'\n\x85R.")
    assert "a pickle that is not trusted: it names posix.system" in str(error)
    assert "use the binary version of the archive" in str(error)


def test_refusal_names_the_instruction():
    error, _ = audited(HOSTILE["persistent"])
    assert "it uses the instruction PERSID" in str(error)


def test_official_form_is_read(tiny):
    file = tiny.files[0]
    pixels, labels = read_batch(tiny.python()[file.stem], 10, PIXEL_BYTES, "file")
    assert pixels == tiny.pixels(file).tobytes()
    assert labels == tiny.labels(file)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_form_of_newer_pythons_is_read(protocol):
    data = np.arange(ROWS * PIXEL_BYTES, dtype=np.uint32).astype(np.uint8).reshape(ROWS, PIXEL_BYTES)
    pixels, labels = read_batch(pickle.dumps(batch(data=data), protocol), ROWS, PIXEL_BYTES, "file")
    assert pixels == data.tobytes()
    assert labels == [3] * ROWS


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (np.zeros((ROWS, 5), np.uint8), "(10, 5) and type u1"),
        (np.zeros((ROWS, PIXEL_BYTES), np.int8), "type i1"),
        (np.zeros((ROWS, PIXEL_BYTES), np.float64), "type f8"),
        (np.full((3, 3), None), "it holds an array of objects"),
        ([1, 2], "its data is not an array"),
    ],
)
def test_array_of_another_kind_is_refused(data, found):
    error, _ = audited(pickle.dumps(batch(data=data), 2))
    assert found in str(error)


def test_array_shorter_than_it_claims_is_refused(tiny):
    content = tiny.python()["data_batch_1"]
    short = content.replace(struct.pack("<I", 10 * PIXEL_BYTES), struct.pack("<I", 10), 1)
    audited(short)


@pytest.mark.parametrize("key", ["data", "labels"])
def test_missing_key_is_refused(key):
    content = batch()
    del content[key]
    error, _ = audited(pickle.dumps(content, 2))
    assert f"KeyError: '{key}'" in str(error)


@pytest.mark.parametrize("length", [0, 1, 10, 100, 10_000])
def test_truncated_pickle_is_refused(tiny, length):
    audited(tiny.python()["data_batch_1"][:length])


def test_only_five_names_can_be_looked_up():
    assert {f"{module}.{name}" for module, name in pickles.STAND_INS} == {
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.ndarray",
        "numpy.dtype",
        "_codecs.encode",
    }


def test_any_damage_gives_a_data_error_or_a_batch(tiny):
    randomness = random.Random(11)
    official, newer = tiny.python()["data_batch_1"], pickle.dumps(batch(), 4)
    for _ in range(500):
        content = bytearray(randomness.choice((official, newer)))
        for _ in range(randomness.randint(1, 5)):
            # The instructions stand before and after the pixels.
            position = randomness.choice((randomness.randrange(200), -1 - randomness.randrange(60)))
            content[position] = randomness.choice(b".(RcbtuQq}]\x80\xff\x00")
        with contextlib.suppress(DataError):
            pixels, labels = read_batch(bytes(content), ROWS, PIXEL_BYTES, "file")
            assert len(pixels) == ROWS * PIXEL_BYTES
            assert isinstance(labels, list)
