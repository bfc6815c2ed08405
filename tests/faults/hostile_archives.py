"""Archives that are no archive of CIFAR-10, each in a folder, with the command that imports it."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib

from hostile_contents import gadgets, put

DATA = "data"
IMPORT = ("data", "import", "data/copy", "--to", DATA)


def member(name, content=b"x", kind=tarfile.REGTYPE, link=""):
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, link
    header.size = len(content) if kind == tarfile.REGTYPE else 0
    return header, content


def archives(room):
    secret, wanted = str(room.secret), "cifar-10-batches-bin/data_batch_1.bin"
    batch = "cifar-10-batches-py/data_batch_1"
    listed = {
        "a path upwards": [member("../" * 4 + "planted"), member("../data_batch_1.bin")],
        "an absolute path": [member("/tmp/trainloop-planted"), member(str(room.secret.with_name("planted")))],
        "a link": [member(wanted, kind=tarfile.SYMTYPE, link=secret)],
        "a link and a file behind it": [
            member("cifar-10-batches-bin", kind=tarfile.SYMTYPE, link=str(room.secret.parent)),
            member(wanted, bytes(100)),
        ],
        "a hard link": [member(wanted, kind=tarfile.LNKTYPE, link=secret)],
        "a device": [member(wanted, kind=tarfile.CHRTYPE)],
        "a pipe": [member(wanted, kind=tarfile.FIFOTYPE)],
        "a member twice": [member(wanted), member(wanted)],
        "a thousand members": [member(f"m{number}") for number in range(1_000)],
        "a path of 10,000 parts": [member("a/" * 10_000 + "b")],
        "a name that steers the terminal": [member("\x1b[2J\x1b]0;owned\x07" + wanted)],
        **{f"{what} as a batch": [member(batch, content)] for what, content in gadgets().items()},
    }
    for what, members in listed.items():
        folder = room.empty()
        with tarfile.open(folder / DATA / "copy", "w:gz") as archive:
            for header, content in members:
                archive.addfile(header, io.BytesIO(content))
        yield f"archive: {what}", folder, IMPORT
    claim = tarfile.TarInfo(wanted)
    claim.size = 10_000_000_000
    sparse = tarfile.TarInfo(wanted)
    sparse.type = tarfile.GNUTYPE_SPARSE
    block = b"\0" * 60_000_000
    bomb = io.BytesIO()
    with gzip.open(bomb, "wb", compresslevel=1) as stream:
        for number in range(8):
            header = tarfile.TarInfo(f"m{number}")
            header.size = len(block)
            stream.write(header.tobuf())
            stream.write(block + bytes(-len(block) % 512))
    zipped = io.BytesIO(b"PK\x03\x04" + bytes(60))
    raw = {
        "ten gigabytes claimed": claim.tobuf() + bytes(1024),
        "a sparse member": sparse.tobuf(tarfile.GNU_FORMAT) + bytes(1024),
        "half a gigabyte of zeros": bomb.getvalue(),
        "a zip": zipped.getvalue(),
        "a page": b"<html><script>1</script></html>",
        "a bare deflate stream": zlib.compress(bytes(1000)),
        **room.some(gadgets()),
    }
    for what, content in raw.items():
        folder = room.empty()
        (folder / DATA / "copy").write_bytes(content)
        yield f"archive: {what}", folder, IMPORT
    for what in ("pipe", "device", "dangling link"):
        folder = room.empty()
        put(what, folder / DATA / "copy", room.secret)
        yield f"archive: a {what}", folder, IMPORT
    for what, content in room.some(gadgets()).items():
        folder = room.empty()
        (folder / DATA / "copy").mkdir()
        for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
            (folder / DATA / "copy" / name).write_bytes(content)
        yield f"a folder of batches: {what}", folder, IMPORT
