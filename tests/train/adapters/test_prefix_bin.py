"""A trained prefix before the conversations of its base: what it learned is answered, in every face."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models import c_programs
from tests.models.tiny_models import in_format
from tests.train.tiny_training import encode, make_spec, train
from tinsmith import cli, compiler, models
from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError
from tinsmith.spec import Spec
from tinsmith.system import files
from tinsmith.train.adapters import prefix_bin
from tinsmith.train.options import TrainOptions

pytest.importorskip("numpy")

KERNELS = Path(__file__).parents[3] / "kernels"
OPTIONS = TrainOptions(epochs=60, prefix_length=12, learning_rate=1e-1, batch_tokens=400, threads=1, qat=None)


@pytest.fixture
def trained(spec: Spec, examples: list[Example], tmp_path: Path) -> Path:
    return train("prefix", spec, examples, examples[:6], replace(OPTIONS, epochs=2), tmp_path).folder


def test_what_was_learned_is_answered_behind_it(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    """That answers are digits: more a prefix does not teach a model of random weights."""
    folder = train("prefix", spec, examples, examples[:6], OPTIONS, tmp_path).folder
    prompts = [encode(f"<|im_start|>u\n{one.input}<|im_end|>\n<|im_start|>a\n") for one in examples]
    digits = [encode(one.output) for one in examples]

    def right(format: str, adapter: str | None) -> int:
        models.save_gguf(in_format(spec, format), tmp_path / f"{format}.gguf")
        model = tinsmith.load(tmp_path / f"{format}.gguf", threads=1)
        model.adapters.add("letters", folder)
        answers = model.generate_many(prompts, adapter=adapter, max_tokens=1)
        return sum(answer.token_ids in digits for answer in answers)

    for format in ("F32", "Q8_0"):
        assert right(format, "letters") >= right(format, None) + 10


def test_every_face_takes_it(
    spec: Spec, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exported as a file, sealed in a tin and proved there; the program in C answers what Python does."""

    def shell(*words: object) -> str:
        assert cli.main([*map(str, words)]) == 0
        return capsys.readouterr().out

    path, file, sealed = tmp_path / "base.tin", tmp_path / "letters.adapter", tmp_path / "sealed.tin"
    compiler.build_tin(in_format(spec, "Q8_0"), path)
    shell("export", "--adapter", trained, "--base", path, "--native", file)
    shell("adapters", path, "--add", "letters", "--from", trained, "--out", sealed)
    assert shell("adapters", sealed) == "letters  a prefix of 12 tokens, 6144 bytes\n"
    held = json.loads(shell("adapters", sealed, "--json"))["letters"]
    assert (held["prefix"], held["rank"], held["matrices"]) == (12, 0, 0)
    assert list(json.loads(shell("verify", sealed, "--json"))["adapters"]) == ["letters"]
    asked = [{"role": "user", "content": "ax"}]
    model = tinsmith.load(sealed, threads=1)
    model.adapters.add("file", file)
    answers = {name: model.chat(asked, adapter=name, max_tokens=9) for name in (None, "letters", "file")}
    assert answers["file"].token_ids == answers["letters"].token_ids != answers[None].token_ids
    options = ["ax", "--max-tokens", "9", "--json"]
    for at, name in ((sealed, "letters"), (path, trained), (path, file)):
        told = json.loads(shell("run", at, *options, "--adapter", name))
        assert told["token_ids"] == answers["letters"].token_ids
    sources = [KERNELS / "tool/tin.c", KERNELS / "tin_all.c"]
    program = c_programs.program(tmp_path / "tin", sources, *c_programs.TOOL)
    for at, name in ((sealed, "letters"), (path, file)):
        words = [program, "run", at, "ax", "--tokens", "9", "--adapter", name]
        told = subprocess.run(words, capture_output=True, check=True).stdout.decode("utf-8", "replace")
        assert told.rstrip("\n") == answers["letters"].text.rstrip("\n")


def test_a_prefix_is_for_its_own_base_alone(small_recipe: Path) -> None:
    text = small_recipe.read_text().replace("[train]", '[train]\nmethod = "prefix"\nprefix_length = 8')
    folder = small_recipe.parent
    assert cli.main(["build", str(folder / "base.gguf"), "--format", "q4_0", "--out", str(folder)]) == 0
    small_recipe.write_text(text)
    assert cli.main(["make", "--until", "train", str(small_recipe), "--out", str(folder / "run")]) == 0
    prefix = folder / "run" / "prefix"
    digest = json.loads((prefix / "base.json").read_text())["sha256"]
    assert digest == files.sha256_file(folder / "base.gguf")
    own = tinsmith.load(folder / "base-q4_0.tin")
    own.adapters.add("own", prefix)
    (prefix / "base.json").write_text(json.dumps({"sha256": "ab" * 32}))
    with pytest.raises(
        InputError, match="trained on the base abababababab, and the model was made from another"
    ):
        own.adapters.add("other", prefix)


def test_what_does_not_fit_is_said(
    spec: Spec, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file, save_file

    config, weights = trained / prefix_bin.CONFIG, trained / prefix_bin.WEIGHTS
    models.save_gguf(make_spec(layers=1), tmp_path / "small.gguf")
    models.save_gguf(spec, tmp_path / "base.gguf")
    facts, tensors = json.loads(config.read_text()), load_file(weights)

    def refused(base: str, kind: type[Exception], said: str, **more: Any) -> None:
        config.write_text(json.dumps(facts | more))
        with pytest.raises(kind, match=said):
            tinsmith.load(tmp_path / base).adapters.add("prefix", trained)

    refused("small.gguf", InputError, "has 1.keys, which the model lacks")
    refused("base.gguf", InputError, "is of the family qwen2, the model of llama", family="qwen2")
    refused("base.gguf", FormatError, "length is 'ten'; it must be a number of tokens", length="ten")
    refused("base.gguf", InputError, "other layers or heads", length=13)
    save_file({**tensors, "0.keys": tensors["0.keys"][:1].copy()}, weights)
    refused("base.gguf", FormatError, "keys and values of layer 0 differ in shape")
    save_file({**tensors, "0.keys": tensors["0.keys"].astype("float16")}, weights)
    refused("base.gguf", FormatError, "0.keys is F16 of shape .* must be F32 with 3 dimensions")
    words = ["export", "--adapter", trained, "--base", tmp_path / "base.gguf", "--gguf", tmp_path / "out.gguf"]
    assert cli.main([*map(str, words)]) != 0
    assert "holds a prefix, which is no change of weights" in capsys.readouterr().err
    save_file({**tensors, "1.keys": float("nan") * tensors["1.keys"]}, weights)
    refused("base.gguf", FormatError, "numbers that are not below 65504")
