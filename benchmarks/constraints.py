"""What a mask costs a token and what a schema costs to compile, beside llguidance and xgrammar, in one run.

    python benchmarks/constraints.py bfcl_eval.whl smollm2=model.gguf qwen3=tokenizer.json gemma3=tokenizer.json
        [--schemas 80] [--walks 4] [--tokens 64] [--repeat 3]
        [--peers llguidance,xgrammar] [--seed 0]

Schemas: parameters of BFCL's functions (simple and multiple), as they stand there but for its names of types.
Half of the walks are JSON texts that a schema allows, of a few common words; the other half are tokens drawn
evenly from tinsmith's masks. Every engine is led along the same tokens; where a peer allows a token less, its
walk ends there. Before each token the engine fills a mask of the whole vocabulary.

A time is the least of `--repeat` runs of all of a schema's walks, each on an engine made anew, so that what
the machine did meanwhile is left out and what an engine keeps from walk to walk is not. It is that of one
call from Python into memory that is there already, less the median time of a call that only enters the same
extension: state(), is_stopped(), is_terminated(). xgrammar's own Python wrapper (some microseconds) is what
its users call, and stays in. Compiling: from the schema to an engine that can fill its first mask, with
"create" what tinsmith takes of it at run time (checking constraint.bin). One thread. Prints one line of JSON;
microseconds for masks, milliseconds for compiling.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.errors import RuntimeFault, TinsmithError
from tinsmith.models import Spec, Tensor, Tokenizer, family
from tinsmith.tokenizer.packed import ALPHABET, token_text

TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
KEYS = (
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "pattern",
)
CATEGORIES = ("simple_python", "multiple")
COMPACT: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
WORDS = [
    "the",
    "new",
    "york",
    "2024",
    "blue",
    "light",
    "of",
    "São",
    "Paulo",
    "price",
    "tickets",
    "from",
    "5",
    "pm",
    "to",
    "Berlin,",
    "room",
    "user_id",
    "C",
    "major",
]


def bfcl_schemas(wheel: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Parameters of `count` functions, none twice; those without any are left out."""
    schemas: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for category in CATEGORIES:
            for line in archive.read(f"bfcl_eval/data/BFCL_v4_{category}.json").decode().splitlines():
                for function in json.loads(line)["function"]:
                    schema = json_schema(function["parameters"])
                    if schema.get("properties"):
                        schemas[json.dumps(schema)] = schema
    return random.Random(seed).sample(list(schemas.values()), min(count, len(schemas)))


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of BFCL's as JSON Schema, its objects closed."""
    tidy = {key: value for key, value in schema.items() if key in KEYS}
    if isinstance(tidy.get("type"), str):
        tidy["type"] = TYPES.get(tidy["type"].lower(), tidy["type"].lower())
    if "properties" in tidy:
        tidy["properties"] = {name: json_schema(value) for name, value in tidy["properties"].items()}
        tidy["additionalProperties"] = False
    if isinstance(tidy.get("items"), dict):
        tidy["items"] = json_schema(tidy["items"])
    return tidy


