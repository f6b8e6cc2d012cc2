"""Prefixes in the native runtime: they give torch's logits, the same bits everywhere, and are told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_models import cases
from transformers_models import save_random, some_tokens

from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.formats.tin import Tin
from tinsmith.runtime.adapters import aligned
from tinsmith.spec import Spec

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")

WINDOWED = ("gemma2", "gemma3", "phi3")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinsmith.train import devices

    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: False)


def with_prefix(spec: Spec, folder: Path, length: int, seed: int = 3) -> Any:
    """What training would begin with, half as much again of it at random, and the folder that it would leave."""
    from safetensors.torch import save_file

    from tinsmith.train import prefix, prefix_bin
    from tinsmith.train.devices import CPU

    built = prefix.build(spec, CPU, some_tokens(spec.hyper.vocab, length))
    torch.manual_seed(seed)
    for value in built.prefix.values():
        value.data += 0.5 * value.data.std() * torch.randn(value.shape)
    folder.mkdir()
    save_file({name: value.detach() for name, value in built.prefix.items()}, folder / prefix_bin.WEIGHTS)
    config = {"kind": "prefix", "length": length, "family": spec.family}
    (folder / prefix_bin.CONFIG).write_text(json.dumps(config))
    return built


def logits_of(built: Any, tokens: list[int]) -> Any:
    """By torch, as training has it, with the model's own head: float32 [tokens, vocabulary]."""
    from tinsmith.train import prefix
    from tinsmith.train.packing import pad
    from tinsmith.train.sequences import TokenSequence

    packing = pad([TokenSequence(tuple(tokens[:1]), (*tokens[1:], tokens[0]))])
    states = prefix.States(dict(built.prefix), built.length)
    with torch.no_grad():
        hidden = prefix._run(built.trunk, packing, states)[0]
        return built.logits(hidden).numpy()


def rows_of(session: _core.Session, tokens: list[int], budget: int = 0) -> bytes:
    session.append(tokens)
    session.want_logits(0)
    rows = b""
    while (event := session.step(budget)) != _core.STEP_IDLE:
        rows += session.logits()[1] if event == _core.STEP_LOGITS else b""
    return rows


@pytest.mark.parametrize(
    ("case", "length"), [*((case, 10) for case in cases()), *((case, 150) for case in WINDOWED), ("lfm2", 1)]
)
def test_logits_are_those_of_torch(case: str, length: int, tmp_path: Path) -> None:
    """In windows that hold the prefix, in those that it is longer than, and for tokens that no longer see it."""
    from tinsmith.train import adapter_bin

    save_random(case, tmp_path / "base")
    spec = models.load(tmp_path / "base")
    image = build_image(spec)
    model = _core.Model(image)
    tokens = some_tokens(spec.hyper.vocab)[: 290 - length]
    built = with_prefix(spec, tmp_path / "prefix", length)
    data = adapter_bin.compiled(tmp_path / "prefix", Tin(image))
    wanted = logits_of(built, tokens)
    session = _core.Session(model, logit_rows=64)
    plain = np.frombuffer(rows_of(session, tokens), np.float32).reshape(wanted.shape)
    session.rewind(0)
    session.adapter(_core.Adapter(model, aligned(data)))
    ours = np.frombuffer(rows_of(session, tokens), np.float32).reshape(wanted.shape)
    reach = float(wanted.max() - wanted.min())
    worst, change = (float(np.abs(one - wanted).max()) / reach for one in (ours, plain))
    print(f"{case}: worst {worst:.2g} of the logits' reach, without the prefix {change:.2g}")
    assert worst <= 1e-3
    assert change >= 20 * worst
    session.adapter(None)
    session.rewind(0)
    assert rows_of(session, tokens) == plain.tobytes()
