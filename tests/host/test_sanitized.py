"""tin_host under sanitizers: calls by chance, odd numbers among them; each answer beside a fresh session's."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models import c_programs, random_adapters
from tests.models.effort import EFFORT
from tests.models.tiny_models import in_format, tiny_spec, with_vision
from tests.models.transformers_models import CHATML
from tinsmith import _core
from tinsmith.compiler import build_image, build_tin, drafts
from tinsmith.constraint.makers import choices, schema
from tinsmith.models import Spec, family

HERE = Path(__file__).parent
SOURCES = [c_programs.KERNELS / "tin_all.c", c_programs.KERNELS / "host" / "tin_host.c"]
HELD = {
    "type": "object",
    "properties": {"action": {"enum": ["open", "close", "wait"]}, "thing": {"type": "string", "maxLength": 6}},
    "required": ["action", "thing"],
    "additionalProperties": False,
}
SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 256}


def seeing() -> Spec:
    return with_vision(tiny_spec(family.by_name("llama"), **SMALL))


def packed() -> Spec:
    return in_format(tiny_spec(family.by_name("llama"), **SMALL), "Q8_0")


def recurrent() -> Spec:
    return tiny_spec("lfm2", max_position_embeddings=256)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    include = f"-I{c_programs.KERNELS / 'include'}"
    path = tmp_path_factory.mktemp("sessions") / "sessions"
    return c_programs.program(path, [HERE / "sessions.c", *SOURCES], *c_programs.SANITIZED, include)


@pytest.mark.parametrize("make", [seeing, packed, recurrent], ids=lambda make: make.__name__)
def test_answers_are_a_fresh_sessions_whatever_was_called_before(
    program: Path, make: object, tmp_path: Path
) -> None:
    """A model with more adapters than a session can have, one with a constraint of its own, and drafts."""
    spec, tin = replace(make(), chat_template=CHATML), tmp_path / "model.tin"  # type: ignore[operator]
    build_tin(spec, tin)
    model = _core.Model(build_image(spec))
    said = [([k, 2 * k, 3 * k + 1], [k % 5, 3, k % 7, 9, 9, k]) for k in range(60)]
    entries = {
        f"adapter/{name}.bin": random_adapters.compiled(tin, seed=k) for k, name in enumerate("abcdefghij")
    }
    entries["grammar/answer.bin"] = schema(HELD).with_search(20).data
    entries["adapter/b/grammar/answer.bin"] = choices(["left", "right"]).data
    entries["drafts/answer.bin"] = drafts.learn(model, said)
    build_tin(spec, tin, entries=entries)
    done = subprocess.run([program, tin, "1", str(2 * EFFORT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    compared, refused = map(int, done.stdout.split())
    assert compared > 20 * EFFORT
    assert refused > 200 * EFFORT
