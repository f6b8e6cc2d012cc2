"""tinsmith bench: prompt and decode speed of a model file, beside other runtimes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, flag, option, values
from tinsmith.cli._terminal import table
from tinsmith.cli._types import File, Texts, Whole, Wholes
from tinsmith.system import progress

T = TypeVar("T")

HELP = "measure the speed of a model file, beside llama.cpp and onnxruntime"
SECTION = "measure"
PARAMETERS = [
    argument("file", "FILE", File(".gguf", ".tin"), help="a .gguf or a .tin"),
    option("--threads", Wholes(), help="numbers of threads (default: 1 and the cores)"),
    _model.DUTY_CYCLE,
    option("--prompt", Whole(), default=512, help="prompt tokens"),
    option("--generate", Whole(), default=64, help="tokens to decode"),
    option("--depth", Wholes(), default="0,512", help="tokens in the KV cache before"),
    option("--against", Texts("llama.cpp", "onnxruntime"), help="other engines on the same weights"),
    option("--repeat", Whole(), default=5, help="repetitions; the median counts"),
    _model.ISA,
    flag("--json", help="print rows, ratios and machine as JSON"),
]


def run(args: Args) -> int:
    from tinsmith import bench
    from tinsmith.system.cores import processors

    options = bench.Options(
        threads=_once(args.threads or sorted({1, processors()})),
        depths=_once(args.depth),
        against=_once(args.against or []),
        **values(args, "prompt", "generate", "repeat", "isa", "duty_cycle"),
    )
    result = bench.run(Path(args.file), options, progress.display())
    print(json.dumps(result, indent=1) if args.json else report(result))
    return 0


def _once(given: Sequence[T]) -> list[T]:
    return list(dict.fromkeys(given))


def report(result: Mapping[str, Any]) -> str:
    """The result as tables for reading."""
    machine = result["machine"]
    threads = list(machine["read_gb_s"])
    lines = [f"{machine['cpu']}, {machine['cores']} cores, {machine['isa']}"]
    for label, key in (("memory read, GB/s", "read_gb_s"), ("int8, 1e9 operations/s", "int8_gops")):
        values = ", ".join(f"{machine[key][count]:.1f} on {count}" for count in threads)
        lines.append(f"{label}: {values} {'thread' if threads == ['1'] else 'threads'}")
    cells = [
        (
            row["engine"],
            row["format"],
            *_at(row),
            f"{row['prompt_tok_s']:.1f}",
            f"{row['decode_tok_s']:.1f}",
            f"{row['weight_gb_s']:.1f} ({row['read_share']:.0%})" if "weight_gb_s" in row else "",
        )
        for row in result["rows"]
    ]
    heads = ["engine", "format", "threads", "depth", "prompt tok/s", "decode tok/s", "weights GB/s"]
    lines += ["", table([heads, *cells], right=range(2, 7))]
    if result["ratios"]:
        heads = ["native over", "threads", "depth", "prompt", "decode"]
        ratios = [
            (row["against"], *_at(row), f"{row['prompt']:.2f}x", f"{row['decode']:.2f}x")
            for row in result["ratios"]
        ]
        lines += ["", table([heads, *ratios], right=range(1, 5))]
    return "\n".join(lines)


def _at(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["threads"]), str(row["depth"])
