"""Documents about pumps, and a teacher that asks about them as a script says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.backends.scripted_endpoint import Reply, says

PARTS = ("impeller", "gasket", "bearing", "housing", "flange", "coupling", "strainer", "valve")
MAKERS = ("Adler", "Bremer", "Celler", "Dornum", "Emder", "Fehmarn", "Goslar", "Husum", "Itzehoe", "Jever")


def pumps(folder: Path, count: int = 10) -> Path:
    """One document for each pump, of two passages with four sentences each."""
    folder.mkdir(parents=True)
    for number, maker in enumerate(MAKERS[:count]):
        text = f"# The {maker} pump\n"
        for half in (0, 4):
            text += f"\n## Maintenance {half}\n\n"
            for place, part in enumerate(PARTS[half : half + 4]):
                hours = 100 * (number + 2) + 10 * place + half
                text += f"The {part} of the {maker} pump is replaced after {hours} hours of work.\n"
        (folder / f"{maker.lower()}.md").write_text(text, "utf-8")
    return folder


def last(body: dict[str, Any]) -> str:
    text: str = body["messages"][-1]["content"]
    return text


def asks(body: dict[str, Any]) -> Reply:
    """A good question to each sentence about a pump's part."""
    answer = last(body).split("has this answer: ")[1].split("\n")[0]
    words = answer.rstrip(".").split()
    return says(json.dumps({"question": f"When is the {words[1]} of the {words[4]} pump replaced?"}))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
