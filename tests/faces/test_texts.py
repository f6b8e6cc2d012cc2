"""Every face that reads JSON, TOML or text of a user or a file, given texts that are wrong in the same ways: an
error of one line that names the file, and no other exception."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import cli, models, runtime, targets
from tinsmith.batch import journal as journals
from tinsmith.batch import output
from tinsmith.batch.settings import Settings
from tinsmith.chat.turns import Turns
from tinsmith.cli import docs
from tinsmith.constraint import makers as compiled
from tinsmith.data import readers
from tinsmith.errors import TinsmithError
from tinsmith.evaluate import remote
from tinsmith.evaluate.answers import AnswerFile
from tinsmith.formats import imatrix, minisign, safetensors, tin
from tinsmith.pipeline import constraint, recipe
from tinsmith.pipeline import run as engine
from tinsmith.pipeline.examples import write_examples
from tinsmith.pipeline.prepared import read_tools
from tinsmith.pipeline.recipe import tables as recipe_tables
from tinsmith.search import sensitivity
from tinsmith.system import reading
from tinsmith.train.adapters import peft_folder

DEEP = b"[" * 100_000 + b"]" * 100_000
VALUES = {
    "deep": DEEP,
    "deep tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "just too deep": b"[" * 201 + b"]" * 201,
    "5,000 digits": b"9" * 5000,
    "400 digits": b"9" * 400,
    "past float64": b"1e999",
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "half a pair": b'"half an emoji \\ud83d"',
    "half a pair as a key": b'{"\\ude00": 1}',
    "not UTF-8": b'"\xff"',
    "cut short": b'{"a": ',
    "twice": b'{"a": 1, "a": 2}',
}
# Where a key that stands twice is its last, as for whoever else reads these files.
TWICE = [(face, "twice") for face in ("config.json", "tokenizer.json", "tokenizer_config.json")]


def _folder(at: Path) -> Path:
    models.save_hf(tiny_spec("llama"), at / "base")
    return at / "base"


def _within(path: Path, key: str, value: bytes) -> None:
    """Puts the value beside what a table of a JSON file holds."""
    before = path.read_bytes().rstrip().removesuffix(b"}")
    path.write_bytes(before + b', "' + key.encode() + b'": ' + value + b"}")


def jsonl(at: Path, value: bytes) -> Any:
    path = at / "face.jsonl"
    path.write_bytes(b'{"input": "a", "output": "b", "about": {"x": ' + value + b"}}\n")
    return write_examples(at / "out.jsonl", readers.read_jsonl(path))


def journal(at: Path, value: bytes) -> Any:
    (at / "face.jsonl.journal").write_bytes(b'{"batch": {"x": ' + value + b"}}\n")
    return journals.header_of(at / "face.jsonl")


def batch_out(at: Path, value: bytes) -> Any:
    path = at / "face.jsonl"
    path.write_bytes(b'{"item": 1, "text": ' + value + b"}\n")
    return list(output.read(path, Settings()))


def header(at: Path, value: bytes) -> Any:
    path, entry = at / "face.safetensors", b'{"a": ' + value + b"}"
    path.write_bytes(struct.pack("<Q", len(entry)) + entry)
    return safetensors.read(path)


def in_folder(name: str) -> Callable[[Path, bytes], Any]:
    def face(at: Path, value: bytes) -> Any:
        folder = _folder(at)
        _within(folder / name, "face", value)
        return models.load(folder)

    return face


def index(at: Path, value: bytes) -> Any:
    folder = _folder(at)
    (folder / safetensors.INDEX).write_bytes(b'{"weight_map": ' + value + b"}")
    return models.load(folder)


def template_file(at: Path, value: bytes) -> Any:
    folder = _folder(at)
    (folder / "chat_template.jinja").write_bytes(b"\xff" + value)
    return models.load(folder)


def sealed(at: Path, name: str, data: bytes) -> Path:
    tin.write(at / "face.tin", [(name, data)], {"family": "llama"})
    return at / "face.tin"


def manifest(at: Path, value: bytes) -> Any:
    path = sealed(at, "a", b"b")
    data = path.read_bytes()
    entry = tin.Tin(path).entry("manifest.json")
    changed = b'{"family": ' + value + b"}"
    # The manifest's own place holds no more than it did: it is read through an image of its own.
    return _Image(bytes(entry), changed, data, str(path)).manifest


class _Image(tin.Tin):
    """A tin whose manifest is another: structure is checked elsewhere."""

    def __init__(self, before: bytes, value: bytes, data: bytes, where: str) -> None:
        super().__init__(data)
        self.where, self._given = where, value

    def entry(self, name: str) -> memoryview:
        return memoryview(self._given) if name == tin.MANIFEST else super().entry(name)


def template_json(at: Path, value: bytes) -> Any:
    path = sealed(at, "template.json", b'{"default": ' + value + b"}")
    return Turns.from_json(tin.Tin(path).entry("template.json"))


def run_json(at: Path, value: bytes) -> Any:
    (at / "face.json").write_bytes(b'{"stages": ' + value + b"}")
    return engine._read_state(at / "face.json")


def data_tools(at: Path, value: bytes) -> Any:
    (at / "face.json").write_bytes(value)
    held = SimpleNamespace(data=SimpleNamespace(tools="face.json"), resolve=lambda name: at / name)
    return read_tools(held)  # type: ignore[arg-type]


def plain_text(at: Path, value: bytes) -> Any:
    (at / "face.txt").write_bytes(b"\xff" + value)
    return reading.read_text(at / "face.txt")


def schema_text(at: Path, value: bytes) -> Any:
    return compiled.schema(b'{"const": {"x": '.decode() + value.decode("utf-8", "surrogateescape") + "}}")


def of_recipe(source: str) -> Callable[[Path, bytes], Any]:
    def face(at: Path, value: bytes) -> Any:
        whole = b"[" + value + b"]" if source == "tools" else b'{"const": ' + value + b"}"
        (at / "face.json").write_bytes(whole)
        return constraint.seal(recipe_tables.Constraint(**{source: "face.json"}), at)

    return face


def sensitivity_json(at: Path, value: bytes) -> Any:
    (at / "sensitivity.json").write_bytes(b'{"digest": "x", "measured": ' + value + b"}")
    return sensitivity.Sensitivity(at / "sensitivity.json", "x")


def answers(at: Path, value: bytes) -> Any:
    (at / "face.jsonl").write_bytes(b'{"job":"x"}\n{"item": ' + value + b"}\n")
    return AnswerFile(at / "face.jsonl", "x")


def given_answers(at: Path, value: bytes) -> Any:
    (at / "face.jsonl").write_bytes(b'{"input": "a", "text": ' + value + b"}\n")
    return remote.given(at / "face.jsonl", [readers.Example("a", "b")])


def adapter_config(at: Path, value: bytes) -> Any:
    (at / "adapter_config.json").write_bytes(b'{"peft_type": "LORA", "lora_alpha": ' + value + b"}")
    return peft_folder._config(at / "adapter_config.json")


def docs_tools(at: Path, value: bytes) -> Any:
    (at / "face.json").write_bytes(b"[" + value + b"]")
    return docs._checked(str(at / "face.json"), compiled.tools, "it is a list of tools")


def docs_schema(at: Path, value: bytes) -> Any:
    (at / "face.json").write_bytes(b'{"const": ' + value + b"}")
    return docs._checked(str(at / "face.json"), compiled.schema, "it is a schema")


FACES: dict[str, Callable[[Path, bytes], Any]] = {
    "examples": jsonl,
    "journal": journal,
    "batch's OUT": batch_out,
    "safetensors": header,
    "config.json": in_folder("config.json"),
    "tokenizer.json": in_folder("tokenizer.json"),
    "tokenizer_config.json": in_folder("tokenizer_config.json"),
    "index.json": index,
    "manifest": manifest,
    "template.json": template_json,
    "run.json": run_json,
    "[data] tools": data_tools,
    "schema text": schema_text,
    "[constraint] schema": of_recipe("schema"),
    "[constraint] tools": of_recipe("tools"),
    "sensitivity.json": sensitivity_json,
    "answers": answers,
    "given answers": given_answers,
    "adapter": adapter_config,
    "text": plain_text,
    "docs --schema": docs_schema,
    "docs --tools": docs_tools,
    "chat_template.jinja": template_file,
}


def _refused(call: Callable[[], Any]) -> str:
    with pytest.raises(TinsmithError) as raised:
        call()
    message = str(raised.value)
    assert message.isprintable() and len(message) < 1200
    return message


@pytest.mark.parametrize(
    ("face", "value"), [(face, value) for face in FACES for value in VALUES if (face, value) not in TWICE]
)
def test_a_wrong_text_is_an_error_of_one_line(face: str, value: str, tmp_path: Path) -> None:
    message = _refused(lambda: FACES[face](tmp_path, VALUES[value]))
    assert face in ("schema text", "template.json") or str(tmp_path) in message


TOMLS = {
    "deep": b"a = " + DEEP,
    "deep tables": b"a = " + b"{a=" * 5000 + b"1" + b"}" * 5000,
    "dotted": b".".join([b"a"] * 2000) + b" = 1",
    "5,000 digits": b"a = " + b"9" * 5000,
    "5,000 hexadecimal digits": b"[train]\nepochs = 0x" + b"f" * 5000,
    "half a pair": b'[base]\nmodel = "\\ud83d"',
    "not UTF-8": b'a = "\xff"',
    "no date": b"a = 2026-13-45",
    "NUL": b"a = '\0'",
    "nan": b"[train]\nalpha = nan",
    "cut short": b"[base",
    "large": b"#" * (5 << 20),
}


@pytest.mark.parametrize("value", TOMLS)
@pytest.mark.parametrize("face", [recipe.load, targets.load], ids=["recipe", "target"])
def test_a_wrong_toml_is_an_error_of_one_line(face: Callable[[str], Any], value: str, tmp_path: Path) -> None:
    path = tmp_path / "face.toml"
    path.write_bytes(TOMLS[value])
    assert str(path) in _refused(lambda: face(str(path)))


@pytest.mark.parametrize("command", ["--schema", "--tools", "--grammar"])
@pytest.mark.parametrize("value", VALUES)
def test_the_command_line_says_it_in_one_line(
    command: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinsmith import compiler

    compiler.build_tin(tiny_spec("llama"), tmp_path / "a.tin")
    path = tmp_path / ("face.gbnf" if command == "--grammar" else "face.json")
    path.write_bytes(VALUES[value])
    assert cli.main(["run", str(tmp_path / "a.tin"), "hi", "--raw", command, str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "face." in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("name", "data"),
    {
        "empty.tin": b"",
        "zip.tin": b"PK\5\6" + bytes(18),
        "short.gguf": b"GGUF",
        "nothing": b"",
        "secret.key": b"\xff\xfe\n\n",
        "imatrix.dat": struct.pack("<i", 2**31 - 1),
        "negative.dat": struct.pack("<ii", 1, -5) + bytes(64),
    }.items(),
)
def test_a_file_of_nonsense_is_refused(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    for call in (
        lambda: runtime.load(path),
        lambda: models.load(path),
        lambda: imatrix.read(path),
        lambda: minisign.read_secret(path),
        lambda: safetensors.read(path),
        lambda: readers.read_jsonl(path),
    ):
        _refused(call)


@pytest.mark.parametrize("shard", ["..", "../other", "/etc/passwd", "a\0b", ""])
def test_a_shard_lies_in_its_folder(shard: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / safetensors.INDEX).write_text(json.dumps({"weight_map": {"a": shard}}))
    _refused(lambda: models.load(folder))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": {"a": 1}, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": "ab"},
        {"dtype": None, "shape": [1], "data_offsets": [0, 4]},
        {},
        None,
    ],
)
def test_a_tensor_is_described_in_full(entry: Any, tmp_path: Path) -> None:
    described = json.dumps({"a": entry}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(described)) + described + bytes(4))
    _refused(lambda: safetensors.read(tmp_path / "a.safetensors"))


def test_what_is_no_folder_is_no_place_to_write(tmp_path: Path) -> None:
    from tinsmith import compiler
    from tinsmith.compiler.unpack import write_gguf

    compiler.build_tin(tiny_spec("llama"), tmp_path / "a.tin")
    for place in (Path(), tmp_path, Path("/")):
        assert "is a folder" in _refused(lambda place=place: write_gguf(tmp_path / "a.tin", place))
