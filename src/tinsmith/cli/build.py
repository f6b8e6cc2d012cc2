"""`tinsmith build RECIPE` or `tinsmith build MODEL`: GGUF and tin files; their paths on stdout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith import targets
from tinsmith.cli import _budget, _constrained, make
from tinsmith.cli._command import Args, argument, flag, grouped, option
from tinsmith.cli._types import Device, File, FileName, Folder, Format, Whole, Word, base_names
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO, DEFAULTS, FORMATS
from tinsmith.formats.tin import BILL, SOURCE
from tinsmith.system import progress

if TYPE_CHECKING:
    from tinsmith.quant.shipping import Extra
    from tinsmith.spec import Spec
    from tinsmith.targets import Target

HELP = "build GGUF and tin files from a recipe or a model"
SECTION = "build"
PARAMETERS = [
    argument(
        "source",
        "RECIPE|MODEL",
        File(".toml", ".gguf", names=base_names),
        help="a recipe (.toml), a GGUF file, a Hugging Face folder or a name",
    ),
    option("--out", Folder(out=True), help="folder of the files (default: runs/<recipe name>, or here)"),
    option(
        "--target",
        Device(),
        dest="targets",
        several=True,
        help="devices that the files must fit, in their own formats by default; builds their runtimes too",
    ),
    *grouped(
        "Of a MODEL (a recipe states its own)",
        option(
            "--format",
            Format(AUTO),
            dest="formats",
            several=True,
            help=f"weight formats: {', '.join(map(str.lower, FORMATS))}, auto (default: f16 q8_0 q4_0)",
        ),
        option("--imatrix", File(".gguf", ".dat"), help="importance matrix, by quantize --type imatrix"),
        option("--mmproj", File(".gguf"), help="the vision model of a GGUF file"),
        option(
            "--kv", Word(("f16", "q8")), help="keys and values of the vision model (default: by its weights)"
        ),
        flag("--mtp", help="keep the multi-token prediction layer, which drafts tokens"),
        option("--context", Whole(0), default=0, help="tokens of a session (0: all)"),
        option("--name", FileName(), help="name of the files (default: the model's)"),
        option("--date", metavar="DATE", help="today's date for a chat template that prints one"),
        *_constrained.options("its"),
    ),
    *_budget.PARAMETERS,
]


def run(args: Args) -> int:
    devices = [targets.find(name) for name in args.targets]
    if args.source.endswith(".toml"):
        from tinsmith.pipeline import engine, recipe

        flags = ["--format"] if args.formats else []
        flags += _budget.flags(args, "context", "name", "date", "imatrix", "mmproj", "kv", "mtp", "search")
        flags += _budget.flags(args, *_constrained.SOURCES, *_budget.NAMES)
        if flags:
            raise InputError(
                f"{args.source}: a recipe states these in [build], [output], [data] and [constraint]; leave "
                f"out {', '.join(flags)}"
            )
        made = engine.make(recipe.load(args.source, args.targets), args.out, progress.display(), "build")
        paths = [Path(path) for path in make.results(made, "build")]
    else:
        paths = _from_model(args, devices)
    print(*paths, *_runtimes(devices, paths), sep="\n")
    return 0


def _runtimes(devices: Sequence[Target], built: Sequence[Path]) -> list[Path]:
    """Builds the devices' runtimes beside the files; returns their folders."""
    from tinsmith.cross import runtime

    tins = [path for path in built if path.suffix == ".tin"]
    folders = {device.name: built[0].parent / f"runtime-{device.name}" for device in devices}
    for device in devices:
        runtime.emit(device, folders[device.name], progress.display(), tins)
    return list(folders.values())


def _from_model(args: Args, devices: Sequence[Target]) -> list[Path]:
    from tinsmith import hub, models
    from tinsmith.chat.chat_template import dated
    from tinsmith.formats import imatrix
    from tinsmith.quant import shipping

    formats = list(args.formats or targets.formats(devices) or DEFAULTS)
    if args.mtp and AUTO in formats:
        raise InputError(f"--mtp: {AUTO} measures logits, which drafts do not change; give another --format")
    _budget.check(args, formats)
    constraint = _constrained.sealed(args)
    importance = imatrix.read(args.imatrix) if args.imatrix else {}
    path = hub.pull(args.source)
    spec = models.load(path, args.mmproj, mtp=args.mtp)
    spec = replace(spec, chat_template=dated(spec.chat_template, args.date))
    spec = shipping.with_kv(spec, args.kv, f"{args.source}: --kv")
    display, out, name = progress.display(), args.out or Path(), args.name or _name(path)
    manifest, bill = shipping.origin(args.source, path, spec, name)
    spec = replace(spec, source=spec.source or manifest["base"]["sha256"])
    entries = {**shipping.licenses(path), SOURCE: bytes.fromhex(str(spec.source))}
    if constraint:
        entries |= constraint.entries
        manifest["constraint"] = constraint.facts
    extra = shipping.Extra(entries, manifest, bill)
    context, room = _fitted(args, spec, name, formats, extra, devices)
    spec = shipping.prepared(spec, name, context)
    weighed = shipping.by_role(spec, importance)
    weights = {one: shipping.Weights(one, importance=weighed) for one in formats}
    if AUTO in weights:
        work = _budget.work_folder(args, out / name)
        weights[AUTO] = _budget.search(args, spec, work, display, None, room, devices).weights()
    built = shipping.build_files(spec, out, weights.values(), display, extra)
    return shipping.all_files(spec, built)


def _fitted(
    args: Args, spec: Spec, name: str, formats: Sequence[str], extra: Extra, devices: Sequence[Target]
) -> tuple[int, int | None]:
    """The tokens of a session, and the bytes of the matrices of AUTO on the devices. Raises InputError for a
    format that does not fit."""
    from tinsmith.plan import fit
    from tinsmith.plan.contents import Base
    from tinsmith.quant import shipping

    if not devices:
        return args.context, None
    context = fit.context_for(spec, devices, args.context)
    sizes = {entry: len(data) for entry, data in extra.entries.items()}
    assert extra.bill is not None
    sizes[BILL] = len(shipping.itemized(extra.bill, "Q4_K_M", "0" * 64, spec).encode())
    base = Base(spec, name, context, sizes)
    fit.check(base, formats, context, devices)
    return context, fit.room(base, context, devices) if AUTO in formats else None


def _name(path: Path) -> str:
    """The model's file name without `.gguf` and the weight format that it ends with."""
    stem = path.stem if path.suffix == ".gguf" else path.name
    return re.sub(r"[-._](f32|f16|bf16|i?q\d\w*)$", "", stem, flags=re.IGNORECASE) or stem
