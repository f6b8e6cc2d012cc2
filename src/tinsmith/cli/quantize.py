"""`tinsmith quantize IN OUT --type q4_k_m`: a model in another weight format, or its importance matrix."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith import hub
from tinsmith.cli import _budget
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import File, Format, Whole, base_names
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO, FORMATS
from tinsmith.system import progress, reading

if TYPE_CHECKING:
    from tinsmith.quant.model import Feedback
    from tinsmith.quant.presets import Mix

HELP = "write a GGUF file in another weight format, or an importance matrix for one"
SECTION = "build"
IMATRIX = "IMATRIX"
PARAMETERS = [
    argument("source", "IN", File(".gguf", names=base_names), help="GGUF file, Hugging Face folder or name"),
    argument(
        "out",
        "OUT",
        File(".gguf", ".dat", path=True, out=True),
        help="the GGUF file to write; an importance matrix may also be a .dat, llama.cpp's older format",
    ),
    option(
        "--type",
        Format(AUTO, IMATRIX),
        required=True,
        help=f"{', '.join(map(str.lower, FORMATS))}, auto, or imatrix (needs --calibration)",
    ),
    option("--imatrix", File(".gguf", ".dat"), help="importance matrix, from --type imatrix or llama-imatrix"),
    flag("--gptq", help="correct rounding errors; needs --calibration"),
    option("--threads", Whole(0), default=0, help="threads that convert (0: one a core)"),
    option("--tokens", Whole(), default=16_384, help="with --type imatrix: calibration tokens at most"),
    *_budget.PARAMETERS,
]


def run(args: Args) -> int:
    from tinsmith.formats import imatrix
    from tinsmith.quant import presets

    preset = args.type
    _budget.check(args, [preset])
    presets.check_gguf(preset)
    importance = imatrix.read(args.imatrix) if args.imatrix else {}
    source = hub.pull(args.source)
    if preset == IMATRIX:
        _importance(source, args)
    else:
        formats, feedback = _calibrated(source, preset, args) if args.calibration else (preset, None)
        convert = _convert_folder if source.is_dir() else _convert_file
        convert(source, args, formats, importance, feedback)
    print(args.out)
    return 0


def _importance(source: Path, args: Args) -> None:
    from tinsmith import models
    from tinsmith.formats import imatrix
    from tinsmith.search import grams, text

    if args.tokens < text.WINDOW:
        raise InputError(f"--tokens {args.tokens}: give at least {text.WINDOW}")
    spec = models.load(source)
    ids = text.tokens(spec, reading.read_text(args.calibration))
    model, seen = grams.of_text(spec, ids, progress.display(), args.tokens)
    chunk = min(text.WINDOW, len(ids))
    sums = {part.gguf: one for role, one in seen.sums().items() for part in model.names[role].gguf_parts}
    name, chunks = Path(args.calibration).name, max(1, seen.count // chunk)
    imatrix.write(args.out, sums, text=name, chunks=chunks, chunk=chunk)


def _calibrated(source: Path, preset: str, args: Args) -> tuple[str | Mix, Feedback]:
    """The formats, which the float model chooses for auto, and the error feedback: by role for a folder, by
    tensor name for a GGUF file."""
    from tinsmith import models
    from tinsmith.formats import gguf
    from tinsmith.models import family
    from tinsmith.quant import files
    from tinsmith.search import grams, text

    spec, display = models.load(source), progress.display()
    formats: str | Mix = preset
    if preset == AUTO:
        overhead = None if source.is_dir() else files.overhead(gguf.read(source))
        work = _budget.work_folder(args, args.out)
        chosen = _budget.search(args, spec, work, display, overhead, gguf=True)
        formats, feedback = chosen.mix, chosen.feedback
    else:
        ids = text.tokens(spec, reading.read_text(args.calibration))
        feedback = grams.of_text(spec, ids, display)[1].feedback
    if source.is_dir():
        return formats, feedback
    names = family.by_name(spec.family).tensors(spec.hyper)
    roles = {part.gguf: name.role for name in names for part in name.gguf_parts}
    return formats, lambda name: feedback(roles[name])


def _convert_file(
    source: Path, args: Args, formats: str | Mix, importance: dict[str, bytes], feedback: Feedback | None
) -> None:
    from tinsmith.quant import files

    display, label = progress.display(), formats if isinstance(formats, str) else formats.name
    notes = files.quantize(
        source,
        args.out,
        formats,
        importance,
        threads=args.threads,
        feedback=feedback,
        progress=partial(progress.transfer, display, label),
    )
    for note in notes:
        display.line(f"{label}: {note}")


def _convert_folder(
    source: Path, args: Args, formats: str | Mix, importance: dict[str, bytes], feedback: Feedback | None
) -> None:
    from tinsmith import models
    from tinsmith.quant import shipping

    spec, display = models.load(source), progress.display()
    name, mix = (formats, None) if isinstance(formats, str) else (formats.name, formats)
    weights = shipping.Weights(name, mix, shipping.by_role(spec, importance), feedback)
    shipping.write_gguf(spec, args.out, weights, display, args.threads)
    shipping.write_mmproj(spec, args.out, weights)
    if spec.vision:
        display.line(f"vision model: {shipping.mmproj_of(args.out)}")
