"""A server whose models have a process each: to its clients it is one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from served import ASKED, raw
from test_openai_chat import LIGHT, joined

import tinsmith
from tinsmith.cli import main

KEY = "a-key-of-some-length"
HEADERS = {"authorization": f"Bearer {KEY}"}


class Divided:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.pid, self.url = process.pid, url
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0)

    @property
    def hands(self) -> list[int]:
        listed = Path("/proc").glob(f"{self.pid}/task/*/children")
        return [int(one) for path in listed for one in path.read_text().split()]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=HEADERS)


@pytest.fixture(scope="module")
def divided(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Divided]:
    keys = tmp_path_factory.mktemp("workers") / "keys"
    keys.write_text(KEY)
    words = ["serve", *map(str, files), "--workers", "2", "--port", "0", "--api-key-file", str(keys)]
    command = [sys.executable, "-m", "tinsmith", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            line = process.stderr.readline()
            said = re.search(r"http://[\d.]+:\d+", line)
            assert said, line
            made = Divided(process, said[0])
            yield made
            hands = made.hands
        finally:
            process.terminate()
    assert len(hands) == 2 and not any(Path(f"/proc/{one}").exists() for one in hands)


def test_each_model_answers_as_it_does_alone(divided: Divided, files: list[Path]) -> None:
    listed = [one.id for one in divided.client.models.list()]
    assert listed == ["tiny", "tiny:a", "tiny:b", "tiny:auto", "auto", "thinker"]
    assert divided.client.models.retrieve("tiny:a").id == "tiny:a"
    create: Any = divided.client.chat.completions.create
    for path in files:
        alone = tinsmith.load(path, threads=1).chat(ASKED, max_tokens=8)
        asked: dict[str, Any] = {"model": path.stem, "messages": ASKED, "max_tokens": 8}
        assert create(**asked).choices[0].message.content == alone.content
        assert joined(list(create(stream=True, **asked))) == alone.content
    assert create(model="auto", messages=ASKED, max_tokens=2).choices
    options = {"tools": [LIGHT], "tool_choice": "required", "max_tokens": 400}
    assert create(model="thinker", messages=ASKED, **options).choices[0].message.tool_calls


def test_what_is_of_all_models_is_one(divided: Divided) -> None:
    assert {one["name"] for one in divided.get("/api/tags").json()["models"]} >= {"tiny", "thinker"}
    assert divided.get("/health").json() == {"status": "ok"}
    lines = divided.get("/metrics").text.splitlines()
    kinds = [line for line in lines if line.startswith("# TYPE")]
    assert len(set(kinds)) == len(kinds) > 5
    for name in ("tiny", "thinker"):
        assert f'tinsmith_running{{model="{name}"}} 0' in lines
    document = divided.get("/openapi.json").json()
    named = document["components"]["schemas"]["chat_body__ChatBody"]["properties"]["model"]["enum"]
    assert {"tiny", "thinker"} <= set(named)
    assert "<!doctype html>" in divided.get("/").text.lower()


def test_who_may_ask_is_found_at_the_front(divided: Divided) -> None:
    assert httpx.get(f"{divided.url}/v1/models").status_code == 401
    with pytest.raises(openai.NotFoundError, match="no model 'other'; there are tiny"):
        divided.client.chat.completions.create(model="other", messages=ASKED)
    wrong = httpx.post(f"{divided.url}/v1/messages", content=b"{", headers=HEADERS)
    assert wrong.status_code == 400 and wrong.json()["type"] == "error"
    for method, path, status in (("POST", "/nowhere", 404), ("POST", "/health", 405), ("GET", "/health", 413)):
        refused = httpx.request(method, divided.url + path, content=b"x" * 200_000, headers=HEADERS)
        assert refused.status_code == status, (method, path)
    port = int(divided.url.rpartition(":")[2])
    assert b" 403 " in raw(port, b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")


def test_a_client_that_leaves_takes_its_answer_along(divided: Divided) -> None:
    body = {"model": "tiny", "messages": ASKED, "stream": True, "temperature": 1}
    body["logit_bias"] = {"0": -100, "2": -100}
    with httpx.stream("POST", f"{divided.url}/v1/chat/completions", json=body, headers=HEADERS) as answer:
        next(answer.iter_lines())
    deadline = time.monotonic() + 20
    while 'tinsmith_running{model="tiny"} 0' not in divided.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert re.search(r'tinsmith_cancelled_total\{model="tiny"\} [1-9]', divided.get("/metrics").text)


def test_a_process_that_is_killed_is_started_again(divided: Divided) -> None:
    before = divided.hands
    assert len(before) == 2
    for hand in before:
        os.kill(hand, signal.SIGKILL)
    asked: dict[str, Any] = {"model": "tiny", "messages": ASKED, "max_tokens": 2}
    refused, deadline = 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if divided.client.chat.completions.create(**asked).choices and divided.get("/health").is_success:
                break
        except openai.InternalServerError as error:
            refused += 1
            assert error.status_code == 503 and "retry-after" in error.response.headers
        time.sleep(0.1)
    else:
        pytest.fail("it does not come back")
    assert refused and set(divided.hands).isdisjoint(before)


def test_what_can_not_be_divided_is_one_line(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(files[0]), "--workers", "2", "--port", "0"]) == 2
    assert "--workers 2: there is 1 file" in capsys.readouterr().err
    wrong = str(files[0].with_name("none.tin"))
    assert main(["serve", str(files[0]), wrong, "--workers", "2", "--port", "0"]) == 2
    assert "none.tin" in capsys.readouterr().err
