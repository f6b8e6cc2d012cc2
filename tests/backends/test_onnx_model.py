"""An exported model in plain onnxruntime and in onnxruntime-genai, beside the native runtime and itself."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models import random_adapters
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.models import Spec, save_gguf
from tinsmith.runtime import choices
from tinsmith.runtime.engine import open_engine

np = pytest.importorskip("numpy")
ort = pytest.importorskip("onnxruntime")

POSITIONS = 300


@pytest.fixture(scope="module")
def tokens(spec: Spec) -> list[int]:
    source = random.Random(1)
    return [source.randrange(4, 260) for _ in range(POSITIONS)]


@pytest.fixture(scope="module")
def native(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> tinsmith.Model:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    save_gguf(spec, path)
    return tinsmith.load(path, threads=1)


def rows(engine: Any, tokens: list[int], wanted: int) -> Any:
    return np.frombuffer(engine.logits(tokens, wanted), np.float32).reshape(wanted, -1)


def test_logits_of_300_positions_are_the_native_ones(
    folder: Path, native: tinsmith.Model, tokens: list[int]
) -> None:
    ours = np.asarray(native.logits(tokens))
    model = tinsmith.load(folder / "model.onnx", threads=1)
    theirs = np.asarray(model.logits(tokens))
    reach = ours.max() - ours.min()
    worst = np.abs(theirs - ours).max()
    print(f"onnxruntime against native, float32: worst {worst / reach:.2g} of the logits' range")
    assert worst <= 1e-3 * reach
    # In passes of any size, and one token at a time.
    for chunk in (1, 7, 64):
        again = np.asarray(model.logits(tokens[:80], chunk=chunk))
        assert np.abs(again - theirs[:80]).max() <= 1e-5 * reach


@pytest.mark.parametrize("shared", [True, False], ids=["shared buffers", "outputs to inputs"])
def test_a_cache_goes_back_and_grows(folder: Path, tmp_path: Path, tokens: list[int], shared: bool) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "genai_config.json"
    config = json.loads(path.read_text())
    assert config["search"]["past_present_share_buffer"] is True
    config["search"]["past_present_share_buffer"] = shared
    path.write_text(json.dumps(config))
    whole = rows(open_engine("onnxruntime", folder, threads=1).engine, tokens, POSITIONS)
    engine = open_engine("onnxruntime", tmp_path / "copy", threads=1).engine
    near = 1e-5 * (whole.max() - whole.min())
    assert np.abs(rows(engine, tokens[:40], 2) - whole[38:40]).max() <= near
    engine.logits([*tokens[:30], 9, 9, 9, 9], 4)
    assert np.abs(rows(engine, tokens[:50], 15) - whole[35:50]).max() <= near
    assert np.abs(rows(engine, tokens, 1) - whole[-1:]).max() <= near
    assert np.abs(rows(engine, tokens[:60], 60) - whole[:60]).max() <= near


def test_the_face_is_a_models(folder: Path, spec: Spec, native: tinsmith.Model) -> None:
    model = tinsmith.load(folder, threads=1)
    assert model.info.backend.startswith("onnxruntime ")
    assert (model.info.vocab, model.info.context) == (spec.hyper.vocab, spec.hyper.context)
    assert model.info.bytes > 4 * 260 * 64
    assert (model.info.name, model.info.family) == ("tiny", "llama")
    assert model.info.parameters == native.info.parameters
    assert model.info.formats == {"fp32": sum(tensor.rows > 1 for tensor in spec.tensors.values())}
    text = "the thin tin <|im_end|>\n"
    assert model.tokenize(text, special=True) == native.tokenize(text, special=True)
    messages = [{"role": "user", "content": "in"}]
    assert model.render(messages) == native.render(messages)
    # Greedy answers and seeds: the same, as the logits are nearly the same.
    for options in ({}, {"temperature": 1.0, "seed": 5, "top_p": 0.9}):
        ours = native.chat(messages, max_tokens=16, **options)
        assert model.chat(messages, max_tokens=16, **options).token_ids == ours.token_ids
    assert (
        "".join(model.stream(model.render(messages), max_tokens=16)) == model.chat(messages, max_tokens=16).text
    )
    assert model.chat(messages, constraint=choices(["thin", "tin"])).text in ("thin", "tin")
    assert isinstance(model.json(messages, {"type": "integer", "minimum": 1, "maximum": 9}), int)
    chosen = model.choose(messages, ["in", "the"])
    expected = native.choose(messages, ["in", "the"])
    assert chosen.probabilities["in"] == pytest.approx(expected.probabilities["in"], rel=1e-2)
    assert len(model.generate_many(["the", "in"], max_tokens=3)) == 2


def test_onnxruntime_genai_chooses_the_same_tokens(folder: Path, tokens: list[int]) -> None:
    genai = pytest.importorskip("onnxruntime_genai")
    peer = genai.Model(str(folder))
    parameters = genai.GeneratorParams(peer)
    parameters.set_search_options(max_length=60, do_sample=False)
    generator = genai.Generator(peer, parameters)
    generator.append_tokens(np.array(tokens[:20], np.int32))
    theirs: list[int] = []
    while len(theirs) < 16 and not generator.is_done():
        generator.generate_next_token()
        theirs.append(int(generator.get_next_tokens()[0]))
    ours = tinsmith.load(folder, threads=1).generate(tokens[:20], max_tokens=16, constraint=None).token_ids
    assert ours == theirs[: len(ours)]
    assert len(theirs) - len(ours) <= 1  # the end token
    assert list(genai.Tokenizer(peer).encode("the thin tin")) == tinsmith.load(folder).tokenize("the thin tin")


def rewritten(before: str, after: str) -> Callable[[Path], None]:
    """A change of the config's text."""

    def change(folder: Path) -> None:
        path = folder / "genai_config.json"
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))

    return change


