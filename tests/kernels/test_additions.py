"""CONTRIBUTING's table holds for C: a kind of op, a weight format and an instruction set are as few files as it
says, and then models that use them run. (What is Python alone: tests/test_one_file.py.)"""

from __future__ import annotations

from difflib import ndiff
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.models.scratch_tree import ROOT, build_extension, copy, python, shell
from tests.models.tiny_models import tiny_spec
from tinsmith import models

MODELS = str(Path(__file__).parents[1] / "models")


class Addition(NamedTuple):
    """files: new ones. edits: of a file that there is, what stands there once and what takes its place."""

    files: dict[str, str]
    edits: dict[str, list[tuple[str, str]]]

    def edited(self, text: str, path: str) -> str:
        for old, new in self.edits.get(path, ()):
            assert text.count(old) == 1, (path, old)
            text = text.replace(old, new)
        return text

    def added_lines(self, path: str) -> int:
        """How many lines more a file has; a line that only goes on (\\) is not new."""
        text = (ROOT / path).read_text(encoding="utf-8")
        texts = (text, self.edited(text, path))
        before, after = ([line.rstrip("\\ ") for line in one.splitlines()] for one in texts)
        changes = [line[0] for line in ndiff(before, after)]
        assert "-" not in changes
        return changes.count("+")


OP = Addition(
    files={},
    edits={
        "kernels/ops.def": [
            (
                "scores over their sum + f1, f0: scale */\n\n#endif",
                "scores over their sum + f1, f0: scale */ \\\n    X(29, NEGATE, negate)\n\n#endif",
            )
        ],
        "kernels/core/vm/program.c": [
            (
                "static const struct {\n    const char *name;\n    const char *(*check)",
                """\
static const char *tini_check_negate(const checker *c) {
    const tini_value *x = value(c, c->op->in[0]);
    if (!x || !is_f32(c, c->op->in[0], x->width) || !is_f32(c, c->op->out[0], x->width))
        return "needs floats of one width";
    return NULL;
}

static const struct {
    const char *name;
    const char *(*check)""",
            )
        ],
        "kernels/core/vm/op_rows.c": [
            (
                "static void run_slice(",
                """\
static void run_negate(const tini_run *r, uint32_t item, uint32_t end) {
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        const float *x = tini_value_at(r, r->op->in[0], row);
        float *out = tini_value_at(r, r->op->out[0], row);
        for (uint32_t i = 0; i < tini_value_width(r, r->op->in[0]); i++)
            out[i] = -x[i];
    }
}

const tini_op_functions tini_functions_negate = {tini_row_items, tini_norm_work, run_negate};

static void run_slice(""",
            )
        ],
        "src/tinsmith/graph.py": [
            (
                "    def slice(self, x: Value,",
                '''\
    def negate(self, x: Value) -> Value:
        """-x."""
        out = Value(x.width)
        self._add(Op("NEGATE", [x], [out]))
        return out

    def slice(self, x: Value,''',
            )
        ],
    },
)
# Q8_0 with the scale behind the numbers.
FORMAT = Addition(
    files={
        "kernels/isa/scalar/matmul_toy8.c": """\
#include "blocks.h"

TINI_REGION_REFERENCE

/* y = 0; for each block in order: y = y + (float)(sum of (w - 128) * q) * (d * scale), w in 0..255. */
TINI_INLINE float tini_toy8_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x) {
    int32_t sum = tini_dot(w->q + TINI_BLOCK * s, x->q, TINI_BLOCK, 128);
    return y + (float)sum * (tini_f16_to_f32(w->half[0]) * x->scale);
}

void tini_matmul_toy8_scalar(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_scalar_matmul(m, tile_begin, tile_end, TINI_FORMAT_TOY8, tini_toy8_add);
}

TINI_REGION_END
"""
    },
    edits={
        "kernels/pack/layout.h": [
            (
                "    case TINI_FORMAT_Q4_0:\n",
                """\
    case TINI_FORMAT_TOY8:
        layout = (tini_layout){.low = {0, 32}, .halves = 32, .flip = 0x80};
        break;
    case TINI_FORMAT_Q4_0:
""",
            )
        ],
        "kernels/pack/quantize.c": [
            (
                "    case TINI_FORMAT_Q4_0:\n",
                """\
    case TINI_FORMAT_TOY8:
        return tini_quantize_toy8(out, x);
    case TINI_FORMAT_Q4_0:
""",
            ),
            (
                "static int tini_quantize_numbers(",
                """\
static int tini_quantize_toy8(tini_quants *out, const float *x) {
    float most = 0.0f;
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        most = tini_abs(x[i]) > most ? tini_abs(x[i]) : most;
    float d = most / 127.0f, inverse = tini_inverse(d);
    out->half[0] = tini_f32_to_f16(d);
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        out->q[i] = (uint8_t)(tini_round_away(x[i] * inverse) + 128);
    return tini_half_overflows(d) ? -2 : 0;
}

static int tini_quantize_numbers(""",
            ),
        ],
        "kernels/formats.def": [
            (
                "1, 8, tini_iq3_nl)\n",
                "1, 8, tini_iq3_nl) \\\n    X(a, b, 23, 99, TOY8, toy8, 32, 34, q8, 2, 0, 8, 0, 128, NULL)\n",
            )
        ],
        "src/tinsmith/format_names.py": [('"Q2_K": 10,\n', '"Q2_K": 10,\n    "TOY8": 99,\n')],
        "src/tinsmith/quant/presets.py": [
            ("_ALL = (\n", '_ALL = (\n    Preset("TOY8", "TOY8", "TOY8", "TOY8"),\n')
        ],
    },
)
LISTS_OF_FORMATS = {"kernels/formats.def", "src/tinsmith/format_names.py", "src/tinsmith/quant/presets.py"}
SET = Addition(
    files={
        "kernels/isa/toy/set.h": """\
/* What every processor has. */
#ifndef TINI_TOY_SET_H
#define TINI_TOY_SET_H

#define TIN_HAVE_TOY 1
#define TINI_REGION_TOY TINI_REGION_SCALAR

#define TIN_KERNELS_toy(X) X(silu_mul, toy)

#define TIN_RATE_toy 0.3, 0.3, 0.25

/* Whether this processor, under this system, runs it. */
int tini_runs_toy(void);

#endif
""",
        "kernels/isa/toy/set.c": """\
#include "../../core/base/region.h"

int tini_runs_toy(void) {
    return 1;
}
""",
        "kernels/isa/toy/silu_mul.c": """\
#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_TOY

/* The scalar kernel from the last element on: each is computed by itself. */
void tini_silu_mul_toy(float *out, const float *gate, const float *up, uint32_t n) {
    while (n--)
        out[n] = (gate[n] / (1.0f + tini_exp(-gate[n]))) * up[n];
}

TINI_REGION_END
""",
    },
    edits={
        "kernels/isa.def": [
            (
                '#include "isa/wasmsimd/set.h"\n',
                '#include "isa/toy/set.h"\n#include "isa/wasmsimd/set.h"\n',
            ),
            ("    X(mve, TIN_HAVE_MVE)\n", "    X(mve, TIN_HAVE_MVE) \\\n    X(toy, TIN_HAVE_TOY)\n"),
            (
                "#define TIN_LINE_mve",
                "#define TIN_LINE_toy(X) TIN_LINE_scalar(X) X(toy)\n#define TIN_LINE_mve",
            ),
        ]
    },
)


