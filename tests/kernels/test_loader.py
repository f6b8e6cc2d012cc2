"""A damaged tin is an error or works; it never crashes the C core."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import c_programs
from tests.models.random_adapters import random_adapter, random_prefix
from tests.models.tiny_models import tiny_spec
from tinsmith import compiler, quant
from tinsmith.compiler import adapter
from tinsmith.formats.router import Router
from tinsmith.models import family

KERNELS = Path(__file__).parents[2] / "kernels"
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sanitized("loader_fuzz", tmp_path_factory)


def sanitized(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with the C core, under AddressSanitizer and UndefinedBehaviorSanitizer."""
    folder = tmp_path_factory.mktemp(name)
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    try:
        c_programs.program(folder / "empty", [empty], *c_programs.SANITIZED)
    except subprocess.CalledProcessError:
        pytest.skip("the C compiler has no sanitizers")
    harness = Path(__file__).with_name(f"{name}.c")
    # Scalar: test_safety.py has every kernel under sanitizers.
    return c_programs.program(folder / name, [harness, KERNELS / "tin_all.c"], *c_programs.SANITIZED)


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *(("llama", one) for one in ("F16", "Q8_0", "Q4_0")),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("lfm2", "F16"), ("lfm2_moe", "Q8_0"))),
        pytest.param("qwen35_moe", "Q8_0", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_tin_is_an_error_or_works(program: Path, tmp_path: Path, name: str, preset: str) -> None:
    """Every truncation, and 3,000 copies with a bit, a byte or a word changed."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 64}
    sizes |= {"mtp_num_hidden_layers": 1} if name == "qwen35_moe" else {}
    spec = replace(tiny_spec(name, **sizes), chat_template=TEMPLATE)
    spec = quant.apply(spec, preset)
    compiler.build_tin(spec, tmp_path / "tiny.tin")
    result = subprocess.run([program, tmp_path / "tiny.tin", "3000"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4000:]
    refused, worked = map(int, result.stdout.split())
    assert refused > 300
    assert worked > 300


@pytest.fixture(scope="module")
def adapter_fuzz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sanitized("adapter_fuzz", tmp_path_factory)


def test_a_damaged_adapter_is_an_error_or_works(adapter_fuzz: Path, tmp_path: Path) -> None:
    """Of factors of either kind, on weights whose inputs are floats or q8."""
    for preset in ("F16", "Q8_0"):
        for format in adapter.FORMATS:
            tin, data = tiny_adapter(preset, format, tmp_path)
            result = subprocess.run([adapter_fuzz, tin, data], capture_output=True, text=True)
            assert result.returncode == 0, result.stderr[-4000:]
            refused, worked = map(int, result.stdout.split())
            assert refused > 2000
            assert worked > 300


@pytest.mark.parametrize("case", ["llama", "qwen35"])
def test_a_damaged_prefix_is_an_error_or_works(adapter_fuzz: Path, tmp_path: Path, case: str) -> None:
    tin = tmp_path / "tiny.tin"
    sizes = {"hidden_size": 32, "intermediate_size": 32, "max_position_embeddings": 64}
    compiler.build_tin(replace(tiny_spec(case, **sizes), chat_template=TEMPLATE), tin)
    (tmp_path / "random.prefix").write_bytes(random_prefix(tin, 2))
    result = subprocess.run([adapter_fuzz, tin, tmp_path / "random.prefix"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4000:]
    refused, worked = map(int, result.stdout.split())
    assert refused > 1000
    assert worked > 300


def test_a_damaged_router_is_an_error_or_works(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """Every truncation and every bit, of states that are floats or q8."""
    program = sanitized("router_fuzz", tmp_path_factory)
    (tmp_path / "router.bin").write_bytes(
        Router(("lamps", "doors"), 64, [0.01] * 3 * 64, [0.0] * 3, [0.5] * 2).pack()
    )
    for preset in ("F16", "Q8_0"):
        tin, _ = tiny_adapter(preset, "F16", tmp_path)
        result = subprocess.run([program, tin, tmp_path / "router.bin"], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-4000:]
        refused, worked = map(int, result.stdout.split())
        assert refused > 1000
        assert worked > 1000


def tiny_adapter(preset: str, format: str, folder: Path) -> tuple[Path, Path]:
    """A model, and an adapter of random factors for it."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 64, "num_hidden_layers": 1}
    spec = quant.apply(replace(tiny_spec("llama", **sizes), chat_template=TEMPLATE), preset)
    compiler.build_tin(spec, folder / "tiny.tin")
    layers = ("q", "gate", "down")
    return folder / "tiny.tin", random_adapter(
        folder / "tiny.tin", folder / "random.adapter", format, 20, layers
    )


@pytest.mark.slow
def test_each_flipped_bit_is_an_error_or_works(program: Path, tmp_path: Path) -> None:
    """All of the program, tokenizer, template and ZIP structures; a sample of the weights."""
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 64}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=TEMPLATE)
    compiler.build_tin(quant.apply(spec, "Q8_0"), tmp_path / "tiny.tin")
    result = subprocess.run([program, tmp_path / "tiny.tin", "bits"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-4000:]
    refused, worked = map(int, result.stdout.split())
    assert refused > 10_000
    assert worked > 10_000
