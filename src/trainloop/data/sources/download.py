"""Download one file whose size and MD5 are known, over https only, so that a cut costs nothing but the time.

What has arrived lies in a hidden ``.part`` file and is continued by an HTTP range, in the same call or the next. The
file is never used before its size and MD5 are right, and even then only the content digests of cifar10.py make it
trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, cast

from trainloop import files
from trainloop.data.sources.listener import Listener
from trainloop.errors import DataError

CHUNK_BYTES = 1 << 18
USER_AGENT = "trainloop"


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Args:
        url: where it is.
        size: its bytes.
        md5: hex digest.
    """

    url: str
    size: int
    md5: str

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Limits:
    """How long to wait, and what is accepted.

    Args:
        connect_seconds: until the connection stands.
        stall_seconds: a window in which at least ``stall_bytes`` must arrive.
        stall_bytes: see ``stall_seconds``.
        attempts: connections in a row that may bring nothing, once some have.
        schemes: of addresses, redirects included.
    """

    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    stall_bytes: int = 30_000
    attempts: int = 3
    schemes: tuple[str, ...] = ("https",)


class _CutError(Exception):
    """The connection ended or stalled before the file did; going on is worth a try."""


def part_path(folder: Path, remote: Remote) -> Path:
    """Return where the unfinished download lies."""
    return folder / f".{remote.name}.part"


def download(remote: Remote, folder: Path, *, listener: Listener, limits: Limits | None = None) -> Path:
    """Download a file, or go on with an earlier download of it.

    Args:
        remote: the file.
        folder: an existing folder, locked by the caller.
        listener: hears the progress.
        limits: time-outs.

    Returns:
        The path of the whole file, still named ``.part``; the caller removes it after use.

    Raises:
        DataError: the host cannot be reached, or gives something else.
        ResourceError: the disk is full.
    """
    limits = limits or Limits()
    part = part_path(folder, remote)
    resumed = _size(part) > 0
    _fill(remote, part, listener, limits)
    if _md5(part) != remote.md5 and resumed:
        listener.say(f"{remote.name}: the continued download is damaged; starting again")
        part.unlink()
        _fill(remote, part, listener, limits)
    found = _md5(part)
    if found != remote.md5:
        part.unlink()
        raise DataError(
            "the download is damaged", where=remote.url, found=f"MD5 {found}", expected=remote.md5, help="try again"
        )
    return part


def _fill(remote: Remote, part: Path, listener: Listener, limits: Limits) -> None:
    """Connect as often as it takes to make ``part`` whole."""
    if _size(part) > remote.size:
        part.unlink()
    begin = _size(part)
    idle = 0
    while (before := _size(part)) < remote.size:
        try:
            _continue(remote, part, listener, limits)
        except _CutError as cut:
            idle = idle + 1 if _size(part) <= before else 0
            # A host that has not given a byte yet is left at once: there are other sources.
            if idle >= limits.attempts or _size(part) == begin:
                raise _failure(remote, str(cut)) from cut
            listener.say(f"{remote.name}: {cut} at {_size(part):,} of {remote.size:,} bytes; going on")


def _continue(remote: Remote, part: Path, listener: Listener, limits: Limits) -> None:
    """Make one connection and append what it brings."""
    begin = _size(part)
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    request = urllib.request.Request(remote.url, headers=headers)
    with _opened(request, remote, limits) as response:
        fresh = response.status != http.client.PARTIAL_CONTENT
        begin = 0 if fresh else begin
        _check_headers(response, remote, begin)
        _receive(response, remote, part, _Receiving(begin, fresh, listener, limits))


@dataclass
class _Receiving:
    """The state of one connection."""

    done: int
    fresh: bool
    listener: Listener
    limits: Limits
    window_begin: float = 0.0
    window_bytes: int = 0

    def arrived(self, count: int, now: float) -> None:
        """Count bytes; raise when a whole window brought almost none."""
        self.done += count
        self.window_bytes += count
        if now - self.window_begin >= self.limits.stall_seconds:
            if self.window_bytes < self.limits.stall_bytes:
                raise _CutError("the connection stalled")
            self.window_begin, self.window_bytes = now, 0


def _receive(
    response: http.client.HTTPResponse,
    remote: Remote,
    part: Path,
    state: _Receiving,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    state.window_begin = clock()
    with files.AppendFile(part, fresh=state.fresh) as stream:
        while state.done < remote.size:
            try:
                chunk = response.read1(min(CHUNK_BYTES, remote.size - state.done))
            except TimeoutError:
                raise _CutError("the connection stalled") from None
            except (OSError, http.client.HTTPException) as error:
                raise _CutError(f"the connection was lost ({error})") from error
            if not chunk:
                raise _CutError("the connection ended")
            if state.done == 0 and not chunk.startswith(b"\x1f\x8b"[: len(chunk)]):
                raise _failure(remote, f"data that begins with {chunk[:20]!r}", "a gzip archive")
            stream.append_bytes(chunk)
            state.arrived(len(chunk), clock())
            state.listener.moved(remote.name, state.done, remote.size)


def _check_headers(response: http.client.HTTPResponse, remote: Remote, begin: int) -> None:
    """Refuse a page instead of data, and a file of another size, before anything is written."""
    kind = response.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise _failure(remote, f"a page ({kind}), perhaps a login of this network", "a gzip archive")
    if begin:
        expected = f"bytes {begin}-{remote.size - 1}/{remote.size}"
        found = response.headers.get("Content-Range", "no Content-Range")
    else:
        expected = str(remote.size)
        found = response.headers.get("Content-Length", expected)
    if found != expected:
        raise _failure(remote, f"a file of another size ({found})", expected)


def _opened(request: urllib.request.Request, remote: Remote, limits: Limits) -> http.client.HTTPResponse:
    try:
        return cast("http.client.HTTPResponse", _opener(limits).open(request, timeout=limits.connect_seconds))
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _failure(
                    remote, "HTTP 416: the host has a file of another size", f"{remote.size} bytes"
                ) from None
            raise _failure(remote, f"HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _CutError(f"no connection ({reason})") from error


def _failure(remote: Remote, found: str, expected: str = "") -> DataError:
    return DataError("the download failed", where=remote.url, found=found, expected=expected)


def _opener(limits: Limits) -> urllib.request.OpenerDirector:
    """Build an opener that knows https alone (and the user's proxies), unless the limits say otherwise."""
    opener = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(limits),
        _Https(limits),
    ]
    if "http" in limits.schemes:
        handlers.append(_Http(limits))
    for handler in handlers:
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to allowed schemes only."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if newurl.split(":", 1)[0].lower() not in self._limits.schemes:
            fp.close()
            raise DataError(
                "the host redirects away from https", where=req.full_url, found=newurl, help="try another source"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class _HttpsConnection(http.client.HTTPSConnection):
    """Waits for the connection and for data with different patience."""

    def __init__(self, host: str, *, stall_seconds: float, **others: Any) -> None:
        super().__init__(host, **others)
        self._stall_seconds = stall_seconds

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._stall_seconds)


class _HttpConnection(http.client.HTTPConnection):
    """Likewise."""

    def __init__(self, host: str, *, stall_seconds: float, **others: Any) -> None:
        super().__init__(host, **others)
        self._stall_seconds = stall_seconds

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(self._stall_seconds)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._stall_seconds = limits.stall_seconds

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast("Any", _HttpsConnection), req, stall_seconds=self._stall_seconds)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._stall_seconds = limits.stall_seconds

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(cast("Any", _HttpConnection), req, stall_seconds=self._stall_seconds)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
