"""The download against a server on this machine that fails in every way the real ones do."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trainloop.data.sources import download as module
from trainloop.data.sources.download import Limits, Remote, download, part_path
from trainloop.data.sources.listener import Listener
from trainloop.errors import DataError, ResourceError

CONTENT = gzip.compress(random.Random(5).randbytes(300_000))
LIMITS = Limits(connect_seconds=2, stall_seconds=0.3, stall_bytes=1000, attempts=3, schemes=("http",))


class Server:
    """Answers each request as ``answers`` says, the last answer again and again."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.answers: list[Callable[[BaseHTTPRequestHandler, int], None]] = [whole]
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requested = self.headers.get("Range")
                server.ranges.append(requested)
                begin = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
                answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
                answer(self, begin)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/cifar-10-binary.tar.gz"
        self.remote = Remote(self.url, len(CONTENT), hashlib.md5(CONTENT).hexdigest())


def begin_answer(handler: BaseHTTPRequestHandler, begin: int, total: int = len(CONTENT), kind: str = "x/gzip") -> None:
    handler.send_response(206 if begin else 200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(total - begin))
    if begin:
        handler.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
    handler.end_headers()


def whole(handler: BaseHTTPRequestHandler, begin: int) -> None:
    begin_answer(handler, begin)
    handler.wfile.write(CONTENT[begin:])


def cut_at(offset: int) -> Callable[[BaseHTTPRequestHandler, int], None]:
    def answer(handler: BaseHTTPRequestHandler, begin: int) -> None:
        begin_answer(handler, begin)
        handler.wfile.write(CONTENT[begin:offset])
        handler.close_connection = True

    return answer


def without_ranges(handler: BaseHTTPRequestHandler, _: int) -> None:
    whole(handler, 0)


def status(code: int, location: str | None = None) -> Callable[[BaseHTTPRequestHandler, int], None]:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(code)
        if location is not None:
            handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def stalling(after: int) -> Callable[[BaseHTTPRequestHandler, int], None]:
    def answer(handler: BaseHTTPRequestHandler, begin: int) -> None:
        begin_answer(handler, begin)
        handler.wfile.write(CONTENT[begin : begin + after])
        handler.wfile.flush()
        threading.Event().wait(1.0)

    return answer


def dripping(handler: BaseHTTPRequestHandler, begin: int) -> None:
    """Give a byte every 20 ms: never silent, and never done."""
    begin_answer(handler, begin)
    try:
        for position in range(begin, begin + 100):
            handler.wfile.write(CONTENT[position : position + 1])
            handler.wfile.flush()
            threading.Event().wait(0.02)
    except OSError:
        handler.close_connection = True


def body(content: bytes, kind: str = "x/gzip") -> Callable[[BaseHTTPRequestHandler, int], None]:
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        begin_answer(handler, 0, len(content), kind)
        handler.wfile.write(content)

    return answer


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def get(server: Server, folder: Path, listener: Listener | None = None) -> bytes:
    return download(server.remote, folder, listener=listener or Listener(), limits=LIMITS).read_bytes()


def message_of(server: Server, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        get(server, folder)
    assert server.url in str(caught.value)
    return str(caught.value)


def test_whole_file_arrives(server, tmp_path):
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == [None]


def test_nothing_has_a_final_name(server, tmp_path):
    get(server, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".cifar-10-binary.tar.gz.part"]


OFFSETS = (1, 2, 3, 10, 100, 512, 1000, 4096, 20_000, 65_535, 65_536, 65_537, 100_000, 150_000, 200_000)
OFFSETS += (262_143, 262_144, 262_145, len(CONTENT) - 2, len(CONTENT) - 1)


@pytest.mark.parametrize("offset", OFFSETS)
def test_cut_is_continued_by_range(server, tmp_path, offset):
    server.answers = [cut_at(offset), whole]
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == [None, f"bytes={offset}-"]


def test_many_cuts_are_continued(server, tmp_path):
    offsets = range(10_000, len(CONTENT), 20_000)
    server.answers = [*(cut_at(offset) for offset in offsets), whole]
    assert get(server, tmp_path) == CONTENT
    assert len(server.ranges) == len(offsets) + 1


KILLED = """
import sys
from pathlib import Path
from trainloop.data.sources.download import Limits, Remote, download
from trainloop.data.sources.listener import Listener
remote = Remote(sys.argv[1], int(sys.argv[2]), sys.argv[3])
download(remote, Path(sys.argv[4]), listener=Listener(), limits=Limits(schemes=("http",)))
"""


def test_download_that_was_killed_is_continued(server, tmp_path):
    server.answers = [stalling(150_000), whole]
    remote, part = server.remote, part_path(tmp_path, server.remote)
    words = [sys.executable, "-c", KILLED, remote.url, str(remote.size), remote.md5, str(tmp_path)]
    process = subprocess.Popen(words)
    while process.poll() is None and not (part.exists() and part.stat().st_size == 150_000):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [part.name]
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=150000-"]


def test_download_of_an_earlier_call_is_continued(server, tmp_path):
    part_path(tmp_path, server.remote).write_bytes(CONTENT[:1234])
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == ["bytes=1234-"]


def test_whole_download_of_an_earlier_call_is_used(server, tmp_path):
    part_path(tmp_path, server.remote).write_bytes(CONTENT)
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == []


def test_host_without_ranges_begins_again(server, tmp_path):
    part_path(tmp_path, server.remote).write_bytes(CONTENT[:1234])
    server.answers = [without_ranges]
    assert get(server, tmp_path) == CONTENT


def test_damaged_earlier_download_begins_again(server, tmp_path):
    part_path(tmp_path, server.remote).write_bytes(b"\x1f\x8b" + bytes(1000))
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == ["bytes=1002-", None]


def test_too_long_earlier_download_begins_again(server, tmp_path):
    part_path(tmp_path, server.remote).write_bytes(CONTENT + b"x")
    assert get(server, tmp_path) == CONTENT


def test_wrong_bytes_are_refused_and_removed(server, tmp_path):
    wrong = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    server.answers = [body(wrong)]
    message = message_of(server, tmp_path)
    assert "the download is damaged" in message
    assert f"MD5 {hashlib.md5(wrong).hexdigest()}" in message
    assert server.remote.md5 in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [100, len(CONTENT) + 1])
