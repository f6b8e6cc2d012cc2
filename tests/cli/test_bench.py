"""tinsmith bench: the JSON that other programs read, the tables, and one line for what is wrong."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import cli, models, quant
from tinsmith.cli.bench import report
from tinsmith.compiler import build_tin
from tinsmith.models import Spec, family

SMALL = ["--prompt", "16", "--generate", "4", "--repeat", "2"]


def make_spec() -> Spec:
    # onnxruntime-genai's builder wants the heads to share the hidden size evenly.
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 128, **heads}
    return quant.apply(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=None), "Q8_0")


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "tiny.tin"
    build_tin(make_spec(), path)
    return path


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["bench", *arguments]) == 0
    return capsys.readouterr().out


def check(printed: dict[str, list[dict[str, object]]], engines: list[str], formats: list[str]) -> None:
    rows = printed["rows"]
    assert [row["engine"] for row in rows] == engines * 4
    assert [row["format"] for row in rows] == formats * 4
    cases = [(threads, depth) for threads in (1, 2) for depth in (0, 32)]
    assert [(row["threads"], row["depth"]) for row in rows[:: len(engines)]] == cases
    for row in rows:
        assert float(str(row["prompt_tok_s"])) > 0
        assert float(str(row["decode_tok_s"])) > 0
        assert ("weight_gb_s" in row) == ("read_share" in row) == (row["engine"] == "native")


def test_json_has_what_other_programs_read(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--threads", "1,2", "--depth", "0,32", "--isa", "scalar", *SMALL]
    printed = json.loads(shell(capsys, str(tin), *options, "--json"))
    assert set(printed) == {"rows", "ratios", "machine", "engines", "settings"}
    check(printed, ["native"], ["Q8_0"])
    assert printed["ratios"] == []
    assert printed["settings"] == {"prompt": 16, "generate": 4, "repeat": 2, "duty_cycle": 100}
    machine = printed["machine"]
    assert set(machine) == {"cpu", "cores", "system", "isa", "read_gb_s", "int8_gops"}
    assert machine["isa"] == printed["engines"]["native"]["isa"] == "scalar"
    assert set(machine["read_gb_s"]) == set(machine["int8_gops"]) == {"1", "2"}


def test_a_table_says_the_same(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = shell(capsys, str(tin), "--threads", "1", "--depth", "0", *SMALL)
    lines = text.splitlines()
    assert lines[4].split()[:4] == ["engine", "format", "threads", "depth"]
    assert lines[5].split()[:4] == ["native", "Q8_0", "1", "0"]
    assert len(lines) == 6


def test_ratios_are_of_equal_threads_and_depth() -> None:
    from tinsmith.bench.run import _ratios

    rows = [
        {"engine": engine, "threads": threads, "depth": 0, "prompt_tok_s": prompt, "decode_tok_s": decode}
        for engine, threads, prompt, decode in [
            ("native", 1, 300.0, 50.0),
            ("llama.cpp", 1, 100.0, 25.0),
            ("native", 2, 500.0, 60.0),
            ("llama.cpp", 2, 200.0, 80.0),
        ]
    ]
    ratios = _ratios(rows)
    assert ratios == [
        {"against": "llama.cpp", "threads": 1, "depth": 0, "prompt": 3.0, "decode": 2.0},
        {"against": "llama.cpp", "threads": 2, "depth": 0, "prompt": 2.5, "decode": 0.75},
    ]
    limits = {"read_gb_s": {"1": 20.0, "2": 30.0}, "int8_gops": {"1": 1000.0, "2": 2000.0}}
    machine = {"cpu": "a processor", "cores": 2, "isa": "scalar", **limits}
    rows = [{**row, "format": "Q8_0"} for row in rows]
    table = report({"rows": rows, "ratios": ratios, "machine": machine}).splitlines()
    assert "memory read, GB/s: 20.0 on 1, 30.0 on 2 threads" in table
    assert table[-1].split() == ["llama.cpp", "2", "0", "2.50x", "0.75x"]
    assert len({len(line) for line in table[-2:]}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.gguf"], "absent.gguf: no such file"),
        (["{folder}"], "give a .gguf or a .tin"),
        (["{tin}", "--threads", "one"], "separated by commas"),
        (["{tin}", "--threads", "0"], "--threads 0: give at least 1"),
        (["{tin}", "--threads", "65"], "at most 64"),
        (["{tin}", "--depth", "-1"], "--depth -1: give at least 0"),
        (["{tin}", "--depth", "64", "--prompt", "100"], "do not fit the model's context of 128"),
        (["{tin}", "--prompt", "0"], "--prompt 0: give at least 1"),
        (["{tin}", "--repeat", "0"], "--repeat 0: give at least 1"),
        (["{tin}", "--against", "vllm"], "vllm: not known; known: llama.cpp, onnxruntime"),
        (["{tin}", "--isa", "z80", "--prompt", "8"], "those that do: scalar"),
    ],
)
def test_what_is_wrong_is_one_line(
    tin: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = [argument.format(tin=tin, folder=tin.parent) for argument in arguments]
    assert cli.main(["bench", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("tinsmith: error: ")
    assert message in last


@pytest.mark.slow
def test_real_peers_run_the_same_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numpy = pytest.importorskip("numpy")
    api = pytest.importorskip("onnxruntime_genai")
    pytest.importorskip("llama_cpp")
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    spec = make_spec()
    path, sealed = tmp_path / "tiny.gguf", tmp_path / "tiny.tin"
    models.save_gguf(spec, path)
    build_tin(spec, sealed)
    options = ["--threads", "1,2", "--depth", "0,32", *SMALL, "--against", "llama.cpp,onnxruntime", "--json"]
    path.unlink()  # peers get the GGUF file that is in the tin
    printed = json.loads(shell(capsys, str(sealed), *options))
    check(printed, ["native", "llama.cpp", "onnxruntime"], ["Q8_0", "Q8_0", "int8"])
    assert len(printed["ratios"]) == 8
    assert "CPU" in printed["engines"]["llama.cpp"]["system"]

    # The folder that was built is this model's, and is not built again.
    (folder,) = [entry for entry in os.scandir(tmp_path / "cache" / "onnx") if entry.is_dir()]
    model = api.Model(api.Config(folder.path))
    generator = api.Generator(model, api.GeneratorParams(model))
    generator.append_tokens(numpy.array([5, 6, 7, 8], dtype=numpy.int32))
    theirs = numpy.asarray(generator.get_logits()).reshape(-1)
    import tinsmith

    ours = numpy.asarray(tinsmith.load(sealed).logits([5, 6, 7, 8]))[-1]
    assert numpy.abs(theirs - ours).max() < 0.05 * numpy.abs(ours).max()
    made = Path(folder.path, "model.onnx").stat().st_mtime_ns
    shell(capsys, str(sealed), "--threads", "1", "--depth", "0", *SMALL, "--against", "onnxruntime", "--json")
    assert Path(folder.path, "model.onnx").stat().st_mtime_ns == made
