"""examples/proxy: nginx and Caddy in front of several servers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import openai
import pytest

from tests.serve.served import ASKED, running
from tests.serve.test_openai_chat import joined

EXAMPLES = Path(__file__).parents[2] / "examples/proxy"
KEY = "a-key-of-some-length"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


def command(name: str, text: str, folder: Path) -> list[str]:
    """Writes the example's text to the folder; the command runs the proxy on it in the foreground."""
    config = folder / name
    if name == "Caddyfile":
        config.write_text("{\n\tadmin off\n}\n\n" + text)
        return ["caddy", "run", "--config", str(config), "--adapter", "caddyfile"]
    paths = "".join(f"{one}_temp_path {folder}/{one}; " for one in TEMPORARY)
    config.write_text(text.replace("http {", f"http {{ {paths}"))
    options = f"daemon off; pid {folder}/nginx.pid;"
    return ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config), "-g", options]


@contextmanager
def proxy(name: str, ports: list[int], folder: Path) -> Iterator[str]:
    """The address of a proxy of the servers at these ports."""
    text, port = (EXAMPLES / name).read_text(), free_port()
    for written, real in zip(("8081", "8082", "8083"), ports, strict=True):
        text = text.replace(f"127.0.0.1:{written}", f"127.0.0.1:{real}")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with subprocess.Popen(command(name, text, folder), env=environment) as process:
        try:
            deadline = time.monotonic() + 20
            while socket.socket().connect_ex(("127.0.0.1", port)):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_proxy_routes_streams_and_fails_over(name: str, files: list[Path], tmp_path: Path) -> None:
    program = {"nginx.conf": "nginx", "Caddyfile": "caddy"}[name]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    with ExitStack() as stack:
        first = ExitStack()
        stack.push(first)
        tiny, thinker = ([path] for path in files)
        servers = [
            first.enter_context(running(tiny, keys=[KEY])),
            stack.enter_context(running(tiny, keys=[KEY])),
            stack.enter_context(running(thinker, keys=[KEY])),
        ]
        url = stack.enter_context(proxy(name, [one.port for one in servers], tmp_path))
        wrong = openai.OpenAI(base_url=f"{url}/home/v1", api_key="another-key-of-that-length")
        with pytest.raises(openai.AuthenticationError):
            wrong.models.list()
        home = openai.OpenAI(base_url=f"{url}/home/v1", api_key=KEY, max_retries=0)
        chat = openai.OpenAI(base_url=f"{url}/chat/v1", api_key=KEY, max_retries=0)
        assert [one.id for one in chat.models.list()] == ["thinker"]
        expected = servers[0].alone["tiny"].chat(ASKED, max_tokens=8).content
        stream = home.chat.completions.create(model="tiny", messages=ASKED, max_tokens=8, stream=True)
        assert joined(list(stream)) == expected
        first.close()
        for _ in range(4):
            assert answered(home) == expected


def answered(client: openai.OpenAI) -> str | None:
    """An answer. Caddy finds out by its next health check, seconds later, that a server is gone."""
    deadline = time.monotonic() + 10
    while True:
        try:
            answer = client.chat.completions.create(model="tiny", messages=ASKED, max_tokens=8)
            return answer.choices[0].message.content
        except openai.InternalServerError as error:
            assert error.status_code == 502 and time.monotonic() < deadline
            time.sleep(0.1)
