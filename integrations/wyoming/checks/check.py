"""Starts the service as a process of its own and asks it with Wyoming's own client. Exit code 0 if all held.

check.py --tins FOLDER --house FILE --work FOLDER
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
import traceback
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from wyoming.asr import Transcript
from wyoming.client import AsyncClient
from wyoming.handle import Handled
from wyoming.info import Describe, Info
from wyoming.intent import Intent, NotRecognized, Recognize

sys.path.append(str(Path(__file__).parents[2] / "conformance"))

from python_answers import answered

import tinsmith

CASES = (
    "answer",
    "unconstrained",
    "adapter",
    "choose",
    "budget",
    "cancel",
    "restore",
    "missing",
    "key",
    "memory",
)
MORE = ("house", "socket")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def started(*options: object) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "tinsmith_wyoming", *map(str, options)]
    return await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)


@contextlib.asynccontextmanager
async def service(file: Path, *options: object, uri: str = "") -> AsyncIterator[str]:
    """The address of a service, which must end cleanly at the end."""
    uri = uri or f"tcp://127.0.0.1:{free_port()}"
    process = await started("--file", file, "--uri", uri, *options)
    assert process.stderr is not None
    line = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
    assert uri in line, line
    try:
        yield uri
    finally:
        process.send_signal(signal.SIGTERM)
        rest = (await asyncio.wait_for(process.stderr.read(), 30)).decode()
        code = await process.wait()
    assert (code, rest) == (0, ""), (code, rest)


async def refused(*options: object) -> str:
    """The one line of a service that cannot start."""
    process = await started(*options, "--uri", f"tcp://127.0.0.1:{free_port()}")
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1, process.returncode
    (line,) = said.decode().splitlines()
    assert line.startswith("tinsmith-wyoming: error: "), line
    return line


async def ask(uri: str, event: Any) -> Any:
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(event.event())
        return await asyncio.wait_for(client.read_event(), 60)


async def say(uri: str, text: str, conversation: str = "") -> Handled:
    context = {"conversation_id": conversation} if conversation else None
    event = await ask(uri, Transcript(text, context=context))
    assert Handled.is_type(event.type), event
    return Handled.from_event(event)


class Checks:
    def __init__(self, given: argparse.Namespace) -> None:
        self.tins, self.house_file, self.work = given.tins, given.house, given.work
        self.told = json.loads((self.tins / "cases.json").read_text())
        self.file = self.tins / self.told["files"]["plain"]
        self.python = tinsmith.load(self.file)

    def case(self, name: str) -> dict[str, Any]:
        return next(one for one in self.told["cases"] if one["name"] == name)

    def options(self, case: dict[str, Any]) -> list[object]:
        return [
            "--context",
            512,
            "--max-tokens",
            case["max_tokens"],
            "--system",
            case["messages"][0]["content"],
        ]

    def same(self, said: Handled, case: dict[str, Any], expect: str = "expect", **options: Any) -> None:
        want = case[expect]
        assert said.text == want["text"], f"{said.text!r} is not {want['text']!r}"
        _, digest, receipt = answered(self.python, case["messages"], case["max_tokens"], **options)
        assert digest == want["digest"], "Python itself answers otherwise"
        assert said.context and said.context["receipt"] == receipt, "the receipt is not Python's"

    async def answer(self) -> None:
        case = self.case("answer")
        async with service(self.file, *self.options(case)) as uri:
            self.same(await say(uri, case["messages"][-1]["content"]), case)

    async def unconstrained(self) -> None:
        case = self.case("unconstrained")
        drawn = dict(case["sampling"])
        drawn["repetition_penalty"] = drawn.pop("repetition")
        flags = [part for name, value in drawn.items() for part in (f"--{name.replace('_', '-')}", value)]
        async with service(self.file, *self.options(case), "--unconstrained", *flags) as uri:
            self.same(await say(uri, case["messages"][-1]["content"]), case, unconstrained=True, **drawn)

    async def adapter(self) -> None:
        case = self.case("adapter")
        async with service(self.file, *self.options(case), "--adapter", case["adapter"]) as uri:
            said = await say(uri, case["messages"][-1]["content"])
            self.same(said, case, adapter=case["adapter"])
        async with service(self.file, *self.options(case)) as uri:
            self.same(await say(uri, case["messages"][-1]["content"]), case, "then")

    async def choose(self) -> None:
        """One of the options, as a call's argument."""
        case = self.case("choose")
        what = {"type": "string", "enum": case["options"]}
        shape = {"type": "object", "properties": {"what": what}, "required": ["what"]}
        tools = [{"type": "function", "function": {"name": "choose", "parameters": shape}}]
        path = self.work / "tools.json"
        path.write_text(json.dumps(tools))
        async with service(self.file, *self.options({**case, "max_tokens": 64}), "--tools", path) as uri:
            event = await ask(uri, Transcript(case["messages"][-1]["content"]))
        assert Intent.is_type(event.type), event
        made = Intent.from_event(event)
        (want,) = self.python.call(case["messages"], tools, max_tokens=64)
        assert made.name == want.name, event
        assert {one.name: one.value for one in made.entities} == want.arguments, (event, want)

    async def budget(self) -> None:
        """Other requests get replies while the model answers."""
        case = self.case("budget")
        async with service(self.file, *self.options(case)) as uri:
            running = asyncio.create_task(say(uri, case["messages"][-1]["content"]))
            replies = 0
            while not running.done():
                assert Info.is_type((await ask(uri, Describe())).type)
                replies += 1
            self.same(await running, case)
        assert replies > 1, f"{replies} replies while the model answered"

    async def cancel(self) -> None:
        """Disconnecting cancels the answer."""
        case = self.case("cancel")
        async with service(self.file, *self.options(case)) as uri:
            async with AsyncClient.from_uri(uri) as client:
                await client.write_event(Transcript("Tell me of the sea. " * 80).event())
                await asyncio.sleep(0.1)
            self.same(await say(uri, case["messages"][-1]["content"]), case)

    async def restore(self) -> None:
        """A conversation continues over another connection."""
        case = self.case("restore")
        async with service(self.file, *self.options(case)) as uri:
            self.same(await say(uri, case["messages"][-1]["content"], "one"), case)
            await say(uri, "Good morning.", "another")
            said = await say(uri, case["next"], "one")
        again = [{"role": "assistant", "content": case["expect"]["text"]}]
        again = [*case["messages"], *again, {"role": "user", "content": case["next"]}]
        self.same(said, {**case, "messages": again}, "then")

    async def missing(self) -> None:
        case = self.case("missing")
        line = await refused("--file", self.tins / case["file"])
        assert case["expect"]["says"] in line, line
        assert "no adapter" in (line := await refused("--file", self.file, "--adapter", "garage")), line

    async def key(self) -> None:
        case, keys = self.case("key"), self.told["keys"]
        wrong, right = (keys[Path(case[name]).stem] for name in ("wrong", "right"))
        line = await refused("--file", self.file, "--key", wrong)
        assert case["expect"]["says"] in line, line
        async with service(self.file, "--key", right) as uri:
            assert Info.is_type((await ask(uri, Describe())).type)

    async def memory(self) -> None:
        line = await refused("--file", self.file, "--context", 512, "--most-memory", 1)
        assert "1,048,576" in line, line

    async def house(self) -> None:
        """A home's commands become intents, and off-topic messages do not."""
        python = tinsmith.load(self.house_file)
        async with service(self.house_file, "--language", "en") as uri:
            told = Info.from_event(await ask(uri, Describe()))
            assert not told.handle, told
            assert told.intent[0].models[0].languages == ["en"], told
            for kind in (Transcript, Recognize):
                for text in ("turn on the kitchen lamp", "Switch the fan off, please."):
                    event = await ask(uri, kind(text, context={"room": "hall"}))
                    made = Intent.from_event(event)
                    want = json.loads(python.chat([{"role": "user", "content": text}]).text)
                    got = {"name": made.name, "arguments": {one.name: one.value for one in made.entities}}
                    assert got == want, (got, want)
                    assert made.context and made.context["room"] == "hall", made
            assert NotRecognized.is_type((await ask(uri, Transcript("tell me a joke"))).type)
            line = await ask(uri, Transcript("turn on the lamp " * 100))
            assert "tokens" in str(NotRecognized.from_event(line).text), line

    async def socket(self) -> None:
        """Over a Unix domain socket too."""
        async with service(self.house_file, uri=f"unix://{self.work}/house.socket") as uri:
            assert Intent.is_type((await ask(uri, Transcript("turn on the radio"))).type)


async def run(given: argparse.Namespace) -> dict[str, str]:
    checks, results = Checks(given), {}
    for name in given.names or (*CASES, *MORE):
        try:
            await asyncio.wait_for(getattr(checks, name)(), 300)
            results[name] = "passed"
        except Exception as error:
            traceback.print_exc()
            results[name] = str(error) or type(error).__name__
        print(f"{name}: {results[name]}", flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("tins", "house", "work"):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).absolute(), required=True)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    results = asyncio.run(run(given))
    if not given.names:
        cases = {name: results[name] for name in CASES}
        table = {"host": "Wyoming", "version": version("wyoming"), "cases": cases}
        (given.work / "conformance.json").write_text(json.dumps(table, indent=2) + "\n")
    return 0 if all(what == "passed" for what in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
