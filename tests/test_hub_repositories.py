"""Pulling from a stand-in of the Hugging Face hub here: a record holds until another is accepted."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import cli, hub, models
from tinsmith.errors import FormatError, InputError, MissingExtraError, OfflineError

constants = pytest.importorskip("huggingface_hub.constants")

OLD, NEW = "a" * 40, "b" * 40
CONFIG, WEIGHTS = b'{"model_type": "llama"}', bytes(range(256))
FILES = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "LICENSE": b"terms", "pytorch_model.bin": b"no"}
ENTRY = hub.Entry(
    name="small",
    summary="a small model",
    license="MIT",
    source="https://example.org/small",
    family="llama",
    parameters=1000,
    good_for="tests",
    gated=True,
    repository="org/small",
)


class Hub(ThreadingHTTPServer):
    """The repository org/small as the hub serves it: commits, a branch that can move, a gate."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.commits: dict[str, dict[str, bytes]] = {OLD: FILES}
        self.main = OLD
        self.gated = False
        self.agents: list[str] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        served, path = self.server, urllib.parse.unquote(self.path.partition("?")[0])
        served.agents.append(self.headers["User-Agent"])
        served.asked.append(path)
        found = re.fullmatch(r"(?:/api/models)?/org/small/(revision|tree|resolve)/([^/]+)(?:/(.+))?", path)
        if found is None:
            return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if served.gated:
            return self._answer(403, b"", {"X-Error-Code": "GatedRepo"})
        kind, revision, name = found.groups()
        commit = served.main if revision == "main" else revision
        if commit not in served.commits:
            return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        files = served.commits[commit]
        if kind == "resolve":
            digest = hashlib.sha256(files[name]).hexdigest()
            return self._answer(200, files[name], {"ETag": f'"{digest}"', "X-Repo-Commit": commit})
        if kind == "tree":
            listed = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files.items()
            ]
            return self._answer(200, json.dumps(listed).encode())
        about = {"id": "org/small", "sha": commit, "siblings": [{"rfilename": path} for path in files]}
        return self._answer(200, json.dumps(about).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with Hub() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", made.url)
        template = made.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(hub, "catalog", lambda: {"small": ENTRY})
        monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
        for name in ("TINSMITH_OFFLINE", "HF_HUB_OFFLINE", "TINSMITH_LOCK"):
            monkeypatch.delenv(name, raising=False)
        yield made
        made.shutdown()


def _record(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "cache" / "pulled.json").read_text())


def test_the_first_pull_records_the_commit_and_each_file(server: Hub, tmp_path: Path) -> None:
    assert hub.here(ENTRY) is None
    folder = hub.pull("small")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "LICENSE"}
    files = {
        name: hashlib.sha256(FILES[name]).hexdigest() for name in sorted(FILES) if name != "pytorch_model.bin"
    }
    assert _record(tmp_path) == {"org/small": {"commit": OLD, "files": files}}
    server.asked.clear()
    assert hub.pull("small", offline=True) == folder == hub.here(ENTRY)
    assert server.asked == []
    assert hub.license_text(folder) == b"terms"


def test_the_record_holds_when_the_branch_moves_until_it_is_accepted(server: Hub, tmp_path: Path) -> None:
    first = hub.pull("small")
    server.commits[NEW] = FILES | {"config.json": b'{"model_type": "qwen2"}'}
    server.main = NEW
    assert hub.pull("small") == first
    assert _record(tmp_path)["org/small"]["commit"] == OLD
    second = hub.pull("small", accept=True)
    assert second.name == NEW == _record(tmp_path)["org/small"]["commit"]
    assert hub.pull("small") == second


def test_a_recorded_commit_that_is_gone_says_how_to_go_on(
    server: Hub, monkeypatch: Any, tmp_path: Path
) -> None:
    hub.pull("small")
    server.commits = {NEW: FILES}
    server.main = NEW
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another"))
    with pytest.raises(InputError, match=f"has not the recorded {OLD}.*tinsmith pull small --accept"):
        hub.pull("small")
    assert hub.pull("small", accept=True).name == NEW


@pytest.mark.parametrize("change", ["is not the file", "is missing", "is new"])
def test_files_that_are_not_those_of_the_record_are_refused(server: Hub, tmp_path: Path, change: str) -> None:
    folder = hub.pull("hf:org/small")
    if change == "is missing":
        record = _record(tmp_path)
        record["org/small"]["files"]["extra.json"] = "0" * 64
        (tmp_path / "cache" / "pulled.json").write_text(json.dumps(record))
    else:
        path = folder / ("extra.json" if change == "is new" else "model.safetensors")
        path.unlink(missing_ok=True)
        path.write_bytes(b"changed")
    with pytest.raises(FormatError, match=rf"{change} .*tinsmith pull hf:org/small --accept"):
        hub.pull("hf:org/small", offline=True)


def test_another_hub_that_serves_other_bytes_for_the_commit_is_refused(
    server: Hub, monkeypatch: Any, tmp_path: Path
) -> None:
    """The record may come from a colleague, beside a recipe."""
    monkeypatch.setenv("TINSMITH_LOCK", str(tmp_path / "bases.json"))
    hub.pull("small")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "another"))
    server.commits[OLD] = FILES | {"model.safetensors": WEIGHTS[:-1] + b"x"}
    with pytest.raises(FormatError, match=r"model\.safetensors is not the file that .*bases\.json records"):
        hub.pull("small")
    assert not (tmp_path / "cache").exists()


