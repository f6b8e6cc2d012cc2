"""Measures conversion: a random model's folder to GGUF and tin files, beside llama.cpp's quantizer.

    python benchmarks/convert.py FOLDER [--shape qwen2.5-0.5b] [--types q4_k_m,q8_0] [--threads 2] [--tin] >
    convert.json

FOLDER is made where it is missing: BF16 in shards of 2 GB (qwen3-4b takes 8 GB; the results go beside it and
are deleted). Each conversion runs in a process of its own: wall seconds, peak resident memory, source bytes a
second. llama.cpp's llama_model_quantize starts from the BF16 GGUF that ours made of the same folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tinsmith.formats import safetensors
from tinsmith.models import family
from tinsmith.system.files import write_text
from tinsmith.tokenizer import tokenizer_json

sys.path.insert(0, str(Path(__file__).parent))
from random_model import SHAPES as SMALL
from random_model import padded_tokenizer

_QWEN3 = {
    "head_dim": 128,
    "max_position_embeddings": 40960,
    "num_key_value_heads": 8,
    "rope_theta": 1e6,
    "vocab_size": 151936,
}
SHAPES = SMALL | {
    "qwen3-1.7b": (
        "qwen3",
        _QWEN3
        | {
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_attention_heads": 16,
            "num_hidden_layers": 28,
        },
    ),
    "qwen3-4b": (
        "qwen3",
        _QWEN3
        | {
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_attention_heads": 32,
            "num_hidden_layers": 36,
        },
    ),
}
SHARD = 2_000_000_000
LLAMA = """
import ctypes, sys, llama_cpp
quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(quiet, None)
options = llama_cpp.llama_model_quantize_default_params()
options.ftype, options.nthread = getattr(llama_cpp, "LLAMA_FTYPE_MOSTLY_" + sys.argv[3]), int(sys.argv[4])
code = llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(options))
"""
OURS = "import sys; from tinsmith.cli import main; code = main()"
# A child's ru_maxrss is not its own: it begins with its parent's.
REPORT = """
import time
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], round(time.process_time(), 2))
sys.exit(code)
"""


def make_folder(shape: str, folder: Path) -> None:
    """Weights are stretches of one pool of normal numbers: their statistics are a model's, and they are soon
    made."""
    kind, config = SHAPES[shape]
    model = family.by_name(kind)
    hyper = model.hyper_from_hf({"rms_norm_eps": 1e-6, "tie_word_embeddings": True, **config})
    rng = np.random.default_rng(1)
    pool = (rng.standard_normal(1 << 25, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    shards: list[dict[str, safetensors.Tensor]] = [{}]
    held = 0
    for name in model.tensors(hyper):
        if not name.hf:
            continue
        size = 2 * name.rows * name.inputs
        if held + size > SHARD and shards[-1]:
            shards.append({})
            held = 0
        held += size
        data = drawn(pool, size, 2 * int(rng.integers(1 << 20)), name.inputs, name.rows == 1)
        shards[-1][name.hf] = safetensors.Tensor("BF16", name.folder_shape, data)
    weight_map = {}
    for k, shard in enumerate(shards, 1):
        file = f"model-{k:05}-of-{len(shards):05}.safetensors"
        safetensors.write(folder / file, shard)
        weight_map |= dict.fromkeys(shard, file)
    write_text(folder / safetensors.INDEX, json.dumps({"weight_map": weight_map}))
    # A folder's vocabulary is whole: names that no merge makes are in it all the same.
    tokenizer = padded_tokenizer(hyper.vocab)
    whole = ["control" if kind == "control" else "normal" for kind in tokenizer.types]
    tokenizer_json.write(folder, replace(tokenizer, types=whole), None, hyper.context)
    write_text(folder / "config.json", json.dumps(model.hyper_to_hf(hyper) | {"torch_dtype": "bfloat16"}))


def drawn(pool: np.ndarray, size: int, begin: int, inputs: int, vector: bool) -> Any:
    """BF16 in pieces; a norm's weight is of ones, a matrix's scaled by a power of 2 near 1 / sqrt(inputs)."""
    if vector:
        yield np.full(size // 2, 0x3F80, np.uint16).tobytes()
        return
    lower = int(np.log2(inputs) / 2) << 7  # off the exponent
    scaled = np.where((pool & 0x7F80) > lower, pool - np.uint16(lower), 0).astype(np.uint16).view(np.uint8)
    at, left = begin, size
    while left:
        piece = scaled[at : at + left]
        yield piece.data
        at, left = 0, left - len(piece)


def measured(command: list[str], source: int, out: Path) -> dict[str, Any]:
    """`out`, which the command makes, is measured and deleted; source: bytes that are converted. The command's
    last word on stdout is its peak of resident memory in KiB."""
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.monotonic() - start
    peak, processor = done.stdout.split()[-2:]
    result = {
        "seconds": round(seconds, 2),
        "cpu_seconds": float(processor),
        "peak_mb": round(int(peak) / 1024),
        "source_mb_s": round(source / 1e6 / seconds, 1),
        "bytes": sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir())),
    }
    if out.is_file():
        out.unlink()
    else:
        shutil.rmtree(out)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="qwen2.5-0.5b")
    parser.add_argument("--types", default="q4_k_m,q6_k,q4_0,q8_0")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tin", action="store_true", help="also a tin of each type")
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
    args = parser.parse_args()
    if not (args.folder / "config.json").exists():
        make_folder(args.shape, args.folder)
    source = sum(file.stat().st_size for file in args.folder.glob("*.safetensors"))
    tinsmith = [sys.executable, "-c", OURS + REPORT]
    plain, out = args.folder.with_suffix(".bf16.gguf"), args.folder.with_suffix(".out.gguf")
    rows = []
    if not args.alone:
        command = [*tinsmith, "quantize", str(args.folder), str(plain), "--type", "bf16"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    for name in args.types.split(","):
        given = ["--type", name, "--threads", str(args.threads)]
        row = {
            "type": name,
            "folder": measured([*tinsmith, "quantize", str(args.folder), str(out), *given], source, out),
        }
        if args.tin:
            made = args.folder.with_suffix(".built")
            command = [
                *tinsmith,
                "build",
                str(args.folder),
                "--format",
                name,
                "--context",
                "1024",
                "--out",
                str(made),
            ]
            row["folder_and_tin"] = measured(command, source, made)
        if not args.alone:
            row["gguf"] = measured([*tinsmith, "quantize", str(plain), str(out), *given], source, out)
            theirs = [
                sys.executable,
                "-c",
                LLAMA + REPORT,
                str(plain),
                str(out),
                name.upper(),
                str(args.threads),
            ]
            row["llama.cpp"] = measured(theirs, source, out)
        rows.append(row)
    plain.unlink(missing_ok=True)
    print(
        json.dumps(
            {"shape": args.shape, "source_bytes": source, "threads": args.threads, "rows": rows}, indent=1
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
