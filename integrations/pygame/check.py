"""What integrations/pygame/test checks inside a running pygame: check.py TINS OUT.json

The cases of integrations/conformance, each answer in slices of a frame; and the helmsman.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pygame
from game import Game
from helm import Helmsman

import tinsmith
from tinsmith.errors import TinsmithError

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
from make import expected


class Cases:
    def __init__(self, tins: Path) -> None:
        self.tins = tins
        self.given = json.loads((tins / "cases.json").read_text("utf-8"))
        self.path = tins / self.given["files"]["plain"]
        self.model = tinsmith.load(self.path, threads=1)
        self.clock = pygame.time.Clock()

    def begin(self, case: dict[str, Any], **options: Any) -> Any:
        return self.model.begin(case["messages"], max_tokens=case["max_tokens"], record=True, **options)

    def played(self, answer: Any, seconds: float = 0.002) -> tinsmith.Completion:
        """The answer, in frames."""
        text = ""
        while not answer.done:
            pygame.event.pump()
            text += answer.step_for(seconds)
            pygame.display.flip()
            self.clock.tick(1000)
        assert text == answer.completion.text
        return answer.completion

    def same(self, answer: tinsmith.Completion, wanted: dict[str, Any]) -> None:
        found = expected(answer)
        assert found == {name: wanted[name] for name in found}, found

    def refused(self, case: dict[str, Any], **options: Any) -> None:
        try:
            tinsmith.load(self.tins / case.get("file", self.path.name), **options)
        except TinsmithError as error:
            assert case["expect"]["says"] in str(error) and "\n" not in str(error), error
        else:
            raise AssertionError("it was not refused")

    def answer(self, case: dict[str, Any]) -> None:
        self.same(self.played(self.begin(case)), case["expect"])

    def free(self, case: dict[str, Any]) -> None:
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

    def results(self) -> dict[str, str]:
        found = {}
        for case in self.given["cases"]:
            run: Callable[[dict[str, Any]], None] | None = getattr(self, case["name"], None)
            try:
                if run is None:  # memory
                    raise AssertionError("Python's runtime takes no bound on a session's memory")
                run(case)
                found[case["name"]] = "passed"
            except (AssertionError, TinsmithError) as error:
                found[case["name"]] = f"{type(error).__name__}: {error}"
        return found


def check_helmsman(model: tinsmith.Model) -> None:
    """The same orders come to the same, whole or in slices, cancelled in between, from a saved game too."""
    whole, sliced = Helmsman(model), Game(model, 0.0005)
    first = whole.answer("Hard to port!")
    sliced.helmsman.hear("No, wait.")
    sliced.frame()
    sliced.helmsman.hush()
    sliced.helmsman.hear("Hard to port!")
    while sliced.helmsman.thinks:
        sliced.frame()
    assert (sliced.helmsman.deed, sliced.helmsman.said) == first
    again = Helmsman.restore(model, sliced.helmsman.save())
    assert again.answer("Faster!") == whole.answer("Faster!")


def main() -> int:
    tins, out = map(Path, sys.argv[1:])
    pygame.init()
    pygame.display.set_mode((320, 200))
    cases = Cases(tins).results()
    out.write_text(json.dumps({"host": "pygame", "version": pygame.version.ver, "cases": cases}) + "\n")
    failed = {name: said for name, said in cases.items() if said != "passed" and name != "memory"}
    for name, said in failed.items():
        print(f"{name}: {said}", file=sys.stderr)
    check_helmsman(tinsmith.load(tins / "tiny.tin", threads=1))
    pygame.quit()
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
