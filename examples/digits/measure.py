"""Measures how many test images a trained folder reads correctly, by transformers' model.

    python measure.py [--model runs/digits/trained] [--test runs/digits/data/test.jsonl]

prints JSON: for single digits and for five in a row, their number and the share of exact answers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Idefics3ForConditionalGeneration
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

import tinsmith
from tinsmith import models
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.train.batches.sequences import Tokenization, TokenSequence

BATCH = 64
LONGEST = 8  # tokens of an answer


def answers(model: Any, processor: Any, asked: Sequence[TokenSequence], end: int) -> list[list[int]]:
    """The most probable tokens after prompts of one length, each up to its end token."""
    tokens = torch.tensor([one.prompt for one in asked])
    images = [[picture.pixels() for picture in one.pictures] for one in asked]
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    first = tokens.shape[1]
    with torch.no_grad():
        for _ in range(LONGEST):
            logits = model(input_ids=tokens, pixel_values=pixels).logits[:, -1]
            tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], 1)
    found = tokens[:, first:].tolist()
    return [row[: row.index(end)] if end in row else row for row in found]


def measured(folder: Path, examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    spec = models.load(folder)
    words = tinsmith.load(folder, threads=1)
    read = Tokenization(spec, lambda text: words.tokenize(text, special=True), "chat", "", 1 << 20)(examples)
    model = Idefics3ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = Idefics3ImageProcessorPil.from_pretrained(folder)
    right: dict[str, list[bool]] = defaultdict(list)
    end = spec.tokenizer.end_tokens[-1]
    for begin in range(0, len(read), BATCH):
        part = slice(begin, begin + BATCH)
        for example, ids in zip(examples[part], answers(model, processor, read[part], end), strict=True):
            right[example.part or ""].append(words.detokenize(ids) == example.output)
    return {part: {"count": len(found), "exact": sum(found) / len(found)} for part, found in right.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    here = Path("runs") / "digits"  # where make leaves it
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=here / "trained")
    parser.add_argument("--test", type=Path, default=here / "data" / "test.jsonl")
    options = parser.parse_args(arguments)
    json.dump(measured(options.model, read_jsonl(options.test)), sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
