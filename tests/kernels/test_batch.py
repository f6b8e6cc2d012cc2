"""Batches as C hosts step them: with other sessions each time, which the Python face never does."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.models import c_programs
from tests.models.tiny_models import tiny_spec
from tinsmith import compiler, quant

KERNELS = Path(__file__).parents[2] / "kernels"


def test_a_pass_for_others_takes_the_place_of_a_sessions_logits(tmp_path: Path) -> None:
    sources = [Path(__file__).with_name("batch_rows.c"), *sorted(KERNELS.glob("core/*/*.c"))]
    sources += sorted(KERNELS.glob("isa/scalar/*.c"))
    flags = ["-O1", "-DTIN_SCALAR_ONLY", "-DTIN_NO_POOL", f"-I{KERNELS / 'include'}"]
    program = c_programs.program(tmp_path / "batch_rows", sources, *flags)
    spec = tiny_spec("llama", hidden_size=64, intermediate_size=96)
    compiler.build_tin(quant.apply(spec, "Q4_0"), tmp_path / "tiny.tin")
    done = subprocess.run([program, tmp_path / "tiny.tin"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
