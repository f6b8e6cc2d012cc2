"""A vision encoder and its projector beside llama.cpp's mtmd and onnxruntime: random weights in the shape of
SmolVLM-256M.

    python benchmarks/vision_encoders.py --work runs/encoders [--threads 1] [--rounds 7] [--only NAME ...]

Each contestant is a process of its own, which stays while they take turns: 512 by 512 pixels, 1,024 patches,
64 states. onnxruntime has our own export of the same weights: float32; float16, which it computes in float32;
its own dynamic quantization to int8, a scale a column; and blocks of 8 bits. The files stay in --work. JSON on
stdout:

contestants   seconds of an image, and of all cores for it, medians of the rounds; the most that it held; of
              tinsmith the bytes planned for the encoder, tin_encoder_size, and what the process then took
ratios        the other's seconds over tinsmith's: the median of the rounds, the least and the largest of them;
              likewise seconds of all cores
first_token   of tinsmith: seconds, and those of all cores, from a PNG's bytes to the answer's first token, the
              image as one view, and once as the checkpoint's rule has it, 17
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from random_model import padded_tokenizer
from report import add_out, report

from plan import anonymous
from tinsmith.spec import Spec
from tinsmith.system.files import atomic_folder
from tinsmith.system.memory import most_resident
from tinsmith.vision.image_rules import Tiles

EDGE, PATCH, VOCAB = 512, 16, 49280
VISION = {
    "hidden_size": 768,
    "image_size": EDGE,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "patch_size": PATCH,
}
TEXT = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "max_position_embeddings": 8192,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pad_token_id": 2,
    "rope_theta": 1e5,
    "tie_word_embeddings": True,
    "vocab_size": VOCAB,
}
ROWS = 4
TOKENS = ["<image>", "<fake_token_around_image>", "<global-img>"]
TOKENS += [f"<row_{k // ROWS + 1}_col_{k % ROWS + 1}>" for k in range(ROWS**2)]
FIRST = VOCAB - len(TOKENS)  # the id of the placeholder
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORMATS = {"q8_0": "Q8_0", "f16": "F16"}
ONNX = {"int8": "fp32", "blocks8": "int8", "f16": "fp16", "f32": "fp32"}  # of what precision's export
PAIRS = {
    "tinsmith-q8_0": ["llama.cpp-q8_0", "onnxruntime-int8", "onnxruntime-blocks8"],
    "tinsmith-f16": ["llama.cpp-f16", "onnxruntime-f16", "onnxruntime-f32"],
}
Run = Callable[[], None]


def prepare(out: Path) -> None:
    """The folder as transformers writes it, tins, GGUF pairs and ONNX files, unless they are there."""
    if (out / "files").exists():
        return
    import torch
    import transformers

    from tinsmith import models
    from tinsmith.backends import onnx_vision
    from tinsmith.tokenizer import tokenizer_json

    torch.manual_seed(1)
    with atomic_folder(out / "files") as made:
        config = transformers.SmolVLMConfig(
            text_config=transformers.LlamaConfig(**TEXT),
            vision_config=transformers.SmolVLMVisionConfig(**VISION).to_dict(),
            scale_factor=4,
            image_token_id=FIRST,
            tie_word_embeddings=True,
        )
        transformers.SmolVLMForConditionalGeneration(config).save_pretrained(made / "hf")
        sizes = {"size": {"longest_edge": ROWS * EDGE}, "max_image_size": {"longest_edge": EDGE}}
        transformers.SmolVLMImageProcessor(**sizes).save_pretrained(made / "hf")
        tokenizer = padded_tokenizer(VOCAB)
        tokens, types = tokenizer.tokens[:FIRST] + TOKENS, tokenizer.types[:FIRST] + ["control"] * len(TOKENS)
        tokenizer = replace(tokenizer, tokens=tokens, types=types)
        tokenizer_json.write(made / "hf", tokenizer, TEMPLATE, TEXT["max_position_embeddings"])
        spec = models.load(made / "hf")
        assert spec.vision is not None
        for name, preset in FORMATS.items():
            write(quantized(spec, preset, split=True), made / f"{name}-tiles", peers=False)
            write(quantized(spec, preset, split=False), made / name, peers=True)
        for precision in set(ONNX.values()):
            (made / precision).mkdir()
            onnx_vision.export(spec.vision, made / precision, precision)
        dynamic(made / "fp32", made / "dynamic")


def quantized(spec: Spec, preset: str, *, split: bool) -> Spec:
    """split: whether an image becomes 17 views, as in the checkpoint, or one."""
    from tinsmith import quant
    from tinsmith.quant import vision as quant_vision

    assert spec.vision is not None
    vision = quant_vision.apply(spec.vision, preset)
    assert isinstance(vision.image_rules, Tiles)
    rule = replace(vision.image_rules, split=split, longest=ROWS * EDGE if split else EDGE)
    return replace(quant.apply(spec, preset), vision=replace(vision, image_rules=rule))


def write(spec: Spec, path: Path, *, peers: bool) -> None:
    from tinsmith import compiler, models

    compiler.build_tin(spec, path.with_name(f"{path.name}.tin"))
    if peers:
        models.save_gguf(spec, path.with_name(f"{path.name}.gguf"))
        models.save_mmproj(spec, path.with_name(f"mmproj-{path.name}.gguf"))


def dynamic(source: Path, out: Path) -> None:
    """onnxruntime's dynamic quantization of all products: a scale a column of weights."""
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    out.mkdir()
    options: dict[str, Any] = {"weight_type": QuantType.QInt8, "per_channel": True}
    options["extra_options"] = {"DefaultTensorType": TensorProto.FLOAT}  # of attention, which it does not know
    quantize_dynamic(source / "vision.onnx", out / "vision.onnx", use_external_data_format=True, **options)


