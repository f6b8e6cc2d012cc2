#!/usr/bin/env python3
"""Makes this version's files for the test of docs/compatibility.md:

    tests/compatibility/make.py NAME     writes tests/compatibility/files/NAME.tar.xz

Run it on a released tree after a file's version was raised or a file got a new part. Never make another
version's archive again: only its own tree can (`commit` in expected.json). All is seeded, but training's floats
differ from machine to machine.

An archive holds a recipe, its tiny base and data, the run's record, adapter and .tin, a .tin with recurrent
states, saved sessions, and expected.json: what this version computes from them.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

SIZES = {
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
}
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
system = "home"
[train]
epochs = 1
rank = 2
batch_tokens = 4096
[build]
formats = ["Q8_0"]
context = 512
[eval]
baselines = ["nearest"]
max_tokens = 8
threads = 1
"""
CONSTRAINT = """\
[constraint]
schema = "schema.json"
"""


def closed(**keys: Any) -> dict[str, Any]:
    return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}


NUMBER = {"type": "integer", "minimum": 0, "maximum": 99}
SCHEMA = closed(name={"enum": ["Get", "Set"]}, arguments=closed(n=NUMBER))
# The files of the run's folder that a later version reads; it builds the rest anew.
KEPT = ("run.json", "home-q8_0.tin", "adapter/*")
RECURRENT = "qwen35"
RECURRENT_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
    "num_hidden_layers": 2,
    "full_attention_interval": 2,
    "layer_types": ["linear_attention", "full_attention"],
}
TOKENS = [(7 * k * k + 3 * k) % 266 for k in range(24)]
MESSAGES = [{"role": "user", "content": "number 5"}]


def write_inputs(folder: Path) -> None:
    """The recipe, its base and its data."""
    from tests.models.tiny_models import tiny_spec
    from tinsmith import models, quant
    from tinsmith.models import family

    spec = replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML)
    models.save_gguf(quant.apply(spec, "Q4_0"), folder / "base.gguf")

    def rows(name: str, numbers: range) -> None:
        def answer(n: int) -> str:
            return json.dumps({"name": ("Get", "Set")[n % 2], "arguments": {"n": n}}, separators=(",", ":"))

        lines = [json.dumps({"input": f"number {n}", "output": answer(n)}) + "\n" for n in numbers]
        (folder / f"{name}.jsonl").write_text("".join(lines))

    rows("train", range(12))
    rows("validation", range(12, 15))
    rows("test", range(15, 18))
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    (folder / "home.toml").write_text(RECIPE + CONSTRAINT)


def write_recurrent(folder: Path) -> None:
    from tests.models.tiny_models import tiny_spec
    from tinsmith import compiler, quant

    spec = replace(tiny_spec(RECURRENT, **RECURRENT_SIZES), chat_template=CHATML)
    compiler.build_tin(quant.apply(spec, "Q4_0"), folder / "recurrent.tin")


def digest(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def session_of(model: Any) -> Any:
    from tinsmith import _core

    return _core.Session(model.core, context=256, chunk=16)


def computed(session: Any) -> None:
    from tinsmith import _core

    while session.step() == _core.STEP_PENDING:
        pass


def continued(session: Any, count: int = 8) -> dict[str, Any]:
    """The greedy tokens and their logits after one more token."""
    tokens, rows = [], b""
    session.append([1])
    computed(session)
    for _ in range(count):
        rows += session.logits()[1]
        tokens.append(session.argmax()[0])
        session.append(tokens[-1:])
        computed(session)
    return {"tokens": tokens, "logits": digest(rows)}


def answers(path: Path) -> dict[str, Any]:
    """Digests and tokens that no later version may change."""
    import tinsmith

    model = tinsmith.load(path, threads=1)
    free = {"constraint": None}
    asked = model.render(MESSAGES)
    return {
        "logits": digest(model.logits(TOKENS)),
        "prompt": list(asked),
        "greedy": list(model.generate(asked, max_tokens=12, repetition_penalty=1.5, **free).token_ids),
        "sampled": list(model.generate(asked, max_tokens=12, temperature=1.0, seed=7, **free).token_ids),
        **({"constrained": model.generate(asked, max_tokens=96).text} if model.constraint else {}),
    }


def save_session(tin: Path, path: Path) -> dict[str, Any]:
    """Writes a session that has computed TOKENS; returns its continuation."""
    import tinsmith

    session = session_of(tinsmith.load(tin, threads=1))
    session.append(TOKENS)
    computed(session)
    path.write_bytes(session.save())
    return continued(session)


def merged_digest(folder: Path) -> str:
    """Of a merged model's weights."""
    from tinsmith import models

    tensors = models.load(folder).tensors
    return digest(b"".join(bytes(tensors[role].data) for role in sorted(tensors)))


def make(folder: Path) -> dict[str, Any]:
    """Fills a folder; returns the contents of expected.json."""
    from tinsmith import cli

    write_inputs(folder)
    assert cli.main(["make", str(folder / "home.toml"), "--out", str(folder / "run")]) == 0
    tin = folder / "run" / "home-q8_0.tin"
    write_recurrent(folder)
    return {
        "merged": merged_digest(folder / "run" / "merged"),
        "run": answers(tin),
        "session": save_session(tin, folder / "run.session"),
        "recurrent": answers(folder / "recurrent.tin"),
        "recurrent_session": save_session(folder / "recurrent.tin", folder / "recurrent.session"),
    }


def main(name: str) -> None:
    root = HERE.parents[1]
    commit = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        folder = Path(temporary)
        expected = {"commit": commit.stdout.strip(), **make(folder)}
        (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        kept = [path for path in sorted(folder.iterdir()) if path.is_file()]
        kept += [path for pattern in KEPT for path in sorted((folder / "run").glob(pattern))]
        (HERE / "files").mkdir(exist_ok=True)
        with tarfile.open(HERE / "files" / f"{name}.tar.xz", "w:xz", preset=9) as archive:
            for path in kept:
                entry = tarfile.TarInfo(str(path.relative_to(folder)))
                entry.size = path.stat().st_size
                with path.open("rb") as file:
                    archive.addfile(entry, file)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: tests/compatibility/make.py NAME")
    main(sys.argv[1])
