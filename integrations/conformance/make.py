#!/usr/bin/env python3
"""Makes the tins for tests of hosts, and FOLDER/cases.json with Python's answers (README.md).

integrations/conformance/make.py FOLDER    a folder that is complete is left as it is
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.models import random_adapters  # noqa: E402
from tests.models.tiny_models import in_format, png_of, tiny_spec, with_vision  # noqa: E402
from tests.models.transformers_models import CHATML  # noqa: E402

import tinsmith  # noqa: E402
from tinsmith.compiler import build_tin  # noqa: E402
from tinsmith.models import family  # noqa: E402
from tinsmith.runtime import Completion  # noqa: E402

BASE = "smollm2-135m-instruct"
SCHEMA = {
    "type": "object",
    "properties": {"action": {"enum": ["open", "close", "wait"]}, "thing": {"type": "string", "maxLength": 12}},
    "required": ["action", "thing"],
    "additionalProperties": False,
}
MESSAGES = [
    {"role": "system", "content": "You work the doors of a ship."},
    {"role": "user", "content": "Please shut the port hatch."},
]
OPTIONS = ["open the hatch", "close the hatch", "close the door", "wait"]
FINISH = {"stop": 1, "length": 2, "context": 3, "constraint": 4}  # TIN_FINISH_* of tin.h
DRAWN = {"temperature": 0.8, "top_p": 0.9, "repetition": 1.1, "seed": 7}


def run(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tinsmith", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


def make_plain(folder: Path) -> Path:
    """SmolLM2-135M in Q4_0, constrained to SCHEMA, with two random adapters."""
    schema, made, tin = folder / "schema.json", folder / "built", folder / "plain.tin"
    schema.write_text(json.dumps(SCHEMA))
    run("build", BASE, "--format", "q4_0", "--schema", schema, "--out", made)
    (built,) = made.glob("*.tin")
    for seed, name in enumerate("ab", 1):
        factors = folder / f"{name}.adapter"
        factors.write_bytes(random_adapters.compiled(built, layers=("q", "v"), seed=seed))
        run("adapters", built, "--add", name, "--from", factors, "--out", tin)
        factors.unlink()
        built = tin.rename(folder / f"with-{name}.tin")
    built.rename(tin)
    shutil.rmtree(made)
    for left in folder.glob("with-*.tin"):
        left.unlink()
    return tin


def make_tiny(tin: Path) -> Path:
    """A model of 150,000 random weights with a token per byte, for tests with many answers, and an adapter
    "a"."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 1024}
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML), "Q8_0")
    build_tin(spec, tin)
    build_tin(spec, tin, entries={"adapter/a.bin": random_adapters.compiled(tin)})
    return tin


def make_vision_test(tin: Path) -> Path:
    """As make_tiny, in floats, with an encoder and a projector of random weights."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 1024}
    build_tin(with_vision(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML)), tin)
    return tin


def image_cases(folder: Path) -> list[dict[str, Any]]:
    """A question about an image, which is written to the folder, and images that are refused."""
    width, height = 48, 36
    rgb = bytes((7 * at + at // 50) % 256 for at in range(width * height * 3))
    whole, tin = png_of(rgb, width, height), make_vision_test(folder / "vision.tin")
    large = png_of(b"", 20000, 20000)  # 40 KB, that say to be 1.2 GB
    files = {"image.png": whole, "image.rgb": rgb, "cut.png": whole[: len(whole) // 2], "large.png": large}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    asked = [{"type": "image", "path": folder / "image.png"}, {"type": "text", "text": "What is it?"}]
    answer = tinsmith.load(tin, threads=2).chat(
        [{"role": "user", "content": asked}], max_tokens=24, record=True
    )
    shown = {"image": "image.png", "pixels": "image.rgb", "width": width, "height": height}
    told = {"text": "What is it?", "max_tokens": 24, "expect": expected(answer)}
    return [
        {"name": "image", "file": tin.name, **shown, **told},
        *(
            {"name": name, "file": file, "image": image, "expect": {"status": status, "says": says}}
            for name, file, image, status, says in (
                ("damaged", tin.name, "cut.png", -2, "it is cut short"),
                ("large", tin.name, "large.png", -5, "the image of 20000 x 20000 takes"),
                ("blind", "tiny.tin", "image.png", -4, "no image input"),
            )
        ),
    ]


def expected(answer: Completion) -> dict[str, Any]:
    return {
        "text": answer.text,
        "tokens": len(answer.token_ids),
        "finish": FINISH[answer.finish],
        "digest": str(answer.digest),  # JSON's numbers are not exact in every language
    }


def cases(tin: Path) -> list[dict[str, Any]]:
    model = tinsmith.load(tin, threads=2)

    def asked(messages: list[dict[str, str]], **options: Any) -> dict[str, Any]:
        return expected(model.chat(messages, max_tokens=24, record=True, **options))

    own, base = asked(MESSAGES), {"messages": MESSAGES, "max_tokens": 24}
    drawn = {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.1, "seed": 7}
    again = [
        *MESSAGES,
        {"role": "assistant", "content": own["text"]},
        {"role": "user", "content": "Now open it."},
    ]
    chosen = model.chat(MESSAGES, max_tokens=24, constraint=tinsmith.choices(OPTIONS), record=True)
    found = expected(chosen) | {"chosen": OPTIONS.index(chosen.text)}
    unconstrained = asked(MESSAGES, constraint=None, **drawn)
    return [
        {"name": "answer", **base, "expect": own},
        {"name": "unconstrained", **base, "constrained": False, "sampling": DRAWN, "expect": unconstrained},
        {"name": "adapter", **base, "adapter": "a", "expect": asked(MESSAGES, adapter="a"), "then": own},
        {"name": "choose", **base, "options": OPTIONS, "expect": found},
        {"name": "budget", **base, "budget_us": 200, "expect": own},
        {"name": "cancel", **base, "after_tokens": 3, "expect": own},
        {"name": "restore", **base, "next": "Now open it.", "expect": own, "then": asked(again)},
        {"name": "missing", "file": "nowhere.tin", "expect": {"status": -1, "says": "nowhere.tin"}},
        {"name": "key", "wrong": "other.pub", "right": "maker.pub", "expect": {"status": -9, "says": tin.name}},
        {"name": "memory", "most_bytes": 100_000, "expect": {"status": -5, "says": "100000"}},
    ]


def make(folder: Path) -> None:
    plain, tiny = make_plain(folder), make_tiny(folder / "tiny.tin")
    for name in ("other", "maker"):
        run("sign", "--generate", folder / name, "--no-password")
    run("sign", plain, "--key", folder / "maker.key")
    keys = {name: (folder / f"{name}.pub").read_text().split()[-1] for name in ("maker", "other")}
    made = {
        "files": {"plain": plain.name, "tiny": tiny.name},
        "keys": keys,
        "cases": [*cases(plain), *image_cases(folder)],
    }
    (folder / "cases.json").write_text(json.dumps(made, indent=2) + "\n")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    if (folder / "cases.json").exists():
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    make(making)
    making.rename(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
