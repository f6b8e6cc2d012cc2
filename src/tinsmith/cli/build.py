"""`tinsmith build RECIPE` or `tinsmith build MODEL`: GGUF and tin files; their paths on stdout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli import _budget, _constrained, _recipe
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import Device, File, FileName, Folder, Format, Whole, Word, base_names
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO, DEFAULTS, FORMATS
from tinsmith.formats.tin import BILL, SOURCE

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
    option(
        "--format",
        Format(auto=True),
        dest="formats",
        several=True,
        metavar="F",
        help=f"weight formats of a MODEL: {', '.join(map(str.lower, FORMATS))}, auto (default: f16 q8_0 q4_0)",
    ),
    option(
        "--imatrix",
        File(".gguf", ".dat"),
        metavar="F",
        help="which inputs of a MODEL matter, by tinsmith imatrix",
    ),
    option("--mmproj", File(".gguf"), metavar="F", help="the vision half of a MODEL that is a GGUF file"),
    option(
        "--kv",
        Word(("f16", "q8")),
        metavar="T",
        help="keys and values of a MODEL's vision half: f16, or q8 (default of quantized weights)",
    ),
    flag("--mtp", help="keep a MODEL's layer that predicts a further token: answers take fewer passes"),
    option("--context", Whole(0), default=0, metavar="N", help="tokens a session holds, for a MODEL (0: all)"),
    option(
        "--name",
        FileName(),
        metavar="NAME",
        help="what the files are called, for a MODEL (default: as the model)",
    ),
    option(
        "--date", metavar="D", help="what a MODEL's chat template takes for today, where it writes the date"
    ),
    *_constrained.options("a MODEL's"),
    option(
        "--out", Folder(out=True), metavar="DIR", help="for the files (default: runs/<recipe name>, or here)"
    ),
    option(
        "--target",
        Device(),
        dest="targets",
        several=True,
        metavar="T",
        help="devices the files must fit, by default in their own formats; their runtimes go to runtime-T",
    ),
    *_budget.PARAMETERS,
]


def run(args: Args) -> int:
    from tinsmith import targets

    devices = [targets.find(name) for name in args.targets]
    if args.source.endswith(".toml"):
        held = (*_constrained.SOURCES, "search")
        stated = ("formats", "context", "name", "date", "imatrix", "mmproj", "kv", "mtp", *held)
        if any(getattr(args, name) for name in stated):
            raise InputError(
                f"{args.source}: a recipe states formats, context and name itself, in [build] and [output], "
                "a date in [data], what an answer may be in [constraint], and weighs inputs by its training "
                "data; leave out --format, --context, --name, --date, --imatrix, --mmproj, --kv, --mtp, "
                "--schema, --tools, --grammar, --search"
            )
        budgets = _budget.given(args)
        if budgets:
            raise InputError(f"{args.source}: a recipe states its budgets in [build]; leave out {budgets[0]}")
        paths = _from_recipe(args)
    else:
        paths = _from_model(args)
    paths += _runtimes(devices, paths)
    for path in paths:
        print(path)
    return 0


def _runtimes(devices: Sequence[Target], built: Sequence[Path]) -> list[Path]:
    """The folders of the devices' runtimes, which this makes beside what was built."""
    from tinsmith.cross import runtime
    from tinsmith.system import progress

    tins = [path for path in built if path.suffix == ".tin"]
    folders = {device.name: built[0].parent / f"runtime-{device.name}" for device in devices}
    for device in devices:
        runtime.emit(device, folders[device.name], progress.display(), tins)
    return list(folders.values())


def _from_recipe(args: Args) -> list[Path]:
    from tinsmith.pipeline import engine
    from tinsmith.pipeline import recipe as recipes

    run = _recipe.make(recipes.load(args.source, args.targets), args.out, engine.BUILD.name)
    built = run.done(engine.BUILD).facts
    return [run.folder / file for weights in built.tins for file in (built.ggufs[weights], built.tins[weights])]


def _from_model(args: Args) -> list[Path]:
    from tinsmith import hub, models, targets
    from tinsmith.chat.chat_template import dated
    from tinsmith.formats import imatrix
    from tinsmith.quant import shipping
    from tinsmith.system import progress

    devices = [targets.find(name) for name in args.targets]
    formats = _formats(args, devices)
    constraint = _constrained.sealed(args)
    importance = imatrix.read(args.imatrix) if args.imatrix else {}
    path = hub.pull(args.source)
    spec = models.load(path, args.mmproj, mtp=args.mtp)
    spec = replace(spec, chat_template=dated(spec.chat_template, args.date))
    spec = shipping.with_kv(spec, args.kv, f"{args.source}: --kv")
    display, out, name = progress.display(), args.out or Path(), args.name or _name(path)
    manifest, bill = shipping.origin(args.source, path, spec, name)
    spec = replace(spec, source=spec.source or manifest["base"]["sha256"])
    extra = shipping.Extra(
        {
            **shipping.licenses(path),
            SOURCE: bytes.fromhex(str(spec.source)),
            **(constraint.entries if constraint else {}),
        },
        {**manifest, **({"constraint": constraint.facts} if constraint else {})},
        bill,
    )
    context, room = _fitted(args, spec, name, formats, extra, devices)
    spec = shipping.prepared(spec, name, context)
    weighed = shipping.by_role(spec, importance)
    weights = {one: shipping.Weights(one, importance=weighed) for one in formats}
    if AUTO in weights:
        work = _budget.work_folder(args, out / name)
        weights[AUTO] = _budget.search(args, spec, work, display, None, room, devices).weights(weighed)
    built = shipping.build_files(spec, out, weights.values(), display, extra)
    return shipping.all_files(spec, built)


def _formats(args: Args, devices: Sequence[Target]) -> list[str]:
    """Those asked for, or else the devices' own; also checks the flags that go with them."""
    from tinsmith import targets

    formats = list(args.formats or targets.formats(devices) or DEFAULTS)
    if args.mtp and AUTO in formats:
        raise InputError(
            f"--mtp: {AUTO} measures what weights do to logits, and guesses change none; name a format"
        )
    _budget.check(args, formats)
    return formats


def _fitted(
    args: Args,
    spec: Spec,
    name: str,
    formats: Sequence[str],
    extra: Extra,
    devices: Sequence[Target],
) -> tuple[int, int | None]:
    """The tokens of a session, and the bytes that the matrices of AUTO may take in the devices. Raises
    InputError where a format does not fit one."""
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