def test_what_is_carried_elsewhere_is_pulled_there_without_a_network(
    server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    carried = hub.carried([("small", None), ("hf:org/small@main", None)])
    assert f"hub/models--org--small/snapshots/{OLD}/config.json" in carried
    for name, source in carried.items():
        place = tmp_path / "there" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "there"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "there" / "hub"))
    server.asked.clear()
    for name in ("small", "hf:org/small@main"):
        assert (hub.pull(name, offline=True) / "config.json").read_bytes() == CONFIG
    assert server.asked == []


def test_what_other_programs_put_into_the_hubs_cache_is_not_ours_to_judge(server: Hub) -> None:
    folder = hub.pull("small")
    (folder / "pytorch_model.bin").write_bytes(b"no")
    assert hub.pull("small") == folder


def test_a_revision_has_a_record_of_its_own(server: Hub, tmp_path: Path) -> None:
    server.commits[NEW] = FILES
    assert hub.pull("small", revision=NEW).name == NEW
    assert hub.pull("hf:org/small").name == OLD
    assert set(_record(tmp_path)) == {"org/small", f"org/small@{NEW}"}
    with pytest.raises(InputError, match="has not a revision v9; give a branch"):
        hub.pull("hf:org/small@v9")


def test_a_gated_model_says_where_its_licence_is_accepted(server: Hub) -> None:
    server.gated = True
    with pytest.raises(InputError, match=r"small: .*https://example\.org/small.*HF_TOKEN"):
        hub.pull("small")


def test_what_cannot_be_had_is_one_line(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OfflineError, match="offline, and it is not in the hub's cache"):
        hub.pull("small", offline=True)
    with pytest.raises(InputError, match="the hub refuses"):
        hub.pull("hf:org/none")
    for bad in ("hf:name", "hf:a/b/c", "hf:/b", "hf:../b", "hf:a/b c"):
        with pytest.raises(InputError, match="hf:org/name"):
            hub.pull(bad)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OfflineError, match="can't be reached"):
        hub.pull("small")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinsmith\[train\]'"):
        hub.pull("small")


@pytest.mark.parametrize(
    "text", ["[]", '{"org/small": {"commit": 1}}', '{"org/small": {"commit": "a", "files": {"x": 1}}}']
)
def test_a_damaged_record_is_refused(server: Hub, tmp_path: Path, text: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "pulled.json").write_text(text)
    with pytest.raises(FormatError, match=r"pulled\.json: is no record"):
        hub.pull("small")


def test_the_verb_by_the_environment_alone_and_without_telemetry(server: Hub, tmp_path: Path) -> None:
    variables = {**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    variables.pop("HF_HUB_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-m", "tinsmith", "pull", "hf:org/small"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    folder = Path(done.stdout.splitlines()[-1])
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert server.agents and not any("torch/" in agent for agent in server.agents)
    assert not any("telemetry" in path for path in server.asked)


def test_every_model_has_a_family_a_source_and_one_place_that_it_comes_from() -> None:
    from tinsmith.models.family import families

    for name, entry in hub.catalog().items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
        assert entry.license and entry.summary and entry.good_for and entry.parameters > 0
        assert entry.family in {family.name for family in families()}
        assert (entry.wheel is None) == (entry.repository is not None)
        if entry.wheel:
            for digest in (entry.wheel.sha256, entry.wheel.member_sha256):
                assert re.fullmatch(r"[0-9a-f]{64}", digest)
        else:
            assert entry.source == f"https://huggingface.co/{entry.repository}"


def test_models_lists_what_fits(server: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    assert "small" in capsys.readouterr().out
    assert cli.main(["models", "--target", "raspberrypi-5", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    # 18 bytes for 32 weights of Q4_0
    room = {"format": "Q4_0", "exact": False, "storage": 562, "ram": 562, "fits": None}
    assert row["room"] == {**room, "error": None}
    assert row["license"] == "MIT" and row["path"] is None
    folder = hub.pull("small")
    assert cli.main(["models", "--target", "raspberrypi-5"]) == 0
    assert f"small: no plan: {folder}" in capsys.readouterr().out


def test_models_says_what_a_model_that_is_here_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `plan` does."""
    models.save_gguf(tiny_spec("llama", hidden_size=64), tmp_path / "tiny.gguf")
    monkeypatch.setattr(hub, "catalog", lambda: {"small": ENTRY})
    monkeypatch.setattr(hub, "here", lambda entry: tmp_path / "tiny.gguf")
    assert cli.main(["models", "--target", "raspberrypi-5", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    planned = ["plan", str(tmp_path / "tiny.gguf"), "--target", "raspberrypi-5", "--format", "q4_0", "--json"]
    assert cli.main(planned) == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    assert row["room"]["exact"] and row["room"]["fits"]
    assert (row["room"]["storage"], row["room"]["ram"]) == (memory["storage"], memory["ram"])
