"""llama.cpp behind a Model, beside the native runtime on the same file."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import tinsmith
from tests.models import random_adapters
from tests.models.transformers_models import CHATML
from tinsmith import cli
from tinsmith.chat.chat_template import with_system
from tinsmith.compiler import build_tin
from tinsmith.errors import FormatError, InputError
from tinsmith.formats.tin import CONSTRAINT
from tinsmith.models import Spec, save_gguf
from tinsmith.quant.shipping import Extra
from tinsmith.runtime import choices
from tinsmith.runtime.engine import open_engine
from tinsmith.train.adapters import tin as adapter_tin

np = pytest.importorskip("numpy")
pytest.importorskip("llama_cpp")


ASKED = [{"role": "user", "content": "in"}]


@pytest.fixture(scope="module")
def gguf(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    save_gguf(spec, path)
    return path


@pytest.fixture(scope="module")
def model(gguf: Path) -> tinsmith.Model:
    return tinsmith.load(gguf, backend="llama.cpp", threads=1)


@pytest.fixture(scope="module")
def native(gguf: Path) -> tinsmith.Model:
    return tinsmith.load(gguf, threads=1)


def test_logits_are_the_native_ones(model: tinsmith.Model, native: tinsmith.Model) -> None:
    source = random.Random(2)
    tokens = [source.randrange(4, 260) for _ in range(300)]
    ours, theirs = np.asarray(native.logits(tokens)), np.asarray(model.logits(tokens))
    reach = ours.max() - ours.min()
    assert np.abs(theirs - ours).max() <= 1e-3 * reach
    # Its own sums depend on how many tokens are computed at once.
    assert np.abs(np.asarray(model.logits(tokens, chunk=37)) - theirs).max() <= 3e-3 * reach


def test_a_cache_goes_back(gguf: Path, native: tinsmith.Model) -> None:
    source = random.Random(3)
    tokens = [source.randrange(4, 260) for _ in range(90)]
    whole = np.asarray(native.logits(tokens))
    engine = open_engine("llama.cpp", gguf, threads=1).engine
    engine.logits([*tokens[:30], 9, 9, 9], 1)
    for count, rows in ((50, 20), (40, 1), (90, 50)):
        computed = np.frombuffer(engine.logits(tokens[:count], rows), np.float32).reshape(rows, -1)
        assert np.abs(computed - whole[count - rows : count]).max() <= 3e-3 * (whole.max() - whole.min())


def test_a_conversation_outgrows_its_context(
    gguf: Path, native: tinsmith.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinsmith.backends import llama

    monkeypatch.setattr(llama, "_FIRST_CONTEXT", 32)
    small = tinsmith.load(gguf, backend="llama.cpp", threads=1)
    wanted = native.generate("the tin", max_tokens=60).token_ids
    assert small.generate("the tin", max_tokens=60).token_ids == wanted


def test_the_face_is_a_models(model: tinsmith.Model, native: tinsmith.Model, spec: Spec) -> None:
    assert model.info.backend.startswith("llama.cpp")
    assert model.info.formats == {"F32": len(spec.tensors)}
    assert model.info.parameters == native.info.parameters
    messages = [{"role": "user", "content": "in"}]
    for options in ({}, {"temperature": 1.0, "seed": 5, "min_p": 0.05}):
        ours = native.chat(messages, max_tokens=16, **options)
        assert model.chat(messages, max_tokens=16, **options).token_ids == ours.token_ids
    assert model.chat(messages, constraint=choices(["thin", "tin"])).text in ("thin", "tin")
    assert isinstance(model.json(messages, {"type": "integer", "minimum": 1, "maximum": 9}), int)
    chosen, expected = (one.choose(messages, ["in", "the"]) for one in (model, native))
    assert chosen.probabilities["in"] == pytest.approx(expected.probabilities["in"], rel=1e-2)


def test_what_it_does_not_read_is_one_line(gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(FormatError, match=r"other\.bin"):
        tinsmith.load(tmp_path / "other.bin", backend="llama.cpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes().replace(b"blk.1.attn_q", b"blk.1.attn_z"))
    with pytest.raises(FormatError, match=r"broken\.gguf: llama\.cpp does not load it"):
        tinsmith.load(broken, backend="llama.cpp")


BESIDE_TORCH = """
import sys, torch, tinsmith
model = tinsmith.load(sys.argv[1], backend="llama.cpp", threads=1)
before = bytes(model.logits(range(4, 68)))
half = torch.ones(256, 256, dtype=torch.bfloat16)
half @ half
assert bytes(tinsmith.load(sys.argv[1], backend="llama.cpp", threads=1).logits(range(4, 68))) == before
"""


def test_torch_may_compute_in_between(spec: Spec, tmp_path: Path) -> None:
    """Where the processor has AMX, which both use: an illegal instruction otherwise."""
    pytest.importorskip("torch")
    save_gguf(spec, tmp_path / "tiny.gguf")
    small = tmp_path / "small.gguf"
    assert cli.main(["quantize", str(tmp_path / "tiny.gguf"), str(small), "--type", "q8_0"]) == 0
    every_set = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
    subprocess.run([sys.executable, "-c", BESIDE_TORCH, str(small)], env=every_set, check=True)


def test_adapters_are_those_of_the_native_runtime(
    spec: Spec, gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    native, model = tinsmith.load(gguf, threads=1), tinsmith.load(gguf, backend="llama.cpp", threads=1)
    folder = random_adapters.folder(spec, tmp_path / "one", with_system(CHATML, "Name a lamp."))
    other = random_adapters.folder(spec, tmp_path / "two", rank=20)
    assert (
        cli.main(["export", "--adapter", str(other), "--base", str(gguf), "--gguf", str(tmp_path / "two.gguf")])
        == 0
    )
    capsys.readouterr()
    for held, two in ((native, other), (model, tmp_path / "two.gguf")):
        held.adapters.add("one", folder)
        held.adapters.add("two", two)
    assert [(model.adapters[name].matrices, model.adapters[name].rank) for name in ("one", "two")] == [
        (14, 6),
        (14, 20),
    ]
    tokens = model.render(ASKED, adapter="one")
    assert tokens == native.render(ASKED, adapter="one") != model.render(ASKED)
    plain = np.asarray(model.logits(tokens))
    seen = [plain]
    for chosen in ("one", {"one": 0.5}, {"two": 1.0, "one": -0.3}, "two"):
        ours, theirs = (np.asarray(held.logits(tokens, adapter=chosen)) for held in (native, model))
        change = np.sqrt(np.mean((theirs - plain) ** 2))
        assert np.sqrt(np.mean((ours - theirs) ** 2)) <= 0.1 * change  # 8-bit factors, and float32
        assert all(np.abs(theirs - one).max() > 0.1 * change for one in seen)
        seen.append(theirs)
    assert np.array_equal(np.asarray(model.logits(tokens)), plain)
    # Generations in turn, one left off amid another's, and in a context that is grown anew.
    options = {"max_tokens": 12, "constraint": None}
    alone = {}
    for name in ("one", None, "two"):
        fresh = tinsmith.load(gguf, backend="llama.cpp", threads=1)
        fresh.adapters.add("one", folder)
        fresh.adapters.add("two", other)
        alone[name] = fresh.generate(tokens, adapter=name, **options)
    assert len({one.text for one in alone.values()}) == 3
    for name in ("two", "one", None, "one", "two"):
        assert model.generate(tokens, adapter=name, **options).token_ids == alone[name].token_ids
        pieces = model.answering(tokens, adapter=name, **options).pieces()
        begun = next(pieces)
        model.logits(tokens, adapter="two")
        assert begun + "".join(pieces) == alone[name].text
    many = model.generate_many([tokens] * 3, adapter=["one", None, "two"], **options)
    assert [one.text for one in many] == [one.text for one in alone.values()]
    words = ["run", str(gguf), ASKED[0]["content"], "--backend", "llama.cpp", "--json", "--max-tokens", "12"]
    assert cli.main([*words, "--adapter", f"{folder}:0.5"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["token_ids"] == model.chat(ASKED, adapter={"one": 0.5}, max_tokens=12).token_ids


def test_adapters_sealed_in_a_tin_go_with_it(spec: Spec, gguf: Path, tmp_path: Path) -> None:
    system = with_system(CHATML, "Name a lamp.")
    one, two = (random_adapters.folder(spec, tmp_path / name, system) for name in ("one", "two"))
    tin, held_to = tmp_path / "model.tin", choices(["lamp", "door"])
    build_tin(spec, tmp_path / "base.tin")
    adapter_tin.add(tmp_path / "base.tin", "one", one, tin, "F16", Extra({CONSTRAINT: held_to.data}, {}))
    adapter_tin.add(tin, "two", two, tin, "Q8_0")
    native, model = (tinsmith.load(tin, threads=1, backend=name) for name in ("native", "llama.cpp"))
    assert list(model.adapters) == ["one", "two"]
    assert model.adapters["one"].matrices == native.adapters["one"].matrices
    tokens = model.render(ASKED, adapter="one")
    assert tokens == native.render(ASKED, adapter="one") != model.render(ASKED)
    plain = np.asarray(model.logits(tokens))
    for chosen in ("one", "two", {"one": 0.5, "two": 1.0}):
        ours, theirs = (np.asarray(held.logits(tokens, adapter=chosen)) for held in (native, model))
        change = np.sqrt(np.mean((theirs - plain) ** 2))
        assert np.sqrt(np.mean((ours - theirs) ** 2)) <= 0.1 * change
    # It brings its constraint.
    assert model.chat(ASKED, adapter="one", max_tokens=8).text in ("lamp", "door")


def test_what_is_no_adapter_of_it_is_refused(model: tinsmith.Model, gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="llama.cpp does not load it as an adapter"):
        model.adapters.add("base", gguf)
    for source in (tmp_path / "none", b"bytes"):
        with pytest.raises(InputError, match="llama.cpp takes an adapter's folder"):
            model.adapters.add("none", source)
    assert list(model.adapters) == []
    with pytest.raises(InputError, match="no adapter 'none'; it has: none"):
        model.generate("the", adapter="none")
