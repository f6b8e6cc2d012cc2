"""The cases through Python's own runtime, in slices of a host's frames: for hosts that are Python programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from make import expected

import tinsmith
from tinsmith.errors import TinsmithError


def asking(image: dict[str, Any], text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image", **image}, {"type": "text", "text": text}]}]


class Cases:
    def __init__(self, tins: Path, frame: Callable[[], object]) -> None:
        """frame: what the host does between two slices."""
        self.tins, self.frame = tins, frame
        self.given = json.loads((tins / "cases.json").read_text("utf-8"))
        self.path = tins / self.given["files"]["plain"]
        self.model = tinsmith.load(self.path, threads=1)

    def begin(self, case: dict[str, Any], **options: Any) -> Any:
        return self.model.begin(case["messages"], max_tokens=case["max_tokens"], record=True, **options)

    def played(self, answer: Any, seconds: float = 0.002) -> tinsmith.Completion:
        """The answer, in frames."""
        text = ""
        while not answer.done:
            text += answer.step_for(seconds)
            self.frame()
        assert text == answer.completion.text
        return answer.completion

    def same(self, answer: tinsmith.Completion, wanted: dict[str, Any]) -> None:
        found = expected(answer)
        assert found == {name: wanted[name] for name in found}, found

    def refused(self, case: dict[str, Any], asked: Any = "hello", **options: Any) -> None:
        """By opening the file, or the first question."""
        try:
            model = tinsmith.load(self.tins / case.get("file", self.path.name), **options)
            model.begin(asked, max_tokens=1)
        except TinsmithError as error:
            assert case["expect"]["says"] in str(error) and "\n" not in str(error), error
        else:
            raise AssertionError("it was not refused")

    def answer(self, case: dict[str, Any]) -> None:
        self.same(self.played(self.begin(case)), case["expect"])

    def unconstrained(self, case: dict[str, Any]) -> None:
        drawn = dict(case["sampling"])
        drawn["repetition_penalty"] = drawn.pop("repetition")
        self.same(self.played(self.begin(case, constraint=None, **drawn)), case["expect"])

    def adapter(self, case: dict[str, Any]) -> None:
        self.same(self.played(self.begin(case, adapter=case["adapter"])), case["expect"])
        self.same(self.played(self.begin(case)), case["then"])

    def choose(self, case: dict[str, Any]) -> None:
        self.same(self.played(self.begin(case, constraint=tinsmith.choices(case["options"]))), case["expect"])

    def budget(self, case: dict[str, Any]) -> None:
        self.same(self.played(self.begin(case), case["budget_us"] / 1e6), case["expect"])

    def cancel(self, case: dict[str, Any]) -> None:
        answer = self.begin(case)
        while not answer.step_for(0.0005):
            pass
        answer.cancel()
        self.answer(case)

    def restore(self, case: dict[str, Any]) -> None:
        said = [*case["messages"], {"role": "assistant", "content": self.played(self.begin(case)).text}]
        saved = json.dumps([*said, {"role": "user", "content": case["next"]}])
        self.model = tinsmith.load(self.path, threads=1)
        self.same(self.played(self.begin({**case, "messages": json.loads(saved)})), case["then"])

    def missing(self, case: dict[str, Any]) -> None:
        self.refused(case)

    def key(self, case: dict[str, Any]) -> None:
        self.refused(case, key=self.given["keys"][case["wrong"].split(".")[0]])
        tinsmith.load(self.path, key=self.given["keys"][case["right"].split(".")[0]])

    def memory(self, case: dict[str, Any]) -> None:
        self.refused(case, threads=1, most_bytes=case["most_bytes"])

    def image(self, case: dict[str, Any]) -> None:
        """Of the image's file, and of its pixels."""
        model = tinsmith.load(self.tins / case["file"], threads=1)
        rgb = (self.tins / case["pixels"]).read_bytes()
        pixels = memoryview(rgb).cast("B", (case["height"], case["width"], 3))
        for way in ({"path": self.tins / case["image"]}, {"pixels": pixels}):
            answer = model.begin(asking(way, case["text"]), max_tokens=case["max_tokens"], record=True)
            self.same(self.played(answer), case["expect"])

    def unseen(self, case: dict[str, Any]) -> None:
        self.refused(case, asking({"path": self.tins / case["image"]}, "?"), threads=1)

    damaged = large = blind = unseen

    def results(self) -> dict[str, str]:
        found = {}
        for case in self.given["cases"]:
            run: Callable[[dict[str, Any]], None] = getattr(self, case["name"])
            try:
                run(case)
                found[case["name"]] = "passed"
            except (AssertionError, TinsmithError) as error:
                found[case["name"]] = f"{type(error).__name__}: {error}"
        return found


def run(tins: Path, out: Path, host: str, version: str, frame: Callable[[], object]) -> int:
    """Writes the host's conformance.json. Returns how many cases failed."""
    cases = Cases(tins, frame).results()
    out.write_text(json.dumps({"host": host, "version": version, "cases": cases}, indent=2) + "\n", "utf-8")
    failed = {name: said for name, said in cases.items() if said != "passed"}
    for name, said in failed.items():
        print(f"{name}: {said}", file=sys.stderr)
    return len(failed)
