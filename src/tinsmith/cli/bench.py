"""tinsmith bench: prompt and decode speed of a model file, beside other runtimes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError

HELP = "measure a model file's speed, beside llama.cpp and onnxruntime"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .gguf or a .tin")
    parser.add_argument("--threads", metavar="1,2", help="numbers of threads (default: 1 and the cores)")
    parser.add_argument(
        "--prompt", type=int, default=512, metavar="N", help="tokens computed at once (default: 512)"
    )
    parser.add_argument(
        "--generate", type=int, default=64, metavar="N", help="tokens decoded one by one (default: 64)"
    )
    parser.add_argument(
        "--depth", default="0,512", metavar="0,512", help="tokens that the cache holds before (default: 0,512)"
    )
    parser.add_argument(
        "--against", default="", metavar="ENGINES", help="peers on the same weights: llama.cpp, onnxruntime"
    )
    parser.add_argument(
        "--repeat", type=int, default=5, metavar="N", help="the median of N counts (default: 5)"
    )
    parser.add_argument("--isa", metavar="S", help="instruction set of tinsmith itself (default: the best one)")
    parser.add_argument("--json", action="store_true", help="print rows, ratios, machine … as JSON")


def run(args: argparse.Namespace) -> int:
    from tinsmith import bench, progress
    from tinsmith.bench.machine import cores

    options = bench.Options(
        threads=_numbers("threads", args.threads) if args.threads else sorted({1, cores()}),
        prompt=args.prompt,
        generate=args.generate,
        depths=_numbers("depth", args.depth),
        against=list(dict.fromkeys(name.strip() for name in args.against.split(",") if name.strip())),
        repeat=args.repeat,
        isa=args.isa,
    )
    found = bench.run(Path(args.file), options, progress.display())
    print(json.dumps(found, indent=1) if args.json else report(found))
    return 0


def _numbers(name: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(item) for item in text.split(",")))
    except ValueError:
        raise InputError(f"--{name} {text!r}: give whole numbers separated by commas, such as 1,2") from None


def report(found: Mapping[str, Any]) -> str:
    """The result as tables for reading."""
    machine = found["machine"]
    threads = list(machine["read_gb_s"])
    lines = [f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}"]
    for label, key in (("memory read, GB/s", "read_gb_s"), ("int8, 1e9 operations/s", "int8_gops")):
        values = ", ".join(f"{machine[key][count]:.1f} on {count}" for count in threads)
        lines.append(f"{label}: {values} {'thread' if threads == ['1'] else 'threads'}")
    heads = ["engine", "format", "threads", "depth", "prompt tok/s", "decode tok/s", "weights GB/s"]
    cells = [
        [
            row["engine"],
            row["format"],
            str(row["threads"]),
            str(row["depth"]),
            f"{row['prompt_tok_s']:.1f}",
            f"{row['decode_tok_s']:.1f}",
            f"{row['weight_gb_s']:.1f} ({row['read_share']:.0%})" if "weight_gb_s" in row else "",
        ]
        for row in found["rows"]
    ]
    lines += ["", *_table(heads, cells)]
    if found["ratios"]:
        heads = ["native over", "threads", "depth", "prompt", "decode"]
        cells = [
            [
                row["against"],
                str(row["threads"]),
                str(row["depth"]),
                f"{row['prompt']:.2f}x",
                f"{row['decode']:.2f}x",
            ]
            for row in found["ratios"]
        ]
        lines += ["", *_table(heads, cells)]
    return "\n".join(lines)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Words left, numbers right."""
    widths = [max(len(row[k]) for row in (heads, *rows)) for k in range(len(heads))]
    words = [not rows[0][k][:1].isdigit() and rows[0][k] != "" for k in range(len(heads))]
    return [
        "  ".join(
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in (heads, *rows)
    ]
