#!/usr/bin/env python3
"""Runs the cases of cases.json over tin_host.h by ctypes, as each binding's runner does in its language.

integrations/conformance/run.py LIBTINHOST TINS OUT    writes OUT as README.md has it; fails if a case does
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.host import host as hosts
from tests.host.host import Refused, Session


class Runner:
    def __init__(self, library: Path, tins: Path) -> None:
        self.host, self.tins = hosts.load(library), tins
        self.given = json.loads((tins / "cases.json").read_text())
        self.path = str(tins / self.given["files"]["plain"])
        self.model = self.open(self.path)

    def open(self, path: str, key: str | None = None) -> Any:
        model = self.host.open(path.encode(), key.encode() if key else None)
        if self.host.model_status(model):
            error = Refused(self.host.model_status(model), self.host.model_error(model))
            self.host.close(model)
            raise error
        return model

    def begun(self, case: dict[str, Any]) -> Session:
        session = Session(self.host, self.model, 512)
        for message in case["messages"]:
            session.say(("system", "user", "assistant", "tool").index(message["role"]), message["content"])
        session.constrained(case.get("constrained", True))
        if drawn := case.get("sampling"):
            session.sampling(drawn["temperature"], drawn["top_p"], drawn["repetition"], drawn["seed"])
        if name := case.get("adapter"):
            session.adapter(name, 1.0)
        if options := case.get("options"):
            session.choose("\n".join(options))
        else:
            session.begin(case["max_tokens"])
        return session

    def run(self, case: dict[str, Any]) -> Any:
        """The results for the case's "expect" and "then"."""
        name = case["name"]
        if "status" in case["expect"]:
            return self.refused(case), None
        if name == "image":
            return self.with_image(case), None
        session = self.begun(case)
        if name == "cancel":
            session.steps(most_tokens=case["after_tokens"])
            session.cancel()
            session.begin(case["max_tokens"])
        found, then = session.steps(case.get("budget_us", 0)), None
        if name == "adapter":
            session.forget(len(case["messages"]))
            session.adapter(None, 0)
            session.begin(case["max_tokens"])
            then = session.steps()
        if name == "restore":
            saved = session.saved()
            session.close()
            session = Session(self.host, self.model, 512)
            session.restore(saved, len(saved))
            session.ask(case["next"], case["max_tokens"])
            then = session.steps()
        session.close()
        return found, then

    def with_image(self, case: dict[str, Any]) -> Any:
        """Of the image's file, and of its pixels."""
        model, found = self.open(str(self.tins / case["file"])), []
        for way in ("image", "pixels"):
            session, data = Session(self.host, model, 512), (self.tins / case[way]).read_bytes()
            size = (case["width"], case["height"], 3) if way == "pixels" else ()
            getattr(session, way)(data, len(data), *size)
            session.ask(case["text"], case["max_tokens"])
            found.append(session.steps())
            session.close()
        self.host.close(model)
        return found[0] if found[0] == found[1] else found

    def unseen(self, case: dict[str, Any]) -> None:
        model, file = self.open(str(self.tins / case["file"])), (self.tins / case["image"]).read_bytes()
        session = Session(self.host, model, 512)
        try:
            session.image(file, len(file))
        finally:
            session.close()
            self.host.close(model)

    def refused(self, case: dict[str, Any]) -> dict[str, Any]:
        keys = {f"{name}.pub": key for name, key in self.given["keys"].items()}
        try:
            if "image" in case:
                self.unseen(case)
            elif case["name"] == "missing":
                self.open(str(self.tins / case["file"]))
            elif case["name"] == "key":
                self.host.close(self.open(self.path, keys[case["right"]]))
                self.open(self.path, keys[case["wrong"]])
            else:
                Session(self.host, self.model, 0, 1, case["most_bytes"])
        except Refused as error:
            says = case["expect"]["says"]
            return {"status": error.status, "says": says if says in str(error) else str(error)}
        return {"status": 0, "says": "it was not refused"}

    def check(self, case: dict[str, Any]) -> str:
        found, then = self.run(case)
        wanted = case["expect"], case.get("then")
        return "passed" if (found, then) == wanted else f"{(found, then)} is not {wanted}"


def main() -> int:
    library, tins, out = map(Path, sys.argv[1:])
    runner = Runner(library, tins)
    results = {case["name"]: runner.check(case) for case in runner.given["cases"]}
    runner.host.close(runner.model)
    version = sys.version.split()[0]
    out.write_text(json.dumps({"host": "ctypes", "version": version, "cases": results}, indent=2) + "\n")
    failed = {name: result for name, result in results.items() if result != "passed"}
    for name, result in failed.items():
        print(f"{name}: {result}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