def image(seed: int) -> Any:
    """uint8 [rows][columns][3]: waves, with some noise."""
    import numpy

    rng = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[:EDGE, :EDGE] / EDGE
    waves = [128 + 90 * numpy.sin(rng.uniform(3, 30) * x + rng.uniform(3, 30) * y) for _ in range(3)]
    noisy = numpy.stack(waves, 2) + rng.normal(0, 6, (EDGE, EDGE, 3))
    return numpy.ascontiguousarray(noisy.clip(0, 255).astype(numpy.uint8))


def normalized() -> Any:
    """float32 [rows][columns][3]."""
    import numpy

    return (image(1).astype(numpy.float32) / 255 - 0.5) / 0.5


def tinsmith_run(out: Path, kind: str, threads: int, facts: dict[str, Any]) -> Run:
    import numpy

    import tinsmith
    from tinsmith.compiler.program import read_program
    from tinsmith.compiler.vision import PROGRAM
    from tinsmith.formats.tin import Tin
    from tinsmith.plan.memory import vision_bytes
    from tinsmith.runtime.vision import VisionEncoder

    side = EDGE // PATCH
    cut = normalized().reshape(side, PATCH, side, PATCH, 3).transpose(0, 2, 1, 3, 4)
    patches = numpy.ascontiguousarray(cut).reshape(side**2, -1)
    path = out / f"{kind}.tin"
    core = tinsmith.load(path, threads=threads).core
    planned = vision_bytes(read_program(Tin(path).entry(PROGRAM)))
    anonymous()  # reading takes memory of its own the first time
    before = anonymous()
    encoder = VisionEncoder(core, threads=threads)
    encoder.encode(patches, side, side)
    facts["memory"] = {"planned": planned, "size": encoder.memory, "taken": anonymous() - before}
    facts["isa"] = core.info()["isa"]
    return lambda: void(encoder.encode(patches, side, side))


def void(_: object) -> None:
    pass


def llama_run(out: Path, kind: str, threads: int, facts: dict[str, Any]) -> Run:
    import ctypes

    import llama_cpp
    from llama_cpp import mtmd_cpp as mtmd

    llama = llama_cpp.Llama(str(out / f"{kind}.gguf"), n_ctx=256, n_threads=threads, verbose=False)
    settings = mtmd.mtmd_context_params_default()
    settings.use_gpu, settings.warmup, settings.n_threads = False, False, threads
    context = mtmd.mtmd_init_from_file(str(out / f"mmproj-{kind}.gguf").encode(), llama.model, settings)
    assert context, "mtmd refused the file"
    shown = image(1)
    pixels = (ctypes.c_uint8 * shown.size).from_buffer_copy(shown.tobytes())
    bitmap, chunks = mtmd.mtmd_bitmap_init(EDGE, EDGE, pixels), mtmd.mtmd_input_chunks_init()
    text = mtmd.mtmd_default_marker()
    prompt = mtmd.mtmd_input_text(text, len(text), False, True)
    assert mtmd.mtmd_tokenize(context, chunks, ctypes.byref(prompt), (ctypes.c_void_p * 1)(bitmap), 1) == 0
    every = [mtmd.mtmd_input_chunks_get(chunks, k) for k in range(mtmd.mtmd_input_chunks_size(chunks))]
    kind_of = mtmd.mtmd_input_chunk_get_type
    # It has the whole image and the one tile of it, which cost the same.
    chunk = next(one for one in every if kind_of(one) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE)
    assert mtmd.mtmd_input_chunk_get_n_tokens(chunk) == 64

    def run() -> None:
        # The model must live as long.
        assert llama and mtmd.mtmd_encode_chunk(context, chunk) == 0

    return run


