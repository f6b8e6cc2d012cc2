"""Measures `auto` beside llama.cpp's presets, at equal file sizes, by what each file loses.

    python benchmarks/search.py WORK [--run runs/home | --model MODEL --calibration F --test F]
        [--examples N] [--tokens 8192] [--sizes 60,65,…,145] [--presets q4_k_m,…] > search.json

The float model is the dequantized Q8_0 file: of a recipe's run, or of MODEL (the base of the examples where
neither is given, on Python's own topics of help). llama.cpp quantizes that with the importance matrix that ours
is given too. A file's loss is the mean KL divergence of its next-token distributions from the float model's,
both computed in torch from what the file's blocks stand for, on text that calibration did not see. WORK keeps
every file's row (store.json) and what the search measured, so that a run that was stopped goes on. Prints a
table to stderr, JSON to stdout.

Needs llama-cpp-python and the gguf package, which reads those formats that are not ours.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinsmith
from tinsmith import hub, models, tasks
from tinsmith.data.readers import read_jsonl
from tinsmith.errors import InputError
from tinsmith.models.family import by_name
from tinsmith.quant.files import quantize
from tinsmith.quant.shipping import Weights, by_role, write_gguf
from tinsmith.search import auto, text
from tinsmith.search.budget import Budget
from tinsmith.search.floats import Reference
from tinsmith.spec import Spec, Tensor
from tinsmith.system import files, progress

THEIRS = (
    "IQ3_M", "IQ4_XS", "IQ4_NL", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M",
    "Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0",
)  # fmt: skip
OURS = ("Q4_K_M",)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path, help="a folder of its own")
    parser.add_argument("--run", type=Path, help="of a recipe that built Q8_0")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--examples", type=int, default=0, help="of each split of a run that are read (0: all)")
    parser.add_argument("--tokens", type=int, default=8192, help="of the test text")
    parser.add_argument("--seen", type=int, default=16_384, help="tokens for second moments and importance")
    parser.add_argument("--measured", type=int, default=1024, help="tokens that sensitivities are measured on")
    parser.add_argument("--sizes", default=",".join(str(size) for size in range(60, 150, 5)), help="MB")
    parser.add_argument("--presets", default=",".join(THEIRS))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(args)
    rows = comparison.rows()
    grid = against(rows, comparison, [int(float(size) * 1e6) for size in args.sizes.split(",") if size])
    for line in table(rows, grid):
        print(line, file=sys.stderr)
    print(json.dumps({"model": str(comparison.source), "rows": rows, "grid": grid}, indent=1))
    return 0


class Comparison:
    """The float model, the search, and the rows measured so far."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.work, self.presets = args.work, [name.upper() for name in args.presets.split(",") if name]
        self.display = progress.display()
        self.source = self._source(args)
        self.spec = models.load(self.source)
        calibration, test = self._texts(args)
        options = auto.Options(tokens=args.measured, gram_tokens=args.seen)
        self.search = auto.Search(self.spec, calibration, self.work, self.display, options)
        judged = text.windows(self.spec, test, args.tokens)
        with self.display.bar("test text", len(judged)) as bar:
            self.test = Reference(self.search.model, judged, bar.update)
        self.importance = {
            self.search.model.names[role].gguf: weights
            for role, weights in self.search.grams.importance().items()
        }
        self.key = f"{self.search.losses.digest[:16]}:{args.tokens}:{len(test)}"
        self.store = self.work / "store.json"
        self.stored: dict[str, Any] = json.loads(self.store.read_text()) if self.store.exists() else {}

    def _source(self, args: argparse.Namespace) -> Path:
        if args.run:
            paths = sorted(args.run.glob("*-q8_0.gguf"))
            if not paths:
                raise InputError(f"{args.run}: holds no Q8_0 file; add it to the recipe's formats")
            return paths[0]
        path = self.work / "float-q8_0.gguf"
        if not path.exists():
            quantize(hub.pull(args.model), path, "Q8_0")
        return path

    def _texts(self, args: argparse.Namespace) -> tuple[list[int], list[int]]:
        """Token ids of the calibration text and of the test text."""
        if args.run:
            calibration, test = (
                conversations(args.run, self.source, split, args.examples or None)
                for split in ("train", "test")
            )
            return calibration, test
        if args.calibration and args.test:
            texts = [text.read(path) for path in (args.calibration, args.test)]
        else:
            from pydoc_data.topics import topics

            names = sorted(topics)
            texts = ["\n".join(topics[name] for name in names[odd::2]) for odd in (0, 1)]
        calibration, test = (text.tokens(self.spec, one) for one in texts)
        return calibration, test

    def rows(self) -> list[dict[str, Any]]:
        """llama.cpp's presets with `auto` at each one's size, and our own presets."""
        rows = []
        for name in self.presets:
            theirs = self._row(f"llama.cpp {name}", lambda path, name=name: self._theirs(name, path))
            row = {"type": name, "llama.cpp": theirs}
            if name in OURS:
                for label, fed in (("tinsmith", False), ("tinsmith, error feedback", True)):
                    row[label] = self._row(
                        f"{label} {name}", lambda path, name=name, fed=fed: self._ours(name, path, fed)
                    )
            row["auto"] = self.auto(theirs["bytes"])
            rows.append(row)
        return sorted(rows, key=lambda row: row["llama.cpp"]["bytes"])

    def auto(self, size: int) -> dict[str, Any] | None:
        """None where no file is so small."""
        try:
            point = self.search.choose(Budget(max_size=size))
        except InputError:
            return None
        weights = Weights("auto", self.search.mix(point), feedback=self.search.grams.feedback)

        def write(path: Path) -> None:
            write_gguf(self.spec, path, weights, self.display)

        return self._row(f"auto {size}", write)

    def _row(self, label: str, write: Any) -> dict[str, Any]:
        key = f"{self.key} {label}"
        if key not in self.stored:
            path = self.work / "made.gguf"
            write(path)
            kl = self.test.divergence(tensors(path, self.spec, self.search.model.names))
            self.stored[key] = {"bytes": path.stat().st_size, "kl": kl}
            path.unlink()
            files.write_text(self.store, json.dumps(self.stored, indent=1))
            self.display.line(f"{label}: {self.stored[key]}")
        row: dict[str, Any] = self.stored[key]
        return row

    def _ours(self, name: str, path: Path, fed: bool) -> None:
        importance = by_role(self.spec, self.importance)
        feedback = self.search.grams.feedback if fed else None
        write_gguf(self.spec, path, Weights(name, None, importance, feedback), self.display)

    def _theirs(self, name: str, path: Path) -> None:
        """By llama_model_quantize, from the float model as an F32 file."""
        import llama_cpp

        plain = self.work / "float.gguf"
        if not plain.exists():
            quantize(self.source, plain, "F32")
        quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p(None))
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}")
        held = [(key.encode(), np.frombuffer(data, np.float32)) for key, data in self.importance.items()]
        entries = (llama_cpp.llama_model_imatrix_data * (len(held) + 1))()
        for entry, (key, values) in zip(entries, held, strict=False):
            entry.name, entry.size = key, values.size
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        options.imatrix = ctypes.cast(entries, type(options.imatrix))
        if llama_cpp.llama_model_quantize(str(plain).encode(), str(path).encode(), ctypes.byref(options)):
            raise InputError(f"llama.cpp does not quantize {plain} to {name}")