@pytest.fixture(scope="module", params=["-DTIN_SCALAR_ONLY", pytest.param("-O1", marks=pytest.mark.slow)])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with all three, built without the vector sets, which take long to compile, and with."""
    folder = tmp_path_factory.mktemp("tree")
    added = OP.files | FORMAT.files | SET.files
    source = copy(folder, added)
    for addition in (OP, FORMAT, SET):
        for path in addition.edits:
            text = (folder / path).read_text(encoding="utf-8")
            (folder / path).write_text(addition.edited(text, path), encoding="utf-8")
    build_extension(folder, request.param)
    return source


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    models.save_gguf(tiny_spec("llama"), tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def digest(source: Path, model: Path, *words: str) -> str:
    done = shell(source, "logits", str(model), "--text", "in the thing", "--sha256", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


USE_OP = """
import tinsmith
from tinsmith.models.llama import Llama

def logits():
    return tinsmith.load(sys.argv[3], threads=1).logits([5, 80, 7]).cast("B").cast("f")

as_it_is, graph = list(logits()), Llama.graph

def negated(family, hyper, g):
    logits = g.logits
    g.logits = lambda x, *words, **more: logits(g.negate(x), *words, **more)
    graph(family, hyper, g)

Llama.graph = negated
assert len(set(as_it_is)) > 100
print(list(logits()) == [-one for one in as_it_is])
"""


def test_a_kind_of_op_is_four_files(source: Path, tiny: Path) -> None:
    assert not OP.files and len(OP.edits) <= 4
    done = python(source, USE_OP, str(tiny))
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_a_weight_format_is_three_files_and_a_line_in_each_list(source: Path, tiny: Path) -> None:
    """Its numbers are Q8_0's, so are its logits, which another kernel gives."""
    assert len(FORMAT.files) + len(FORMAT.edits.keys() - LISTS_OF_FORMATS) <= 3
    assert {path: FORMAT.added_lines(path) for path in LISTS_OF_FORMATS} == dict.fromkeys(LISTS_OF_FORMATS, 1)
    for name in ("toy8", "q8_0"):
        done = shell(source, "quantize", str(tiny), str(tiny.with_name(f"{name}.gguf")), "--type", name)
        assert done.returncode == 0, done.stderr
    toy, q8 = tiny.with_name("toy8.gguf"), tiny.with_name("q8_0.gguf")
    assert '"TOY8"' in shell(source, "inspect", str(toy), "--json").stdout
    sets = python(source, "from tinsmith import _core; print(*_core.isa_names())").stdout.split()
    assert sets
    assert {digest(source, toy, "--isa", name) for name in sets} == {digest(source, q8, "--isa", "scalar")}
    assert digest(source, toy) != digest(source, tiny)


def test_an_instruction_set_is_its_folder_and_three_lines(source: Path, tiny: Path) -> None:
    assert {Path(path).parent for path in SET.files} == {Path("kernels/isa/toy")}
    assert sum(SET.added_lines(path) for path in SET.edits) <= 3
    asked = "import tinsmith; print(tinsmith.load(sys.argv[3], isa='toy').info.isa)"
    done = python(source, asked, str(tiny))
    assert (done.returncode, done.stdout) == (0, "toy\n"), done.stderr
    assert digest(source, tiny, "--isa", "toy") == digest(source, tiny, "--isa", "scalar")