def instance(schema: dict[str, Any], rng: random.Random) -> Any:
    """A value that the schema allows, its keys in the schema's order."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    kind = schema.get("type", "string")
    if kind == "object":
        needed = schema.get("required", ())
        properties = schema.get("properties", {})
        return {n: instance(p, rng) for n, p in properties.items() if n in needed or rng.random() < 0.5}
    if kind == "array":
        count = rng.randint(schema.get("minItems", 1), schema.get("maxItems", 3))
        return [instance(schema.get("items", {}), rng) for _ in range(count)]
    if kind in ("integer", "number"):
        value = rng.randint(schema.get("minimum", -5), schema.get("maximum", 2000))
        return value if kind == "integer" or rng.random() < 0.5 else value + 0.25
    return rng.random() < 0.5 if kind == "boolean" else " ".join(rng.choices(WORDS, k=rng.randint(1, 6)))


class Vocabulary:
    """texts: each token's bytes, b"" for those that are none; end: the end token; core: a model of one small
    layer that has this vocabulary, since tinsmith's masks are of a model."""

    def __init__(self, path: Path) -> None:
        if path.suffix == ".json":
            self.texts, self.end = read_tokenizer(json.loads(path.read_text(encoding="utf-8")))
        else:
            t = models.load(path).tokenizer
            kinds = zip(t.tokens, t.types, strict=True)
            self.texts = [
                token_text(token, kind) if kind in ("normal", "user") else b"" for token, kind in kinds
            ]
            self.end = t.eos if t.eos is not None else t.end_tokens[0]
        self.size = len(self.texts)
        self.core = _core.Model(build_image(self._spec()))
        self._longest = max(map(len, self.texts))
        self._ids: dict[bytes, int] = {}
        for token, text in enumerate(self.texts):
            self._ids.setdefault(text, token)

    def _spec(self) -> Spec:
        llama = family.by_name("llama")
        hyper = llama.hyper_from_hf(
            {
                "hidden_size": 32,
                "intermediate_size": 32,
                "max_position_embeddings": 128,
                "num_attention_heads": 1,
                "num_hidden_layers": 1,
                "tie_word_embeddings": True,
                "vocab_size": self.size,
            }
        )
        tensors = {
            place.role: Tensor("F32", place.rows, place.inputs, bytes(4 * place.rows * place.inputs))
            for place in llama.tensors(hyper)
        }
        tokens = ["".join(map(ALPHABET.__getitem__, text)) for text in self.texts]
        types = ["normal" if text else "unused" for text in self.texts]
        types[self.end] = "control"
        names = [token or f"[{k}]" for k, token in enumerate(tokens)]
        seen: dict[str, int] = {}
        for k, name in enumerate(names):
            if seen.setdefault(name, k) != k:  # Gemma's byte tokens beside the characters themselves
                names[k], types[k], self.texts[k] = f"[{k}]", "unused", b""
        tokenizer = Tokenizer(names, types, [], "gpt-2", None, self.end, None, None, False, False, (self.end,))
        return Spec("llama", hyper, tensors, tokenizer, None, {"name": "vocabulary"})

    def tokens(self, text: bytes) -> list[int]:
        """The longest token at each place."""
        tokens = []
        at = 0
        while at < len(text):
            longest = min(self._longest, len(text) - at)
            size = next(n for n in range(longest, 0, -1) if text[at : at + n] in self._ids)
            tokens.append(self._ids[text[at : at + size]])
            at += size
        return tokens


def read_tokenizer(whole: dict[str, Any]) -> tuple[list[bytes], int]:
    """Texts by id, and the end token, of a tokenizer.json: byte-level, or with byte fallback as Gemma's."""
    vocab: dict[str, int] = whole["model"]["vocab"]
    added = {row["id"]: row["content"] for row in whole["added_tokens"]}
    texts = [b""] * (max(*vocab.values(), *added) + 1)
    for token, number in vocab.items():
        if whole["model"].get("byte_fallback"):
            is_byte = len(token) == 6 and token.startswith("<0x")
            texts[number] = bytes([int(token[3:5], 16)]) if is_byte else token.replace("▁", " ").encode()
        else:
            texts[number] = token_text(token, "normal")
    for number in added:
        texts[number] = b""
    return texts, next(number for number, text in added.items() if text in ("<|im_end|>", "<end_of_turn>"))