DAMAGE: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "no graph": (lambda folder: (folder / "model.onnx").unlink(), FormatError, "model.onnx, which"),
    "a broken graph": (
        lambda folder: (folder / "model.onnx").write_bytes(b"no graph"),
        FormatError,
        "does not load it",
    ),
    "no facts": (
        lambda folder: (folder / "tinsmith.json").write_text('{"precision": "same"}'),
        FormatError,
        "tinsmith.json: tinsmith export did not write it so",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), FormatError, "tokenizer.json"),
    "no sizes": (rewritten('"context_length"', '"length"'), FormatError, "genai_config.json"),
    "a file elsewhere": (rewritten('"model.onnx"', '"../model.onnx"'), FormatError, "plain file name"),
    "another vocabulary": (
        rewritten('"vocab_size": 266', '"vocab_size": 300'),
        FormatError,
        "has 266 logits",
    ),
    "caches of a window": (
        rewritten('"filename"', '"sliding_window": {}, "filename"'),
        UnsupportedError,
        "windowed_kv_cache=false",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_folder_is_one_line(folder: Path, tmp_path: Path, kind: str) -> None:
    damage, error, message = DAMAGE[kind]
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(error, match=message) as caught:
        tinsmith.load(copy)
    assert "\n" not in str(caught.value)


def test_options_of_another_back_end_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="llama.cpp"):
        tinsmith.load(folder, gpu_layers=3)
    with pytest.raises(InputError, match="isa, kv and most_bytes"):
        tinsmith.load(folder, kv="q8")
    with pytest.raises(InputError, match="reads no ONNX"):
        tinsmith.load(folder, backend="native")
    with pytest.raises(UnsupportedError, match=r"known: native, llama\.cpp, onnxruntime"):
        tinsmith.load(folder, backend="tensorrt")


def test_loading_a_tin_imports_no_other_runtime(spec: Spec, tmp_path: Path) -> None:
    save_gguf(spec, tmp_path / "tiny.gguf")
    code = (
        "import sys, tinsmith\n"
        f"tinsmith.load({str(tmp_path / 'tiny.gguf')!r}).generate('the', max_tokens=1)\n"
        "others = ('numpy', 'torch', 'onnxruntime', 'llama_cpp')\n"
        "print([name for name in sys.modules if name.startswith((*others, 'tinsmith.backends'))])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_adapters_are_refused_by_name(folder: Path, spec: Spec, tmp_path: Path) -> None:
    model = tinsmith.load(folder / "model.onnx", threads=1)
    made = random_adapters.folder(spec, tmp_path / "one")
    with pytest.raises(UnsupportedError, match="^onnxruntime takes no adapters; merge it into its base"):
        model.adapters.add("one", made)
    with pytest.raises(InputError, match="no adapter 'one'; it has: none"):
        model.generate("the", adapter="one")
