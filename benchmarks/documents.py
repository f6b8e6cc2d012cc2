"""Documents to examples, and to an adapter: how many grounded examples a weak teacher makes of pages that this
machine has (Debian's READMEs, those of Python packages), and how the base answers questions about them: alone,
with an adapter that was distilled from the passages, with the passage that BM25 finds, and with both.

    nice -n 10 python benchmarks/documents.py --work runs/documents

Prints JSON. Takes about 20 minutes on one thread; what is there is not made again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import add_out, report

import tinsmith
from tinsmith import hub
from tinsmith.data.near import in_order
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.pipeline import engine
from tinsmith.pipeline import recipe as recipes
from tinsmith.prepare.documents import making, passages, writing
from tinsmith.prepare.documents.teachers import Local
from tinsmith.runtime.choosing import scored
from tinsmith.runtime.model import Model
from tinsmith.system import progress

BASE = "smollm2-135m-instruct"
SIZES = 1500, 20_000  # characters of a page
DEBIAN = Path("/usr/share/doc")
ANSWER = 64  # tokens


def gather(folder: Path, count: int) -> None:
    """Half of the pages, or as many as there are, are Debian's, the others Python packages'."""
    texts = {}
    for path in sorted(DEBIAN.glob("*/README*")):
        if path.suffix in ("", ".md", ".txt", ".Debian") and path.is_file():
            text = path.read_bytes().decode("utf-8", "ignore")
            if SIZES[0] <= len(text) <= SIZES[1] and path.parent.name not in texts:
                texts[path.parent.name] = text
    names = sorted(texts)
    chosen = {f"{name}.txt": texts[name] for name in names[:: max(1, 2 * len(names) // count)][: count // 2]}
    packages = sorted(importlib.metadata.distributions(), key=lambda one: one.name.lower())
    readmes = {f"{one.name}.md": one.metadata.get("Description") or "" for one in packages}
    readmes |= {
        f"{one.name}.md": str(one.metadata.get_payload() or readmes[f"{one.name}.md"]) for one in packages
    }
    fitting = [name for name, text in readmes.items() if SIZES[0] <= len(text) <= SIZES[1]]
    chosen |= {name: readmes[name] for name in fitting[: count - len(chosen)]}
    folder.mkdir(parents=True)
    for name, text in chosen.items():
        (folder / name).write_text(text, "utf-8")


@dataclass(frozen=True)
class System:
    """adapter: whether it is asked under it; found: whether the passage that was found is in the prompt."""

    adapter: bool
    found: bool


SYSTEMS = {
    "neither": System(False, False),
    "adapter": System(True, False),
    "retrieval": System(False, True),
    "both": System(True, True),
}


class Search:
    """BM25 over passages."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        self.texts = list(texts)
        self.index = bm25s.BM25()
        self.index.index(bm25s.tokenize(self.texts, show_progress=False), show_progress=False)

    def best(self, question: str) -> str:
        import bm25s

        asked = bm25s.tokenize(question, show_progress=False)
        places, _ = self.index.retrieve(asked, k=1, show_progress=False)
        return self.texts[int(places[0][0])]


def overlap(answer: str, wanted: str) -> float:
    """F1 of the words, as SQuAD has it."""
    own, right = in_order(answer.casefold()), in_order(wanted.casefold())
    common = sum(min(own.count(word), right.count(word)) for word in set(own))
    return 2 * common / (len(own) + len(right)) if own and right else 0.0


def measure(
    model: Model, system: System, rows: Sequence[Example], search: Search, prompt: str
) -> dict[str, Any]:
    """f1, exact: of the answers; nats: of a token of the right answer, less the likelier the model finds it."""
    adapter = "documents" if system.adapter else None
    prompts, right = [], 0
    for one in rows:
        passage = search.best(one.input) if system.found else None
        right += passage == one.passage
        text = f"{passage}\n\n{one.input}" if passage else one.input
        messages = [{"role": "system", "content": prompt}, {"role": "user", "content": text}]
        prompts.append(model.render(messages, adapter=adapter))
    begun = time.monotonic()
    answers = model.generate_many(prompts, max_tokens=ANSWER, temperature=0.0, adapter=adapter)
    seconds = time.monotonic() - begun
    nats = tokens = 0.0
    for asked, one in zip(prompts, rows, strict=True):
        nats -= scored(model, asked, [one.output], adapter)[0]
        tokens += len(model.tokenize(one.output)) + 1
    texts = [one.text.strip() for one in answers]
    return {
        "f1": round(sum(map(overlap, texts, [one.output for one in rows])) / len(rows), 4),
        "exact": round(sum(text == one.output for text, one in zip(texts, rows, strict=True)) / len(rows), 4),
        "nats": round(nats / tokens, 4),
        "ms": round(1000 * seconds / len(rows), 1),
        **({"found": round(right / len(rows), 4)} if system.found else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--questions", type=int, default=50, help="of each part of the test set, at most")
    add_out(parser)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    folder, base, display = args.work / "pages", hub.pull(BASE), progress.display()
    if not folder.exists():
        gather(folder, args.pages)
    plan = making.Plan(
        folder,
        args.work / "examples",
        "chat",
        writing.Terms(off_topic="The documents do not say."),
        BASE,
        base,
        distill=True,
    )
    begun = time.monotonic()
    made = making.make(plan, Local(base, args.threads, BASE), display)
    written = time.monotonic() - begun
    stated = '[train]\nqat = "none"\n'  # the adapter alone is measured
    made.recipe.write_text(made.recipe.read_text("utf-8").replace("[train]\n", stated), "utf-8")
    begun = time.monotonic()
    recipe = recipes.load(made.recipe)
    run = engine.make(recipe, args.work / "run", display, "train")
    trained = time.monotonic() - begun
    model = tinsmith.load(base, threads=args.threads)
    model.adapters.add("documents", run.folder / engine.train_folder(recipe))
    parts: dict[str, list[Example]] = defaultdict(list)
    for one in read_jsonl(made.recipe.parent / "data" / "test.jsonl"):
        if one.passage:
            parts[str(one.part)].append(one)
    search = Search([one.text for one in passages.read(folder)[0]])
    results = {
        part: {
            "questions": len(rows[: args.questions]),
            **{
                name: measure(model, system, rows[: args.questions], search, recipe.data.system)
                for name, system in SYSTEMS.items()
            },
        }
        for part, rows in sorted(parts.items())
    }
    seconds = {"write": round(written, 1), "train": round(trained, 1)}
    rows = [
        {"System": name}
        | {f"{part}, {key}": found[name][key] for part, found in results.items() for key in ("f1", "nats")}
        for name in SYSTEMS
    ]
    report(args.out, {"made": made.facts, "seconds": seconds, "answers": results}, rows)


if __name__ == "__main__":
    main()