class Ours:
    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.buffer = bytearray((vocabulary.size + 31) // 32 * 4)

    def compile(self, schema: dict[str, Any]) -> None:
        self.compiled = compile_schema(schema)
        started = time.perf_counter_ns()
        self.walk = _core.Constraint(self.vocabulary.core, self.compiled.data)
        self.create_ns = time.perf_counter_ns() - started

    def begin(self) -> None:
        self.walk.begin()
        self.fill: Callable[[], Any] = partial(self.walk.mask_into, self.buffer)
        self.nothing: Callable[[], Any] = self.walk.state

    def accept(self, token: int) -> bool:
        try:
            self.walk.accept(token)
        except RuntimeFault:
            return False
        return True


class Tokens:
    """A vocabulary as llguidance takes it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.eos_token_id, self.bos_token_id = vocabulary.end, None
        self.tokens = [text or b"\xff<%d>" % k for k, text in enumerate(vocabulary.texts)]
        self.special_token_ids = [k for k, text in enumerate(vocabulary.texts) if not text]

    def __call__(self, text: bytes) -> list[int]:
        return self.vocabulary.tokens(text)


class LLGuidance:
    def __init__(self, vocabulary: Vocabulary) -> None:
        import llguidance

        self.library = llguidance
        self.tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokens(vocabulary)))
        self.buffer = np.zeros((vocabulary.size + 31) // 32, np.uint32)

    def compile(self, schema: dict[str, Any]) -> None:
        matcher = self.library.LLMatcher
        grammar = matcher.grammar_from_json_schema(json.dumps(schema), overrides=COMPACT)
        self.made = matcher(self.tokenizer, grammar)
        if self.made.is_error():
            raise ValueError(self.made.get_error())

    def begin(self) -> None:
        self.walk = self.made.deep_copy()
        self.fill = partial(self.walk.unsafe_compute_mask_ptr, self.buffer.ctypes.data, self.buffer.nbytes)
        self.nothing = self.walk.is_stopped

    def accept(self, token: int) -> bool:
        return bool(self.walk.try_consume_tokens([token]) == 1)


class XGrammar:
    def __init__(self, vocabulary: Vocabulary) -> None:
        import xgrammar

        self.library = xgrammar
        texts = list(vocabulary.texts)
        info = xgrammar.TokenizerInfo(texts, xgrammar.VocabType.RAW, stop_token_ids=[vocabulary.end])
        self.compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
        self.buffer = np.zeros((1, (vocabulary.size + 31) // 32), np.int32)

    def compile(self, schema: dict[str, Any]) -> None:
        text = json.dumps(schema)
        self.made = self.compiler.compile_json_schema(text, any_whitespace=False, separators=(",", ":"))

    def begin(self) -> None:
        self.walk = self.library.GrammarMatcher(self.made)
        self.fill = partial(self.walk.fill_next_token_bitmask, self.buffer)
        self.nothing = self.walk.is_terminated

    def accept(self, token: int) -> bool:
        return bool(self.walk.accept_token(token))


PEERS = {"llguidance": LLGuidance, "xgrammar": XGrammar}


def random_walk(engine: Ours, vocabulary: Vocabulary, length: int, rng: np.random.Generator) -> list[int]:
    """Tokens drawn evenly from the masks, without the end."""
    engine.begin()
    tokens: list[int] = []
    while len(tokens) < length:
        engine.fill()
        allowed = np.flatnonzero(np.unpackbits(np.frombuffer(engine.buffer, np.uint8), bitorder="little"))
        allowed = allowed[allowed != vocabulary.end]
        if not len(allowed):
            break
        tokens.append(int(rng.choice(allowed)))
        engine.accept(tokens[-1])
    return tokens


@dataclass
class Led:
    """Nanoseconds of the masks of one walk and of calls that do nothing; whole: every token was allowed."""

    masks: list[int] = field(default_factory=list)
    nothing: list[int] = field(default_factory=list)
    whole: bool = True


def run(engine: Any, schema: dict[str, Any], walks: Sequence[tuple[str, list[int]]]) -> list[Led]:
    """All walks of a schema on an engine that has kept nothing yet."""
    engine.compile(schema)
    return [lead(engine, tokens) for _, tokens in walks]


def lead(engine: Any, tokens: Sequence[int]) -> Led:
    """Along a walk, a mask before each token."""
    engine.begin()
    led = Led()
    clock = time.perf_counter_ns
    for token in tokens:
        started = clock()
        engine.nothing()
        middle = clock()
        engine.fill()
        led.masks.append(clock() - middle)
        led.nothing.append(middle - started)
        if not engine.accept(token):
            led.whole = False
            break
    return led


def measure(
    vocabulary: Vocabulary, names: Sequence[str], schemas: Sequence[dict[str, Any]], args: Any
) -> dict[str, Any]:
    ours = Ours(vocabulary)
    engines: dict[str, Any] = {"tinsmith": ours, **{name: PEERS[name](vocabulary) for name in names}}
    compiling: dict[str, list[float]] = {name: [] for name in (*engines, "create")}
    refused = dict.fromkeys(engines, 0)
    ended = dict.fromkeys(engines, 0)
    times: dict[str, dict[str, list[int]]] = {name: {"json": [], "random": []} for name in engines}
    nothing: dict[str, list[int]] = {name: [] for name in engines}
    rng, numbers = random.Random(args.seed), np.random.default_rng(args.seed)
    for schema in schemas:
        walks: list[tuple[str, list[int]]] = []
        for name, engine in engines.items():
            started = time.perf_counter_ns()
            try:
                engine.compile(schema)
            except (TinsmithError, ValueError, RuntimeError) as error:
                refused[name] += 1
                print(f"{name}: {error}"[:300], file=sys.stderr)
                if name == "tinsmith":
                    break
                continue
            compiling[name].append((time.perf_counter_ns() - started) / 1e6)
            if name == "tinsmith":
                compiling["create"].append(ours.create_ns / 1e6)
                for k in range(args.walks):
                    text = json.dumps(instance(schema, rng), separators=(",", ":"), ensure_ascii=False)
                    walks.append(
                        ("random", random_walk(ours, vocabulary, args.tokens, numbers))
                        if k % 2
                        else ("json", vocabulary.tokens(text.encode()))
                    )
            runs = [run(engine, schema, walks) for _ in range(args.repeat)]
            for k, (kind, _) in enumerate(walks):
                times[name][kind] += map(min, zip(*(one[k].masks for one in runs), strict=True))
                nothing[name] += runs[0][k].nothing
                ended[name] += not runs[0][k].whole
    return {
        "tokens": vocabulary.size,
        "mask_us": {
            name: {kind: spread(values, statistics.median(nothing[name])) for kind, values in by_kind.items()}
            | {"all": spread(by_kind["json"] + by_kind["random"], statistics.median(nothing[name]))}
            for name, by_kind in times.items()
        },
        "empty_call_us": {name: round(statistics.median(values) / 1e3, 3) for name, values in nothing.items()},
        "compile_ms": {name: in_ms(values) for name, values in compiling.items()},
        "schemas_refused": refused,
        "walks_ended_early": ended,
    }


def spread(times: Sequence[int], less: float) -> dict[str, float]:
    """Microseconds."""
    microseconds = np.maximum(np.array(times, np.float64) - less, 0) / 1e3
    at = {"median": 50, "p99": 99, "p99_9": 99.9, "max": 100}
    return {"masks": len(times)} | {
        name: round(float(np.percentile(microseconds, q)), 2) for name, q in at.items()
    }


def in_ms(times: Sequence[float]) -> dict[str, float]:
    return {"median": round(float(np.median(times)), 3), "p95": round(float(np.percentile(times, 95)), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="bfcl-eval's wheel: a zip with the schemas")
    parser.add_argument("vocabularies", nargs="+", metavar="NAME=FILE", help="a GGUF file or a tokenizer.json")
    parser.add_argument("--schemas", type=int, default=80)
    parser.add_argument("--walks", type=int, default=4, help="a schema; every other one is random")
    parser.add_argument("--tokens", type=int, default=64, help="of a random walk, at most")
    parser.add_argument("--repeat", type=int, default=3, help="a mask's time is the least of so many runs")
    parser.add_argument("--peers", default="llguidance,xgrammar", help="of llguidance, xgrammar; may be empty")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    schemas = bfcl_schemas(args.wheel, args.schemas, args.seed)
    names = [name for name in args.peers.split(",") if name]
    result: dict[str, Any] = {"schemas": len(schemas), "walks": args.walks, "vocabularies": {}}
    for given in args.vocabularies:
        name, _, path = given.partition("=")
        result["vocabularies"][name] = measure(Vocabulary(Path(path)), names, schemas, args)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
