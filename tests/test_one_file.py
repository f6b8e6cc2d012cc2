"""CONTRIBUTING's table holds: a family, a target and a verb are one new file each, and then they work. (A task:
tests/tasks/test_adding.py.)"""

from __future__ import annotations

import json
from pathlib import Path

from tests.models.scratch_tree import copy, python, shell

FAMILY = '''
"""The rotated family: qwen2 under another name."""

from typing import ClassVar

from tinsmith.models.qwen2 import Qwen2


class Rotated(Qwen2):
    name: ClassVar[str] = "rotated"
    model_type: ClassVar[str] = "rotated"
    hf_architectures: ClassVar[tuple[str, ...]] = ("RotatedForCausalLM",)
    gguf_architecture: ClassVar[str] = "rotated"
    text_models: ClassVar[tuple[str, ...]] = ()


family = Rotated()
'''
CONFIG = {
    "architectures": ["RotatedForCausalLM"],
    "model_type": "rotated",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "vocab_size": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}
# Random weights in the shapes that the family states, saved as GGUF, loaded again and asked.
USE_FAMILY = """
import json, random, struct
sys.path.insert(0, sys.argv[4])
from pathlib import Path
import tinsmith
from tinsmith import models
from tinsmith.models import family
from tinsmith.spec import Spec, Tensor
from tests.models.tiny_models import tiny_tokenizer

rotated = family.by_name("rotated")
hyper = rotated.hyper_from_hf(json.loads(sys.argv[3]))
chance = random.Random(1)
tensors = {
    one.role: Tensor("F32", one.rows, one.inputs, struct.pack(
        f"<{one.rows * one.inputs}f", *(chance.gauss(0, 0.1) for _ in range(one.rows * one.inputs))))
    for one in rotated.tensors(hyper)
}
path = Path(sys.argv[5])
models.save_gguf(Spec("rotated", hyper, tensors, tiny_tokenizer(hyper.vocab), None), path)
model = tinsmith.load(path, threads=1)
print(model.info.family, len(model.generate("hello", max_tokens=4).token_ids))
"""
TARGET = """
inherits = "raspberrypi-5"
title = "A toaster with the board of a Raspberry Pi 5"
aliases = ["toaster"]

[memory]
ram = "1GB"

[source]
"memory.ram" = "what the toaster leaves"
"""
VERB = '''
"""`tinsmith greet NAME`."""

from tinsmith.cli._command import argument

HELP = "say hello to somebody"
SECTION = "run"
PARAMETERS = [argument("name", "NAME", help="who")]


def run(args):
    print(f"hello {args.name}")
    return 0
'''


def test_a_family_is_one_file(tmp_path: Path) -> None:
    source = copy(tmp_path, {"src/tinsmith/models/rotated.py": FAMILY})
    words = (json.dumps(CONFIG), str(Path(__file__).parent / "models"), str(tmp_path / "rotated.gguf"))
    done = python(source, USE_FAMILY, *words)
    assert (done.returncode, done.stdout) == (0, "rotated 4\n"), done.stderr


def test_a_target_is_one_file(tmp_path: Path) -> None:
    source = copy(tmp_path, {"targets/toaster.toml": TARGET})
    done = shell(source, "targets", "toaster", "--json")
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)
    assert "toaster" in done.stdout and described["memory"]["ram"] == 10**9


def test_a_verb_is_one_file(tmp_path: Path) -> None:
    source = copy(tmp_path, {"src/tinsmith/cli/greet.py": VERB})
    assert shell(source, "greet", "you").stdout == "hello you\n"
    assert "  greet" in shell(source, "--help").stdout
    assert "did you mean greet?" in shell(source, "great", "you").stderr