def conversations(run: Path, source: Path, split: str, most: int | None) -> list[int]:
    """The run's examples of a split, `most` at most, as the model sees them, with their answers."""
    inputs = json.loads((run / "run.json").read_text())["stages"]["train"]["inputs"]
    model, task, ids = tinsmith.load(source), tasks.by_name(inputs["task"]), list[int]()
    for example in read_jsonl(run / "data" / f"{split}.jsonl")[:most]:
        asked = [dict(message) for message in task.messages(example, inputs["system"])]
        ids += model.render([*asked, {"role": "assistant", "content": example.output}], generate=False)
    return ids


def tensors(path: Path, spec: Spec, names: dict[str, Any]) -> dict[str, Tensor]:
    """By role, the file's matrices in float32, in the spec's order of rows; formats that are not ours are read
    by the gguf package."""
    import gguf as package

    held = {tensor.name: tensor for tensor in package.GGUFReader(path).tensors}
    matrices = {}
    for name in by_name(spec.family).tensors(spec.hyper):
        if name.role in names:
            stored = held[name.gguf]
            floats = package.quants.dequantize(stored.data, stored.tensor_type)
            run = len(name.file_order)
            back = np.argsort(name.file_order)
            floats = floats.reshape(-1, run, name.inputs)[:, back].astype(np.float32)
            matrices[name.role] = Tensor(
                "F32", name.all_rows, name.inputs, np.ascontiguousarray(floats).tobytes()
            )
    return matrices


def against(rows: list[dict[str, Any]], comparison: Comparison, sizes: list[int]) -> list[dict[str, Any]]:
    """At each size the best of llama.cpp's that fits, and `auto`."""
    grid = []
    for size in sizes:
        fitting = [row for row in rows if row["llama.cpp"]["bytes"] <= size]
        best = min(fitting, key=lambda row: row["llama.cpp"]["kl"], default=None)
        ours = comparison.auto(size)
        grid.append(
            {
                "size": size,
                "llama.cpp": best and {"type": best["type"], **best["llama.cpp"]},
                "auto": ours,
            }
        )
    return grid


def table(rows: list[dict[str, Any]], grid: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'llama.cpp':>10} {'bytes':>10} {'KL':>9}   {'auto: bytes':>11} {'KL':>9} {'of theirs':>9}"]
    for row in rows:
        lines.append(_line(row["type"], row["llama.cpp"], row["auto"]))
        for label, short in (("tinsmith", "ours"), ("tinsmith, error feedback", "ours, fed")):
            if label in row:
                lines.append(_line(short, row[label], None))
    lines.append("at most:")
    for point in grid:
        theirs = point["llama.cpp"]
        label = f"{point['size'] / 1e6:g} MB" + (f" {theirs['type']}" if theirs else "")
        lines.append(_line(label, theirs, point["auto"]))
    return lines


def _line(label: str, theirs: dict[str, Any] | None, ours: dict[str, Any] | None) -> str:
    left = f"{theirs['bytes']:>10} {theirs['kl']:>9.5f}" if theirs else f"{'none':>10} {'':>9}"
    right = f"{ours['bytes']:>11} {ours['kl']:>9.5f}" if ours else ""
    ratio = f" {ours['kl'] / theirs['kl']:>9.3f}" if ours and theirs and theirs["kl"] else ""
    return f"{label:>10} {left}   {right}{ratio}"


if __name__ == "__main__":
    sys.exit(main())