def test_wrong_length_is_refused_before_anything_is_written(server, tmp_path, length):
    server.answers = [body((CONTENT + b"x")[:length])]
    assert f"a file of another size ({length})" in message_of(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [401, 403, 404, 410, 500, 503])
def test_status_is_named(server, tmp_path, code):
    server.answers = [status(code)]
    assert f"found: HTTP {code}" in message_of(server, tmp_path)
    assert len(server.ranges) == 1


def test_shorter_file_on_the_host_is_refused(server, tmp_path):
    part_path(tmp_path, server.remote).write_bytes(CONTENT[:1234])
    server.answers = [status(416)]
    assert "HTTP 416: the host has a file of another size" in message_of(server, tmp_path)


def test_page_instead_of_data_is_refused(server, tmp_path):
    server.answers = [body(b"<html>", "text/html; charset=utf-8")]
    assert "a page (text/html), perhaps a login of this network" in message_of(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_page_that_claims_to_be_data_is_refused(server, tmp_path):
    server.answers = [body(b"<!doctype html>".ljust(len(CONTENT)))]
    message = message_of(server, tmp_path)
    assert "data that begins with b'<!doctype html>" in message
    assert "a gzip archive" in message


def test_redirect_is_followed(server, tmp_path):
    server.answers = [status(302, server.url), whole]
    assert get(server, tmp_path) == CONTENT


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "https://127.0.0.1/x"])
def test_redirect_to_another_scheme_is_refused(server, tmp_path, target):
    server.answers = [status(302, target)]
    message = message_of(server, tmp_path)
    assert "the host redirects away from https" in message
    assert f"found: {target}" in message


def test_redirect_to_a_file_is_refused(server, tmp_path):
    server.answers = [status(302, "file:///etc/passwd")]
    assert "Redirection to url 'file:///etc/passwd' is not allowed" in message_of(server, tmp_path)


def test_redirect_to_http_is_refused_by_default():
    request = module.urllib.request.Request("https://host/file")
    with pytest.raises(DataError, match="the host redirects away from https"):
        module._Redirects(Limits()).redirect_request(request, io.BytesIO(), 302, "Found", None, "http://host/file")


def test_redirect_loop_ends(server, tmp_path):
    server.answers = [status(302, server.url)]
    assert "HTTP 302" in message_of(server, tmp_path)


def test_plain_http_is_never_opened_by_default(server, tmp_path):
    with pytest.raises(DataError, match="unknown url type: http"):
        download(server.remote, tmp_path, listener=Listener())
    assert server.ranges == []


def test_stall_is_continued(server, tmp_path):
    server.answers = [stalling(5000), whole]
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=5000-"]


def test_drip_counts_as_a_stall(server, tmp_path):
    server.answers = [dripping, whole]
    lines: list[str] = []

    class Heard(Listener):
        def say(self, text: str) -> None:
            lines.append(text)

    assert get(server, tmp_path, Heard()) == CONTENT
    assert "the connection stalled at" in lines[0]


def test_host_that_gives_nothing_is_left_at_once(server, tmp_path):
    server.answers = [stalling(0)]
    assert "the connection stalled" in message_of(server, tmp_path)
    assert len(server.ranges) == 1


def test_host_that_stops_giving_is_left_after_three_tries(server, tmp_path):
    server.answers = [cut_at(5000)]
    assert "the connection ended" in message_of(server, tmp_path)
    assert len(server.ranges) == 4
    assert part_path(tmp_path, server.remote).read_bytes() == CONTENT[:5000]


def test_host_that_is_not_there_is_named(tmp_path):
    remote = Remote("http://127.0.0.1:1/file", 10, "")
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:1/file: the download failed") as caught:
        download(remote, tmp_path, listener=Listener(), limits=LIMITS)
    assert "no connection" in str(caught.value)


def test_full_disk_is_named_and_what_arrived_stays(server, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.files.operations, "write", refuse)
    with pytest.raises(ResourceError, match="no space left to write"):
        get(server, tmp_path)


def test_interruption_keeps_what_arrived(server, tmp_path):
    class Stopping(Listener):
        def moved(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, Stopping())
    begun = part_path(tmp_path, server.remote).stat().st_size
    assert 0 < begun < len(CONTENT)
    assert get(server, tmp_path) == CONTENT
    assert server.ranges[1] == f"bytes={begun}-"


def test_progress_ends_at_the_whole(server, tmp_path):
    seen: list[tuple[str, int, int | None]] = []

    class Heard(Listener):
        def moved(self, name: str, done: int, total: int | None) -> None:
            seen.append((name, done, total))

    get(server, tmp_path, Heard())
    assert seen[-1] == ("cifar-10-binary.tar.gz", len(CONTENT), len(CONTENT))
