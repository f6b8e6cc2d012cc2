"""A pack with --serve: its server answers without a network, as its unit and its container file start it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith import airgap
from tinsmith.airgap import install
from tinsmith.cross import needed
from tinsmith.errors import InputError
from tinsmith.formats import minisign
from tinsmith.system.progress import PlainDisplay

Run = Callable[..., subprocess.CompletedProcess[str]]
PROMPT = "dim the kitchen lights"
# Raises the loopback, which a new network namespace has down; starts a server, and asks it what it is given.
ASK = """
import fcntl, json, socket, struct, subprocess, sys, time, urllib.request
command, key, requests = json.loads(sys.argv[1])
with socket.socket() as opened:
    fcntl.ioctl(opened, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
server = subprocess.Popen(command)
try:
    for _ in range(300):
        try:
            urllib.request.urlopen("http://127.0.0.1:8080/health")
            break
        except OSError:
            time.sleep(0.1)
    for path, body in requests:
        asked = urllib.request.Request("http://127.0.0.1:8080" + path, body and json.dumps(body).encode())
        asked.add_header("Content-Type", "application/json")
        asked.add_header("Authorization", "Bearer " + key)
        print(json.dumps(urllib.request.urlopen(asked).read().decode()))
finally:
    server.terminate()
    server.wait()
"""
CHAT = {"messages": [{"role": "user", "content": PROMPT}], "max_tokens": 4, "model": "tiny"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": ["on"]}}}
REQUESTS = [
    ("/health", None),
    ("/", None),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "max_tokens": 16, "response_format": SCHEMA}),
]


@pytest.fixture(scope="module")
def pack(tin: Path, maker: minisign.SecretKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("served") / "tiny-pack"
    return airgap.pack(tin, "host", out, PROMPT, maker, PlainDisplay(), serve=True)[0]


@pytest.fixture(scope="module")
def installed(
    pack: Path,
    run: Run,
    offline: list[str],
    maker: minisign.SecretKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    into = tmp_path_factory.mktemp("installed") / "tinsmith"
    done = run(*offline, sys.executable, "-I", pack / "install.py", "--key", str(maker.public), "--into", into)
    assert done.returncode == 0, done.stderr
    return into


def answers(run: Run, offline: list[str], command: list[str], key: str = "none") -> list[str]:
    done = run(*offline, sys.executable, "-c", ASK, json.dumps([command, key, REQUESTS]), timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('"')]


def check(told: list[str]) -> None:
    health, page, chat, held = told
    assert json.loads(health) == {"status": "ok"}
    assert "<title>tinsmith</title>" in page
    assert json.loads(chat)["choices"][0]["finish_reason"] in ("length", "stop")
    assert json.loads(held)["choices"][0]["message"]["content"] == '"on"'


def instructions(text: str) -> dict[str, list[str]]:
    """Of a container file, by their words, lines that go on joined."""
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", "").splitlines():
        if line and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            found.setdefault(word, []).append(rest)
    return found


def test_the_container_file_makes_what_it_starts(
    pack: Path, run: Run, offline: list[str], maker: minisign.SecretKey, tmp_path: Path
) -> None:
    """Its commands run as they stand, with this machine for the base image and the places moved."""
    made = instructions((pack / "serve/Containerfile").read_text("utf-8"))
    (step,) = made["RUN"]
    mount, _, command = step.partition(" ")
    assert mount == "--mount=type=bind,target=/pack"
    into = tmp_path / "tinsmith"
    command = command.replace("/pack/", f"{pack}/").replace("/opt/tinsmith", str(into))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = run(*offline, "sh", "-c", command, env={"KEY": str(maker.public), "PATH": path})
    assert done.returncode == 0, done.stderr
    assert made["COPY"] == ["--from=made /opt/tinsmith /opt/tinsmith"]
    assert made["USER"] == ["65534:65534"]
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-this-test\n")
    words = json.loads(made["ENTRYPOINT"][0]) + json.loads(made["CMD"][0])
    words = [word.replace("/opt/tinsmith", str(into)).replace("/run/secrets/keys", str(keys)) for word in words]
    check(answers(run, offline, words, "a-key-of-this-test"))
    health = json.loads(made["HEALTHCHECK"][0].removeprefix("CMD "))
    assert health[0] == "python3"
    compile(health[3], "health", "exec")


def test_the_unit_starts_the_server_and_is_hardened(
    pack: Path, installed: Path, run: Run, offline: list[str], tmp_path: Path
) -> None:
    text = (pack / "serve/tinsmith.service").read_text("utf-8").replace("/opt/tinsmith", str(installed))
    (started,) = re.findall(r"^ExecStart=(.+)$", text, re.M)
    check(answers(run, offline, shlex.split(started)))
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "tinsmith.service"
    unit.write_text(text)
    verified = run("systemd-analyze", "verify", "--man=no", unit)
    assert (verified.returncode, verified.stderr) == (0, "")
    # Of 10.0, which is a service without any of it; below 2 systemd calls a service OK.
    exposed = run("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit)
    assert exposed.returncode == 0, exposed.stdout


def test_the_pack_lists_and_licenses_what_it_serves_with(pack: Path) -> None:
    wheels = {path.name.partition("-")[0] for path in (pack / "runtime").glob("*.whl")}
    assert {"tinsmith", "click", "starlette", "uvicorn", "pydantic", "pydantic_core", "anyio", "h11"} <= wheels
    listed = {
        one["name"].replace("-", "_") for one in json.loads((pack / "sbom.cdx.json").read_text())["components"]
    }
    assert wheels - {"tinsmith"} <= listed
    licences = {path.stem.replace("-", "_") for path in (pack / "LICENSES").glob("*.txt")}
    assert wheels <= licences
    assert "serve/Containerfile" in (pack / "SHA256SUMS").read_text()
    assert "## As a server" in (pack / "GUIDE.md").read_text()


def test_another_python_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"runtime/other-1-cp3{sys.version_info.minor + 1}-cp3{sys.version_info.minor + 1}-linux_x86_64.whl"
    with pytest.raises(install.Refused, match="use the wheel's Python"):
        install.others({name: "", "runtime/tinsmith-1-cp311-abi3-linux_x86_64.whl": ""})


def test_what_serves_is_of_this_machine(tin: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --runtime DIR"):
        airgap.pack(tin, "raspberrypi-5", tmp_path / "out", PROMPT, None, PlainDisplay(), serve=True)
    with pytest.raises(InputError, match="no extra 'none'"):
        needed.write_extra("none", tmp_path)
