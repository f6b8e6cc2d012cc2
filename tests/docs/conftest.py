"""What the book's examples find in their folder: tiny models under any name, and files of each kind."""

from __future__ import annotations

import json
import shutil
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.blocks import Provide
from tests.models.random_adapters import random_adapter
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import cli
from tinsmith.formats import minisign
from tinsmith.models import Spec, Tensor, family, save_hf

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "head_dim": 32,
    "num_attention_heads": 4,
    "max_position_embeddings": 4096,
}
SCHEMA = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
TOOLS = [{"name": "switch", "description": "Switches.", "parameters": {"type": "object", "properties": {}}}]
EXAMPLES = [
    {"input": f"turn {way} lamp {k}", "output": f'{{"name":"{way}"}}'} for k in (1, 2) for way in ("on", "off")
]
KEY = minisign.SecretKey(b"the book", bytes(range(32)))

TEXTS: dict[str, str] = {
    "s.json": json.dumps(SCHEMA),
    "tools.json": json.dumps(TOOLS),
    "g.gbnf": 'root ::= "yes" | "no"',
    "g.lark": 'start: "yes" | "no"',
    ".jsonl": "".join(json.dumps(example) + "\n" for example in EXAMPLES),
    ".txt": "Lamps can be turned on and off.\n",
    ".pub": f"untrusted comment: minisign public key\n{KEY.public}\n",
}


def brief(spec: Spec) -> Spec:
    """A model that ends a text or an object of JSON as soon as it may, as a trained one does in good time: the
    first channel of each token is the same, and the output head gives these bytes more for it, a quote most."""
    ends = {spec.tokenizer.tokens.index(end): 4.0 - k for k, end in enumerate('"}],')}

    def first(role: str, value: Callable[[int], float]) -> Tensor:
        tensor = spec.tensors[role]
        data = array("f", tensor.data)
        for row in range(tensor.rows):
            data[row * tensor.inputs] = value(row)
        return replace(tensor, data=data.tobytes())

    changed = {"embed": first("embed", lambda row: 1.0), "head": first("head", lambda row: ends.get(row, 0.0))}
    return replace(spec, tensors={**spec.tensors, **changed})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path | None], Path]:
    """A folder with tiny.tin, tiny.gguf and a signature; answers held to a list of tools where one is given."""
    folder = tmp_path_factory.mktemp("book")
    spec = brief(replace(tiny_spec(family.by_name("llama"), **SIZES), chat_template=CHATML))
    save_hf(spec, folder / "base")
    known: dict[str, Path] = {}

    def make(tools: Path | None) -> Path:
        held = tools.read_text("utf-8") if tools else ""
        if held not in known:
            out = folder / str(len(known))
            arguments = ["build", str(folder / "base"), "--format", "q8_0", "--name", "tiny", "--out", str(out)]
            assert cli.main([*arguments, *(["--tools", str(tools)] if tools else [])]) == 0
            for path in out.iterdir():
                path.rename(out / f"tiny{path.suffix}")
            (out / "tiny.tin.minisig").write_text(minisign.sign(out / "tiny.tin", KEY, version=7), "utf-8")
            known[held] = out
        return known[held]

    return make


@pytest.fixture
def provide(made: Callable[[Path | None], Path]) -> Provide:
    """Makes a file that a page names, unless it is there. False where nothing of its kind can be made."""

    def place(path: Path) -> bool:
        if path.exists():
            return True
        text = TEXTS.get(path.name) or TEXTS.get(path.suffix)
        if text is None and path.suffix not in (".tin", ".gguf", ".adapter"):
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            path.write_text(text, "utf-8")
            return True
        tools = path.parent / "tools.json"  # which the page shows: its models are held to it
        source = made(tools if tools.exists() else None)
        if path.suffix == ".adapter":
            random_adapter(source / "tiny.tin", path)
            return True
        shutil.copy(source / f"tiny{path.suffix}", path)
        if path.suffix == ".tin":
            shutil.copy(source / "tiny.tin.minisig", f"{path}.minisig")
        return True

    return place
