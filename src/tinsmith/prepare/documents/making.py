"""The output folder: checked examples in three splits, a recipe, and the dropped ones."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinsmith import tasks
from tinsmith.data.off_topic import PROMPTS
from tinsmith.data.readers import Example, Where
from tinsmith.data.splits import LEARNED, SPLITS, divide, normalize
from tinsmith.errors import InputError
from tinsmith.prepare import check, starting
from tinsmith.prepare.check import mending
from tinsmith.prepare.check.rows import Base, Data, Row
from tinsmith.prepare.documents import passages, teachers, writing
from tinsmith.prepare.documents.dropping import REASONS, Dropped
from tinsmith.prepare.documents.teachers import Teacher, weakness
from tinsmith.prepare.documents.writing import Terms, Writer
from tinsmith.system import files
from tinsmith.system.progress import Display

SHARES = {"validation": 0.1, "test": 0.2}
OFF_TOPIC_SHARE = 0.05  # off-topic examples, as a share of a split's others
HELD_OUT, KNOWN, OFF_TOPIC = "held-out documents", "documents learned from", "off topic"
# Least examples of a training passage for one to be tested, and the share of all examples that is.
_SEVERAL, _KNOWN_SHARE = 2, 0.1
DROPPED, SUMMARY = "dropped.jsonl", "documents.json"


@dataclass(frozen=True)
class Plan:
    """folder: of the documents. out: the new folder. base: the model to train, by name or path; base_path: its
    path. length: most characters of a passage. distill: the base with the passage teaches the base without.
    limit: of passages, 0 for all."""

    folder: Path
    out: Path
    task: str
    terms: Terms
    base: str
    base_path: Path
    length: int = passages.LENGTH
    seed: int = 0
    distill: bool = False
    limit: int = 0


@dataclass(frozen=True)
class Made:
    recipe: Path
    facts: dict[str, Any]

    def lines(self) -> list[str]:
        """The summary."""
        facts = self.facts
        per_split = ", ".join(f"{count} {split}" for split, count in facts["examples"].items())
        lines = [
            f"{facts['documents']} documents, {facts['passages']} passages, {facts['asked']} questions to "
            f"{facts['teacher']}",
            f"kept {facts['kept']} ({per_split})",
            *([facts["warning"]] if facts["warning"] else []),
        ]
        if facts["dropped"]:
            lines.append(f"left out, as {DROPPED} lists:")
            lines += [f"{count:6} {REASONS[reason]}" for reason, count in facts["dropped"].items()]
        return lines


def make(plan: Plan, teacher: Teacher, display: Display) -> Made:
    """Raises InputError for documents without examples, and an output folder with other files."""
    writer = writing.by_name(plan.task)
    _check_out(plan.out, plan.folder)
    cut, dropped = passages.read(plan.folder, plan.length)
    cut = cut[: plan.limit] if plan.limit else cut
    display.line(f"documents: {len({one.document for one in cut})}, {len(cut)} passages")
    kept = plan.out / teachers.FILE
    asked = list(teachers.ask(cut, writer, plan.terms, teacher, plan.seed, kept, display))
    written = _written(writer, plan.terms, asked, dropped)
    rows = _checked(_unambiguous(written, dropped), plan, dropped)
    files.write_text(plan.out / DROPPED, mending.json_lines(one.as_json() for one in dropped))
    splits = _divided(rows, plan)
    left_out = Counter(one.reason for one in dropped)
    facts = {
        "teacher": teacher.name,
        "warning": weakness(teacher),
        "task": plan.task,
        "seed": plan.seed,
        "documents": len({one.document for one in cut}),
        "passages": len(cut),
        "asked": sum(len(requests) for _, requests, _ in asked),
        "written": len(written),
        "kept": len(rows),
        "examples": {split: len(kept) for split, kept in splits.items()},
        "parts": dict(Counter(one.part for kept in splits.values() for one in kept if one.part)),
        "dropped": {reason: count for reason in REASONS if (count := left_out[reason])},
    }
    return Made(_write(plan, splits, facts), facts)


def _written(
    writer: Writer, terms: Terms, asked: Sequence[teachers.Answered], dropped: list[Dropped]
) -> list[Example]:
    rows: list[Example] = []
    for passage, requests, answers in asked:
        if not requests:
            dropped.append(Dropped("unasked", passage.where, "has no sentence that could be an answer"))
            continue
        for one in writer.written(passage, terms, requests, answers):
            if isinstance(one, Dropped):
                dropped.append(one)
            else:
                rows.append(replace(one, where=Where(passage.where)))
    return rows


def max_length(plan: Plan) -> int:
    """Most tokens of a row: a passage and an answer, or in a chat a question and a sentence."""
    needed = 0 if plan.task in ("chat", "call") else plan.length // 2 + 400
    return max(512, -(-needed // 256) * 256)


def _check_out(out: Path, folder: Path) -> None:
    if files.is_inside(out, folder):
        raise InputError(f"{out}: is inside {folder}, whose files are documents; give another folder by --out")
    files.check_begins(out / teachers.FILE, b'{"key": ')
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / teachers.FILE).is_file())):
        raise InputError(f"{out}: exists, but not from this command; remove it, or change --out")


def _checked(rows: Sequence[Example], plan: Plan, dropped: list[Dropped]) -> list[Example]:
    """The rows without faults that `tinsmith data check` finds; faults are mended or dropped."""
    data = Data(
        rows=[Row(LEARNED, plan.folder, one) for one in rows],
        faults=[],
        task=tasks.by_name(plan.task),
        base=Base.read(plan.base_path),
        length=max_length(plan),
    )
    kept, changes = mending.mend(check.run(data))
    for one in changes:
        if one.after is None:
            dropped.append(Dropped("checked", one.where, f"{one.kind}: {one.message}", one.before))
    return [row.example for row in kept]


def _unambiguous(rows: Sequence[Example], dropped: list[Dropped]) -> list[Example]:
    """The rows without inputs that have several answers."""
    outputs: dict[str, set[str]] = defaultdict(set)
    for one in rows:
        outputs[normalize(one.input)].add(one.output)
    kept = []
    for one in rows:
        if len(outputs[normalize(one.input)]) == 1:
            kept.append(one)
        else:
            message = "the same question has another answer in another row"
            dropped.append(Dropped("ambiguous", str(one.where), message, mending.written(one)))
    return kept


def _divided(rows: Sequence[Example], plan: Plan) -> dict[str, list[Example]]:
    """By document. A chat's test also has some questions about training passages. Distillation learns the
    documents themselves, so that only such questions validate it."""
    task = tasks.by_name(plan.task)
    labels = [task.label(one.output) for one in rows]
    shares = {split: share for split, share in SHARES.items() if split == "test" or not plan.distill}
    made = divide(rows, labels, shares, 1.0, plan.seed, {})
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for one, split in zip(rows, made.splits, strict=True):
        splits[split].append(replace(one, part=HELD_OUT) if split == "test" else one)
    if task.is_free or plan.distill:
        _hold_questions(splits, ("validation", "test") if plan.distill else ("test",))
    if empty := [split for split in SPLITS if not splits[split]]:
        documents = len({one.group for one in rows})
        raise InputError(
            f"{plan.folder}: {len(rows)} examples of {documents} documents are too few to hold documents out: "
            f"{' and '.join(empty)} would be empty; give more documents, or a better teacher; "
            f"{plan.out / DROPPED} says what was left out"
        )
    if plan.terms.off_topic:
        _add_off_topic(splits, plan.terms.off_topic)
    return splits


def _hold_questions(splits: dict[str, list[Example]], into: Sequence[str]) -> None:
    """Moves the last questions about some training passages with several questions to these splits."""
    of_passage = Counter(one.passage for one in splits[LEARNED])
    last = {one.passage: place for place, one in enumerate(splits[LEARNED])}
    able = sorted(place for passage, place in last.items() if of_passage[passage] >= _SEVERAL)
    wanted = len(into) * max(1, round(_KNOWN_SHARE * sum(map(len, splits.values()))))
    moved = able[:: max(1, -(-len(able) // wanted))]
    for number, split in enumerate(into):
        questions = [splits[LEARNED][place] for place in moved[number :: len(into)]]
        splits[split] += [replace(one, part=KNOWN) if split == "test" else one for one in questions]
    splits[LEARNED] = [one for place, one in enumerate(splits[LEARNED]) if place not in set(moved)]


def _add_off_topic(splits: dict[str, list[Example]], answer: str) -> None:
    """Adds other prompts to each split, evenly drawn."""
    counts = {split: max(1, round(OFF_TOPIC_SHARE * len(kept))) for split, kept in splits.items()}
    step = max(1, len(PROMPTS) // sum(counts.values()))
    drawn = iter(PROMPTS[::step])
    for split, count in counts.items():
        for _, prompt in zip(range(count), drawn, strict=False):
            part = OFF_TOPIC if split == "test" else None
            splits[split].append(Example(prompt, answer, part=part, about={"source": OFF_TOPIC}))


def _write(plan: Plan, splits: dict[str, list[Example]], facts: dict[str, Any]) -> Path:
    for split, rows in splits.items():
        files.write_text(plan.out / "data" / f"{split}.jsonl", mending.json_lines(map(mending.written, rows)))
    for name in ("schema", "tools"):
        value = getattr(plan.terms, name)
        if value is not None:
            text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
            files.write_text(plan.out / f"{name}.json", text)
    files.write_text(plan.out / SUMMARY, json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    recipe = plan.out / starting.RECIPE
    about = f"Examples that {facts['teacher']} wrote of the documents in {plan.folder.name}/; see {SUMMARY}."
    system = (
        f"You know the documents of {files.resolved(plan.folder).name}." if plan.task == "chat" else plan.task
    )
    train: dict[str, str | int] = {"max_length": max_length(plan)}
    train |= {"method": "distill", "teacher": "base"} if plan.distill else {}
    files.write_text(recipe, starting.recipe(plan.task, plan.base, about, system, train))
    return recipe
