"""GGUF files that llama.cpp writes, in its many formats: it computes beside us."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import even_importance
from tinsmith import _core, models, quant
from tinsmith.compiler import build_image
from tinsmith.errors import UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models import Spec
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")

# Ours to llama.cpp's name for a file most of whose weights have it.
FILES = {
    "Q5_0": "Q5_0",
    "Q5_1": "Q5_1",
    "Q4_K": "Q4_K_M",
    "Q5_K": "Q5_K_M",
    "Q6_K": "Q6_K",
    "Q3_K": "Q3_K_M",
    "Q2_K": "Q2_K",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "TQ2_0": "TQ2_0",
    "TQ1_0": "TQ1_0",
    "IQ3_S": "IQ3_S",
    "IQ3_XXS": "IQ3_XXS",
    "IQ2_S": "IQ2_M",
    "IQ2_XS": "IQ2_XS",
    "IQ2_XXS": "IQ2_XXS",
}
TOKENS = [(7 * k * k + 3 * k) % 250 for k in range(96)]


def quantize(source: Path, target: Path, file_type: str, pure: bool) -> Path:
    """By llama.cpp; pure: every matrix in the one format."""
    llama = pytest.importorskip("llama_cpp")
    options = llama.llama_model_quantize_default_params()
    options.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{file_type}")
    options.pure, options.allow_requantize, options.nthread = pure, True, 1
    if pure:
        inputs = {name: tensor.shape[0] for name, tensor in gguf.read(source).tensors.items()}
        matrix = even_importance(inputs)
        options.imatrix = matrix
    assert llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(options)) == 0
    return target


@pytest.fixture(scope="module")
def pure_file(wide_spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("formats")
    models.save_gguf(wide_spec, folder / "f32.gguf")

    def made(name: str) -> Path:
        path = folder / f"{name}.gguf"
        return path if path.exists() else quantize(folder / "f32.gguf", path, FILES[name], pure=True)

    return made


def theirs(path: Path, tokens: list[int]) -> Any:
    llama = pytest.importorskip("llama_cpp")
    engine = llama.Llama(str(path), n_ctx=256, n_batch=256, n_threads=1, logits_all=True, verbose=False)
    engine.eval(tokens)
    return np.array(engine.scores[: len(tokens)], np.float32)


def ours(spec: Spec, tokens: list[int]) -> Any:
    image = build_image(spec)
    return np.asarray(Model(_core.Model(image), image, threads=1).logits(tokens))


def size(error: Any) -> float:
    return float(np.sqrt(np.mean(error.astype(np.float64) ** 2)))


@pytest.mark.parametrize("name", FILES)
def test_logits_are_as_near_the_exact_ones_as_llama_cpps(pure_file: Callable[[str], Path], name: str) -> None:
    path = pure_file(name)
    spec = models.load(path)
    assert {tensor.format for tensor in spec.tensors.values() if tensor.rows > 1} == {name}
    mine, other = np.asarray(tinsmith.load(path).logits(TOKENS)), theirs(path, TOKENS)
    # The same weights without rounded activations; llama.cpp takes larger blocks for K formats.
    exact = ours(quant.apply(spec, "F32"), TOKENS)
    spread = float(exact.std())
    print(f"{name}: ours {size(mine - exact) / spread:.2g}, llama.cpp {size(other - exact) / spread:.2g}")
    assert size(other - exact) < 0.03 * spread
    assert size(mine - exact) <= 1.1 * size(other - exact)


@pytest.mark.parametrize("name", FILES)
def test_writing_again_keeps_the_blocks_and_names_the_file(
    pure_file: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    before = gguf.read(pure_file(name))
    models.save_gguf(models.load(before.path), tmp_path / "again.gguf")
    after = gguf.read(tmp_path / "again.gguf")
    assert after.get("general.file_type") == before.get("general.file_type")
    assert {key: bytes(tensor.data) for key, tensor in after.tensors.items()} == {  # type: ignore[arg-type]
        key: bytes(tensor.data)  # type: ignore[arg-type]
        for key, tensor in before.tensors.items()
    }


@pytest.mark.parametrize("name", FILES)
def test_requantizing_starts_from_what_the_blocks_decode_to(
    pure_file: Callable[[str], Path], name: str
) -> None:
    spec = models.load(pure_file(name))
    tensor = spec.tensors["layers.0.down"]
    shape = (tensor.rows, tensor.inputs)
    floats = _core.dequantize(name, tensor.data, *shape)
    assert quant.apply(spec, "Q8_0").tensors["layers.0.down"].data == _core.quantize("Q8_0", floats, *shape)


@pytest.mark.parametrize("name", FILES)
def test_llama_cpp_runs_what_we_make(wide_spec: Spec, tmp_path: Path, name: str) -> None:
    """The blocks that our quantizers make, in its kernels and ours: as near the float model."""
    preset = FILES[name]
    path = tmp_path / "ours.gguf"
    models.save_gguf(wide_spec, path, encode=quant.encoder(wide_spec, preset))
    exact = ours(wide_spec, TOKENS)
    mine, other = ours(models.load(path), TOKENS), theirs(path, TOKENS)
    assert size(mine - other) <= 0.05 * exact.std() and size(mine - exact) <= 1.1 * size(other - exact)


@pytest.mark.parametrize("kind", ["MXFP4", "NVFP4", "IQ1_S", "Q8_K"])
def test_formats_that_are_not_there_are_refused_by_name(wide_spec: Spec, tmp_path: Path, kind: str) -> None:
    models.save_gguf(wide_spec, tmp_path / "f32.gguf")
    file = gguf.read(tmp_path / "f32.gguf")
    name, stored = "blk.0.ffn_up.weight", gguf.tensor_type(kind)
    shape = file.tensors[name].shape
    strange = gguf.Tensor(name, stored, shape, bytes(shape[0] * shape[1] // stored.block * stored.size))
    gguf.write(tmp_path / "m.gguf", file.metadata, (file.tensors | {name: strange}).values())
    with pytest.raises(UnsupportedError, match=f"'{name}' is {kind}, which is not supported; supported: F32"):
        models.load(tmp_path / "m.gguf")


def test_rows_that_blocks_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="Q4_K has no blocks for 3 x 288"):
        _core.pack("Q4_K", bytes(3 * 288 // 256 * 144), 3, 288)


def test_weights_that_a_format_has_not_are_refused() -> None:
    floats = np.linspace(-1, 1, 64, dtype=np.float32).tobytes()
    three = _core.quantize("IQ3_NL", floats, 2, 32)
    four = _core.restate("Q4_0", "IQ3_NL", three, 2, 32)
    assert _core.dequantize("Q4_0", four, 2, 32) == _core.dequantize("IQ3_NL", three, 2, 32)
    assert _core.restate("IQ3_NL", "Q4_0", four, 2, 32) == three
    for format in ("Q4_0", "Q4_1", "Q4_K"):
        shape = (1, 256) if format == "Q4_K" else (2, 32)
        blocks = bytes(range(144)) if format == "Q4_K" else _core.quantize(format, floats, *shape)
        with pytest.raises(ValueError, match=f"IQ3_NL does not hold these weights of {format}"):
            _core.restate("IQ3_NL", format, blocks, *shape)


@pytest.mark.slow
@pytest.mark.parametrize("file_type", ["Q4_K_M", "Q2_K", "IQ4_NL"])
def test_mixed_file_of_the_base(base_gguf: Path, tmp_path: Path, file_type: str) -> None:
    """As people download them; SmolLM2's 576 inputs make llama.cpp fall back to blocks of 32 in most."""
    path = quantize(base_gguf, tmp_path / "mixed.gguf", file_type, pure=False)
    spec = models.load(path)
    assert len({tensor.format for tensor in spec.tensors.values()}) > 2
    model = tinsmith.load(path)
    tokens = model.tokenize((Path(__file__).parents[2] / "LICENSE").read_text())[:200]
    exact = ours(quant.apply(spec, "F32"), tokens)
    mine, other = np.asarray(model.logits(tokens)), theirs(path, tokens)
    print(
        f"{file_type}: ours {size(mine - exact):.3g}, llama.cpp {size(other - exact):.3g} of {exact.std():.3g}"
    )
    assert size(mine - exact) <= 1.1 * size(other - exact)
    assert np.mean(mine.argmax(axis=1) == exact.argmax(axis=1)) >= 0.9