def onnx_run(out: Path, kind: str, threads: int, facts: dict[str, Any]) -> Run:
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    folder = "dynamic" if kind == "int8" else ONNX[kind]
    session = onnxruntime.InferenceSession(out / folder / "vision.onnx", options, ["CPUExecutionProvider"])
    pixels = numpy.ascontiguousarray(normalized().transpose(2, 0, 1)[None])
    return lambda: void(session.run(None, {"pixel_values": pixels}))


RUNS = {"tinsmith": tinsmith_run, "llama.cpp": llama_run, "onnxruntime": onnx_run}


def first_token(out: Path, kind: str, threads: int, rounds: int) -> dict[str, list[float]]:
    """Each image is a new one: what was seen is not seen again."""
    from PIL import Image

    import tinsmith

    result = {}
    for name, file, count in (("one_view", kind, rounds), ("17_views", f"{kind}-tiles", 1)):
        model = tinsmith.load(out / f"{file}.tin", threads=threads)
        took = []
        for seed in range(count):
            png = io.BytesIO()
            Image.fromarray(image(seed)).save(png, "PNG")
            parts = [{"type": "image", "bytes": png.getvalue()}, {"type": "text", "text": "What is this?"}]
            began, worked = time.perf_counter(), time.process_time()
            answer = model.chat([{"role": "user", "content": parts}], max_tokens=1)
            took.append((time.perf_counter() - began, time.process_time() - worked))
            assert len(answer.token_ids) <= 1
        result[name] = [round(statistics.median(each), 3) for each in zip(*took, strict=True)]
    return result


def contest(out: Path, name: str, threads: int) -> int:
    """A contestant's process: a line for each line that it is given."""
    engine, _, kind = name.partition("-")
    facts: dict[str, Any] = {}
    run = RUNS[engine](out, kind, threads, facts)
    run()
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        began, worked = time.perf_counter(), time.process_time()
        run()
        took = time.perf_counter() - began, time.process_time() - worked
        print(json.dumps([*took, most_resident()]), flush=True)
    return 0


class Contestant:
    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.turns = name, list[list[float]]()
        command = [sys.executable, __file__, "--work", str(args.work), "--threads", str(args.threads)]
        self._process = subprocess.Popen(
            [*command, "--contestant", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = self._line()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or sys.exit(f"{self.name} ended"))

    def turn(self) -> None:
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        self.turns.append(self._line())

    def end(self) -> None:
        self._process.communicate()

    def report(self) -> dict[str, Any]:
        seconds, work, memory = zip(*self.turns, strict=True)
        return {
            "seconds": round(statistics.median(seconds), 3),
            "core_seconds": round(statistics.median(work), 3),
            "peak_bytes": max(memory),
            **self.facts,
        }


def ratios(ours: Contestant, other: Contestant) -> dict[str, Any]:
    """By the clock, and by what all cores worked."""
    result = {}
    for place, name in enumerate(("seconds", "core_seconds")):
        each = sorted(b[place] / a[place] for a, b in zip(ours.turns, other.turns, strict=True))
        result[name] = [round(value, 2) for value in (statistics.median(each), each[0], each[-1])]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    every = [*PAIRS, *(name for others in PAIRS.values() for name in others)]
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=every, default=every)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    add_out(parser)
    args = parser.parse_args()
    if args.contestant:
        return contest(args.work / "files", args.contestant, args.threads)
    prepare(args.work)
    there = {name: Contestant(name, args) for name in args.only}
    for _ in range(args.rounds):
        for one in there.values():
            one.turn()
    for one in there.values():
        one.end()
    result = {
        "threads": args.threads,
        "rounds": args.rounds,
        "contestants": {name: one.report() for name, one in there.items()},
        "ratios": {
            ours: {name: ratios(there[ours], there[name]) for name in others if name in there}
            for ours, others in PAIRS.items()
            if ours in there
        },
        "first_token": {
            kind: first_token(args.work / "files", kind, args.threads, args.rounds)
            for kind in FORMATS
            if f"tinsmith-{kind}" in there
        },
    }
    peers = {name: times for others in result["ratios"].values() for name, times in others.items()}
    rows = [
        {"Contestant": name, "CPU seconds": one["core_seconds"]}
        | {"Ratio": peers[name]["core_seconds"][0] if name in peers else 1}
        for name, one in result["contestants"].items()
    ]
    report(args.out, result, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
