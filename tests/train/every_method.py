"""Trains a tiny model by every method, in a process of its own: `python every_method.py FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.train.tiny_training import PAIRS, REWARDED, digits, make_spec, train
from tinsmith import models
from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.train import methods
from tinsmith.train.options import TrainOptions


def main(folder: Path) -> None:
    spec = make_spec()
    models.save_hf(spec, folder / "teacher")
    examples = [Example(first + second, f"{i % 7}") for i, (first, second) in enumerate(PAIRS)]
    pairs = [Preference(example.input, (example.output, "x")) for example in examples]
    ratings = [Preference(pair.input, (output,), output != "x") for pair in pairs for output in pair.outputs]
    for name in methods.names():
        options = TrainOptions(epochs=1, rank=2, batch_tokens=40, threads=1, prefix_length=2)
        more: dict[str, Any] = {"texts": ["the lamp in the kitchen is on, and the door is open"] * 8}
        more["preferences"] = ratings if name == "kto" else pairs
        more["teacher"] = folder / "teacher"
        if name == "grpo":
            options, more["constraint"] = replace(options, **REWARDED), digits()
        if name == "lora":
            options = replace(options, epochs=8, search=0.9, average=0.5)
        result = train(name, spec, examples, examples[:4], options, folder / name, **more)
        print(name, result.steps, len(result.trials))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
