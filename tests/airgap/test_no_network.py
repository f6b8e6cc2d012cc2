"""Nothing that runs a model opens a socket: seen from outside, by the system calls, and in what is linked."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith import _core

NETWORK = {"socket", "connect", "bind", "listen", "accept", "accept4", "getaddrinfo", "gethostbyname"} | {
    "sendto", "recvfrom", "sendmsg", "recvmsg", "res_query", "inet_pton", "socketpair",
}  # fmt: skip
CHAT = """
import sys, tinsmith
model = tinsmith.load(sys.argv[1])
print(model.chat([{"role": "user", "content": "hello"}], max_tokens=8).text)
"""


def test_python_chats_where_there_is_no_network(offline: list[str], run: Callable, tin: Path) -> None:
    done = run(*offline, sys.executable, "-c", CHAT, tin)
    assert done.returncode == 0, done.stderr
    inside = run(*offline, sys.executable, "-c", "import socket; print(socket.if_nameindex())")
    assert inside.stdout.strip() == "[(1, 'lo')]"  # and that is down: the namespace is one without a network


@pytest.fixture
def network_calls(
    traced: Callable[[Path], list[str]], run: Callable, tmp_path: Path
) -> Callable[..., list[str]]:
    """The system calls about the network that a command and its children make."""

    def calls(*command: str | Path) -> list[str]:
        log = tmp_path / "log"
        done = run(*traced(log), *command)
        assert done.returncode == 0, done.stderr
        return log.read_text().splitlines()

    return calls


def test_python_makes_no_network_call(network_calls: Callable, tin: Path) -> None:
    assert network_calls(sys.executable, "-c", CHAT, tin) == []
    code = "import socket; socket.socket()"  # the tracer sees what it should see
    assert "socket(" in network_calls(sys.executable, "-c", code)[0]


def test_the_program_makes_no_network_call(network_calls: Callable, runtime: Path, tin: Path) -> None:
    for command in (["verify", tin], ["run", tin, "hello"]):
        assert network_calls(runtime / "bin/tin", *command) == []


def undefined(run: Callable, library: Path, *options: str) -> set[str]:
    """What a library takes from others, without versions."""
    done = run("nm", *options, "--undefined-only", "--format=posix", library)
    assert done.returncode == 0, done.stderr
    return {line.split()[0].partition("@")[0] for line in done.stdout.splitlines() if " U" in line}


def test_the_libraries_are_linked_to_nothing_of_the_network(run: Callable, runtime: Path) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    for library in (Path(str(_core.__file__)), runtime / "lib/libtin.so"):
        missing = undefined(run, library, "--dynamic")
        assert "memcpy" in missing
        assert not missing & NETWORK
