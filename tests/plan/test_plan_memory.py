"""What is planned is what the core takes, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.predicting import predicting_spec
from tests.models.tiny_models import cases, tiny_spec, with_vision
from tests.models.transformers_models import CHATML
from tinsmith import _core, compiler, plan, targets
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.plan import contents, memory
from tinsmith.plan.memory import Options

SOME = [
    Options(),
    Options(context=1),
    Options(context=70, chunk=7, logit_rows=5),
    Options(context=33, chunk=64, logit_rows=64, checkpoints=2),
    Options(context=64, kv="q8"),
    Options(context=80, chunk=7, adapter_rank=48),
    Options(adapter_rank=32),
    Options(context=64, tiles=3, image_rows=20),
    Options(searches=True),
]


@pytest.mark.parametrize("case", [*cases(), "mtp"])
def test_a_session_takes_what_is_planned(case: str) -> None:
    spec = predicting_spec() if case == "mtp" else tiny_spec(case)
    core = _core.Model(compiler.build_image(spec))
    planned = contents.Base(spec).contents()
    program, mtp = planned.program, planned.mtp
    assert (mtp is not None) == (case == "mtp")
    for options in SOME:
        given = {
            "context": options.context,
            "chunk": options.chunk,
            "logit_rows": options.logit_rows,
            "kv_type": memory.KV_TYPES.index(options.kv),
            "checkpoints": options.checkpoints,
            "adapter_rank": options.adapter_rank,
            "tiles": options.tiles,
            "image_rows": options.image_rows,
            "searches": options.searches,
        }
        try:
            size = _core.Session(core, **given).size()
        except Exception:
            with pytest.raises((InputError, UnsupportedError)):
                memory.session(program, options, mtp)
        else:
            assert memory.session(program, options, mtp).bytes == size


@pytest.mark.parametrize("preset", [None, "Q8_0", "Q4_0", "Q4_K_M", "F16"])
def test_a_file_is_foretold_without_building_it(preset: str | None, tmp_path: Path) -> None:
    from tinsmith.quant import shipping
    from tinsmith.system import progress

    spec = predicting_spec()
    predicted = contents.Base(spec, "x").contents(preset)
    if preset is None:
        compiler.build_tin(spec, tmp_path / "x.tin")
        made = tmp_path / "x.tin"
    else:
        spec, weights = shipping.prepared(spec, "x", 0), [shipping.Weights(preset)]
        ((_, made),) = shipping.build_files(spec, tmp_path, weights, progress.PlainDisplay()).values()
    there = contents.of(made)
    assert there.entries["weights.bin"] == predicted.entries["weights.bin"]
    assert there.program == predicted.program
    assert predicted.mtp
    assert there.mtp == predicted.mtp
    assert there.tables == predicted.tables
    assert abs(there.file - predicted.file) <= 2 * 4096
    if preset is not None:
        assert there.format == predicted.format == preset


def test_a_tin_keeps_its_format(tmp_path: Path) -> None:
    path = tmp_path / "x.tin"
    compiler.build_tin(tiny_spec("llama"), path)
    with pytest.raises(InputError, match="a tin keeps its format"):
        contents.of(path, "Q2_K")


def test_a_shorter_context_is_in_the_program() -> None:
    spec = tiny_spec("llama")
    assert contents.Base(spec, context=16).contents().program.context == 16
    with pytest.raises(InputError, match=r"longer than the base's \d+ tokens"):
        contents.Base(spec, context=spec.hyper.context + 1)


def test_what_a_device_holds_in_memory() -> None:
    planned = contents.Base(tiny_spec("llama")).contents("Q8_0")
    mapped = plan.memory_of(planned, targets.load("raspberrypi-5"), Options(context=32))
    loaded = plan.memory_of(planned, targets.load("wasm32"), Options(context=32))
    flash = plan.memory_of(planned, targets.load("cortex-m7"), Options(context=32))
    assert mapped.ram == mapped.weights + mapped.tables + mapped.model + mapped.session.bytes
    assert loaded.ram == loaded.file + loaded.model + loaded.session.bytes
    assert flash.ram == flash.model + flash.session.bytes + flash.firmware
    assert mapped.session == loaded.session  # whatever the size of a pointer
    assert flash.session.kv == mapped.session.kv
    assert flash.session.chunk == 8 < mapped.session.chunk


def test_a_model_with_vision_has_room_for_image_rows(tmp_path: Path) -> None:
    """In the session that tinsmith.load opens, and in one of C with logits of one row."""
    spec = with_vision(replace(tiny_spec("llama"), chat_template=CHATML))
    compiler.build_tin(spec, tmp_path / "x.tin")
    model = tinsmith.load(tmp_path / "x.tin", threads=1)
    there = contents.of(tmp_path / "x.tin")
    target, options = targets.load("raspberrypi-5"), Options(context=64)
    planned = plan.make(there, target, options)
    wanted = {"context": 64, "chunk": planned.memory.session.chunk, "tiles": 64, "image_rows": 64}
    assert planned.memory.session.bytes == _core.Session(model.core, **wanted).size()
    opened = {"chunk": wanted["chunk"], "checkpoints": 2, "rows": 64}
    assert planned.python_session == model._new_session(64, **opened)[0].size()
    assert planned.memory.vision == model.vision.memory


@pytest.mark.parametrize(
    "options, message",
    [
        (Options(context=10**6), "the model has at most"),
        (Options(chunk=5000), "1 to 4096 are computed at once"),
        (Options(chunk=4, logit_rows=5), "a chunk has 1 to 4"),
        (Options(kv="q4"), "give one of f16, q8"),
    ],
)
def test_what_no_session_can_be_is_refused(options: Options, message: str) -> None:
    program = contents.Base(tiny_spec("llama")).contents().program
    with pytest.raises(InputError, match=message):
        memory.session(program, options)
