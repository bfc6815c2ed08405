"""Contents of hostile files, by what they are."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import struct
import zlib

import torch


class Gadget:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def gadgets():
    """Return pickles and their kin that run a program wherever they are loaded the old way."""
    run = Gadget(os.system, "true")
    whole, zipped = io.BytesIO(), io.BytesIO()
    torch.save({"model/weight": torch.zeros(2), "x": run}, whole, _use_new_zipfile_serialization=False)
    torch.save({"model/weight": torch.zeros(2), "x": run}, zipped)
    return {
        "a pickle of protocol 0": pickle.dumps(run, 0),
        "a pickle of protocol 2": pickle.dumps({"tensors": run}, 2),
        "a pickle of protocol 5": pickle.dumps({"tensors": run}, 5),
        "a legacy torch file": whole.getvalue(),
        "a zipped torch file": zipped.getvalue(),
    }


def safetensors(header, content=b"", *, length=None):
    """Return a file with this header (JSON text, or a value)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def f32(shape, begin, end):
    return {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}


def headers():
    """Return safetensors files with every kind of evil header."""
    zeros = bytes(64)
    nested = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    many = (
        b"{" + b",".join(b'"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(300_000)) + b"}"
    )
    return {
        "a header of 2^63 bytes": safetensors({}, length=1 << 63),
        "a header longer than the file": safetensors({}, zeros, length=1_000_000),
        "a header of no bytes": safetensors(b""),
        "nothing": b"",
        "seven bytes": bytes(7),
        "overlapping tensors": safetensors({"a": f32([4], 0, 16), "b": f32([4], 8, 24)}, zeros[:24]),
        "offsets turned round": safetensors({"a": f32([4], 16, 0)}, zeros[:16]),
        "offsets beyond the end": safetensors({"a": f32([400], 0, 1600)}, zeros),
        "a hole between tensors": safetensors({"a": f32([1], 0, 4), "b": f32([1], 32, 36)}, zeros[:36]),
        "a negative shape": safetensors({"a": f32([-4], 0, 16)}, zeros[:16]),
        "a shape that overflows": safetensors({"a": f32([1 << 62, 4, 4], 0, 16)}, zeros[:16]),
        "no elements of a huge shape": safetensors({"a": f32([0, 1 << 62, 1 << 62], 0, 0)}),
        "a shape of fractions": safetensors({"a": f32([2.5], 0, 10)}, zeros[:10]),
        "a shape of 100,000 axes": safetensors({"a": f32([1] * 100_000, 0, 4)}, zeros[:4]),
        "an unknown dtype": safetensors({"a": {**f32([4], 0, 16), "dtype": "O"}}, zeros[:16]),
        "a name twice": safetensors(b'{"a":%s,"a":%s}' % ((json.dumps(f32([4], 0, 16)).encode(),) * 2), zeros[:16]),
        "names with paths": safetensors({"../../a": f32([4], 0, 16), "/etc/x": f32([0], 16, 16)}, zeros[:16]),
        "metadata of another kind": safetensors({"__metadata__": {"a": {"b": 1}}, "a": f32([4], 0, 16)}, zeros[:16]),
        "metadata with code": safetensors(
            {"__metadata__": {"_target_": "os.system"}, "__import__('os')": f32([4], 0, 16)}, zeros[:16]
        ),
        "deep nesting": safetensors(nested),
        "300,000 tensors": safetensors(many),
        "a header that is a list": safetensors([1, 2]),
        "a header that is no text": safetensors(b"\xff\xfe" * 8),
        "a GGUF file": b"GGUF" + bytes(60),
    }


def configs():
    """Return config files that are no YAML that a config needs."""
    lines = [b"a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [b"%c: &%c [%s]" % (98 + n, 98 + n, b", ".join([b"*%c" % (97 + n)] * 9)) for n in range(8)]
    return {
        "a call": b"!!python/object/apply:os.system ['true']\n",
        "a call as a value": b"seed: !!python/object/apply:os.system ['true']\n",
        "a name": b"model: {name: !!python/name:os.system }\n",
        "a module": b"seed: !!python/module:antigravity\n",
        "an object": b"data: !!python/object/new:os.system [true]\n",
        "a billion laughs": b"\n".join(lines),
        "deep nesting": b"[" * 20_000,
        "deep sections": b"".join(b" " * n + b"a:\n" for n in range(500)),
        "2 MB": b"#" * 2_000_000,
        "a pickle": gadgets()["a pickle of protocol 0"],
    }


def png(width, height, more=b""):
    """Return a PNG that claims a size and holds nothing."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + more + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n(%pipe%true) (w) file\nshowpage\n%%EOF\n" * 3
)


def images():
    return {
        "PostScript": POSTSCRIPT,
        "a vector picture": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "a picture of 100,000 × 100,000": png(100_000, 100_000),
        "a picture of 9,000 × 9,000": png(9_000, 9_000),
        "a picture of no size": png(0, 0),
        "a picture cut off": png(32, 32)[:40],
        "a zipped torch file": gadgets()["a zipped torch file"],
    }


def put(what, path, secret):
    """Put something that is no plain file at a path."""
    if what == "link":
        path.symlink_to(secret)
    elif what == "dangling link":
        path.symlink_to(secret.with_name("planted"))
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            path.symlink_to("/dev/zero")
