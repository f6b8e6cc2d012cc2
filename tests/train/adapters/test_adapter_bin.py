"""A trained adapter beside its base: what it learned is answered, on a base of any format."""

from __future__ import annotations

import json
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import tinsmith
from tests.models import c_programs
from tests.models.tiny_models import in_format
from tests.train.tiny_training import encode, train
from tinsmith import cli, compiler, models
from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.formats.router import Router
from tinsmith.models import family
from tinsmith.spec import Spec
from tinsmith.system import files
from tinsmith.train import merge, methods
from tinsmith.train.adapters import peft_folder, router_tin
from tinsmith.train.adapters import tin as adapter_tin
from tinsmith.train.adapters.peft_folder import Factors
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions

np = pytest.importorskip("numpy")

KERNELS = Path(__file__).parents[3] / "kernels"
OPTIONS = TrainOptions(epochs=40, rank=8, learning_rate=1e-2, batch_tokens=120, threads=1, qat=None)


def test_what_was_learned_is_answered_beside_the_base(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    folder = train("lora", spec, examples, examples[:6], OPTIONS, tmp_path).folder
    prompts = [encode(f"<|im_start|>u\n{one.input}<|im_end|>\n<|im_start|>a\n") for one in examples]
    outputs = [encode(one.output) for one in examples]
    models.save_gguf(merge.merge(spec, folder), tmp_path / "merged.gguf")
    for format in ("F32", "F16", "Q8_0"):
        models.save_gguf(in_format(spec, format), tmp_path / f"{format}.gguf")

    def right(name: str, adapter: str | None = None) -> int:
        model = tinsmith.load(tmp_path / f"{name}.gguf", threads=1)
        model.adapters.add("letters", folder)
        answers = [model.generate(prompt, adapter=adapter, max_tokens=1).token_ids for prompt in prompts]
        return sum(answer == output for answer, output in zip(answers, outputs, strict=True))

    assert right("merged") >= right("F32") + 5
    for format in ("F32", "F16", "Q8_0"):
        assert abs(right(format, "letters") - right("merged")) <= 1  # a tie that rounding turns


@pytest.mark.parametrize("format", ["Q8_0", "Q5_1"])
def test_what_was_learned_on_a_packed_base_is_answered_on_that_very_file(
    format: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    """The likeliest token after each prompt is the one of the network that was trained."""
    base = tmp_path / "base.gguf"
    models.save_gguf(in_format(spec, format), base)
    packed, options = models.load(base), replace(OPTIONS, epochs=8, weights="quantized")
    folder = train("lora", packed, examples, examples[:6], options, tmp_path).folder
    words = ["export", "--adapter", folder, "--base", base, "--gguf", tmp_path / "a.gguf"]
    assert cli.main([*map(str, words)]) == 0
    job = Job(packed, examples, examples[:1], options, tmp_path / "again", encode, start=folder)
    trainee: Any = methods.by_name("lora").trainee(job)
    trainee.network.model.eval()
    sequences = job.tokenization()(examples)
    wanted = []
    for one in sequences:
        with torch.no_grad():
            _, best = trainee.network.answer_losses(trainee.network.pack([one], 0))
        ends = int(best[0]) in packed.tokenizer.end_tokens
        wanted.append([] if ends else [int(best[0])])
    model = tinsmith.load(base, threads=1)
    model.adapters.add("folder", folder)
    model.adapters.add("gguf", tmp_path / "a.gguf")

    def likeliest(adapter: str | None) -> list[list[int]]:
        return [model.generate(one.prompt, adapter=adapter, max_tokens=1).token_ids for one in sequences]

    assert likeliest("gguf") == likeliest("folder")
    away = sum(a != b for a, b in zip(likeliest("folder"), wanted, strict=True))
    assert away <= 2  # ties that rounding turns
    assert sum(a != b for a, b in zip(likeliest(None), wanted, strict=True)) > len(wanted) / 2


def test_run_takes_adapters_and_their_scales(
    spec: Spec, examples: list[Example], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = replace(OPTIONS, epochs=2)
    folder = train("lora", spec, examples, examples[:6], options, tmp_path).folder
    models.save_gguf(spec, tmp_path / "base.gguf")
    asked = ["run", str(tmp_path / "base.gguf"), "<|im_start|>", "--raw", "--json", "--max-tokens", "8"]

    def answer(*words: str) -> list[int]:
        assert cli.main([*asked, *words]) == 0
        ids: list[int] = json.loads(capsys.readouterr().out)["token_ids"]
        return ids

    plain, whole = answer(), answer("--adapter", str(folder))
    assert whole != plain
    assert answer("--adapter", f"{folder}:1") == whole
    assert answer("--adapter", f"{folder}:0") == plain
    assert answer("--adapter", f"{folder}:-3") not in (plain, whole)
    assert cli.main([*asked, "--adapter", "nothing"]) == 2
    assert "no adapter 'nothing'; it has: none" in capsys.readouterr().err


def test_one_file_serves_every_format_of_the_base_and_the_program_in_c(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    """The program `tin` answers under it what Python does."""
    folder = train("lora", spec, examples, examples[:6], replace(OPTIONS, epochs=2), tmp_path).folder
    file = tmp_path / "letters.adapter"
    models.save_gguf(spec, tmp_path / "base.gguf")
    words = ["export", "--adapter", folder, "--base", tmp_path / "base.gguf", "--native", file]
    assert cli.main([*map(str, words)]) == 0
    sources = [KERNELS / "tool/tin.c", KERNELS / "tin_all.c"]
    program = c_programs.program(tmp_path / "tin", sources, *c_programs.TOOL)
    for format in ("F16", "Q8_0"):
        path = tmp_path / f"{format}.tin"
        compiler.build_tin(in_format(spec, format), path)
        model = tinsmith.load(path, threads=1)
        model.adapters.add("file", file)
        model.adapters.add("folder", folder)
        asked = [{"role": "user", "content": "ax"}]
        answers = {name: model.chat(asked, adapter=name, max_tokens=9) for name in (None, "file", "folder")}
        assert answers["file"].token_ids == answers["folder"].token_ids != answers[None].token_ids
        for name, more in ((None, []), ("file", ["--adapter", str(file)])):
            told = subprocess.run(
                [program, "run", path, "ax", "--tokens", "9", *more], capture_output=True, check=True
            )
            assert told.stdout.decode("utf-8", "replace").rstrip("\n") == answers[name].text.rstrip("\n")
        adapter_tin.add(path, "sealed", file, path, "Q8_0")
        told = subprocess.run(
            [program, "run", path, "ax", "--tokens", "9", "--adapter", "sealed"], capture_output=True
        )
        assert told.stdout.decode("utf-8", "replace").rstrip("\n") == answers["file"].text.rstrip("\n")
        # By a router whose bias chooses it, or none.
        dim = len(model.states(["ax"])[0])
        for bias, said in ((9.0, "tin: sealed 1.00"), (-9.0, "tin: none of these: sealed 0.00")):
            weighed = Router(("sealed",), dim, [0.0] * 2 * dim, [bias, 0.0], [0.5])
            router_tin.put(path, weighed, path)
            told = subprocess.run([program, "run", path, "ax", "--tokens", "9", "--route"], capture_output=True)
            assert told.stderr.decode().strip() == said
            wanted = answers["file"].text if bias > 0 else ""
            assert told.stdout.decode("utf-8", "replace").rstrip("\n") == wanted.rstrip("\n")


def test_an_adapter_is_for_its_own_base_alone(small_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever format it is in; not for another of the same sizes, such as the base merged with it."""
    folder = small_recipe.parent
    assert cli.main(["build", str(small_recipe), "--out", str(folder / "run")]) == 0
    assert cli.main(["build", str(folder / "base.gguf"), "--format", "q4_0", "--out", str(folder)]) == 0
    trained = folder / "run" / "adapter"
    digest = json.loads((trained / "base.json").read_text())["sha256"]
    assert digest == files.sha256_file(folder / "base.gguf")
    own, merged = tinsmith.load(folder / "base-q4_0.tin"), tinsmith.load(folder / "run" / "small-q8_0.tin")
    own.adapters.add("own", trained)
    with pytest.raises(
        InputError, match=f"trained on the base {digest[:12]}, and the model was made from another"
    ):
        merged.adapters.add("own", trained)
    # GGUF files say it too, however they were made, and in whatever runtime they are.
    quantized = folder / "quantized.gguf"
    assert cli.main(["quantize", str(folder / "base.gguf"), str(quantized), "--type", "q8_0"]) == 0
    assert cli.main(["export", str(folder / "base-q4_0.tin"), "--gguf", str(folder / "again.gguf")]) == 0
    for name in ("base-q4_0.gguf", "quantized.gguf", "again.gguf", "run/small-q8_0.gguf"):
        for backend in ("native", "llama.cpp") if find_spec("llama_cpp") else ("native",):
            model = tinsmith.load(folder / name, backend=backend)
            refused = pytest.raises(
                InputError, match=f"trained on the base {digest[:12]}, and the model was made"
            )
            with refused if name.startswith("run") else nullcontext():
                model.adapters.add("own", trained)
    # A file that does not say what it was made from is taken by its sizes.
    tinsmith.load(folder / "base.gguf").adapters.add("own", trained)
    (trained / "base.json").write_text('{"sha256": "abc"}')
    with pytest.raises(FormatError, match="of 64 hexadecimal digits"):
        own.adapters.add("again", trained)
    (trained / "base.json").unlink()
    merged.adapters.add("own", trained)


def test_a_convolution_is_only_merged(spec: Spec) -> None:
    name = family.by_name(spec.family).tensors(spec.hyper)[0]
    factors = Factors(name, np.zeros((4, 3)), np.zeros((4, 1)), 1.0, is_depthwise=True)
    with pytest.raises(UnsupportedError, match="a convolution, which is only possible merged"):
        peft_folder.low_rank("folder", factors)


def test_training_goes_on_from_an_adapter_of_its_base_alone(
    small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, base = small_recipe.parent, small_recipe.parent / "base.gguf"
    assert cli.main(["make", "--until", "train", str(small_recipe), "--out", str(folder / "run")]) == 0
    words = [
        *("make", "--until", "train"),
        str(small_recipe),
        "--from",
        str(folder / "run" / "adapter"),
        "--out",
        str(folder / "more"),
    ]
    digest = files.sha256_file(base)
    spec = models.load(base)
    other = {**spec.tensors, "final_norm": replace(spec.tensors["final_norm"], data=bytes(4 * spec.hyper.dim))}
    models.save_gguf(replace(spec, tensors=other), base)
    capsys.readouterr()
    assert cli.main(words) == 2
    said = f"the adapter was trained on the base {digest[:12]}, and the model was made from another one, "
    assert f"{said}{files.sha256_file(base)[:12]}; give its own base" in capsys.readouterr().err
    # A file made from that base, which says so, is its base too.
    models.save_gguf(replace(spec, source=digest), base)
    assert cli.main(words) == 0
    assert json.loads((folder / "more" / "adapter" / "base.json").read_text()) == {"sha256": digest}
