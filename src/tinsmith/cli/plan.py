"""tinsmith plan: a model's memory on a device, exactly; its speed, by roofline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import Device, File, Format, Pixels, Whole, base_names
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.plan import Plan

HELP = "predict a model's memory and speed on a device"
SECTION = "build"
OPTIONAL = ("firmware", "image", "pixels")  # memory that only some plans have
PARAMETERS = [
    argument(
        "model",
        "MODEL",
        File(".tin", ".gguf", names=base_names),
        help="a .tin, a .gguf, a Hugging Face folder or a name",
    ),
    option("--target", Device(host=True), required=True, help="device, TOML file, or host: this machine"),
    option("--format", Format(), help="weight format (default: MODEL's)"),
    flag("--mtp", help="with the multi-token prediction layer, as build --mtp"),
    option("--context", Whole(0), default=0, help="tokens of a session (0: the target's, or all)"),
    option("--chunk", Whole(0), default=0, help="tokens of one prefill step"),
    option("--depth", Whole(0), default=0, help="tokens in the KV cache before decoding"),
    _model.KV,
    option("--image", Pixels(), help="size of an image, for a vision-language model (default: 1920x1080)"),
    option("--threads", Whole(), help="with --target host (default: the cores)"),
    flag("--json", help="as JSON"),
]


def run(args: Args) -> int:
    from tinsmith import hub, plan, targets
    from tinsmith.plan import contents, host

    on_host = args.target == host.NAME
    if args.threads is not None and not on_host:
        raise InputError("--threads is for --target host; a target states its cores")
    target = host.target(args.threads) if on_host else targets.find(args.target)
    path = Path(args.model)
    given = path if path.suffix == ".tin" and path.is_file() else hub.pull(args.model)
    model = contents.of(given, args.format, mtp=args.mtp)
    if args.image and model.image_rules is None:
        raise InputError(f"{args.model}: is no vision-language model; leave out --image")
    context = plan.context_of(model, target, args.context)
    options = plan.Options(context, args.chunk, kv=args.kv, image=args.image or plan.IMAGE)
    rates = host.rates(model.program, target.cpu.cores) if on_host else None
    made = plan.make(model, target, options, depth=args.depth, rates=rates)
    print(json.dumps(made.to_json(), indent=1) if args.json else "\n".join(_lines(made)))
    return 0


def _lines(plan: Plan) -> list[str]:
    memory, session, speed = plan.memory, plan.memory.session, plan.speed
    wide, high = plan.image
    encoder = f"the vision encoder's arena, keys and values {memory.vision_kv}"
    rest = "tokens, image rows, sampling, session" if memory.vision else "tokens, sampling, session"
    rows = [
        ("file", memory.file, f"{plan.format}, of {plan.storage:,} the device stores"),
        ("weights", memory.weights, "of the file"),
        ("tables", memory.tables, "of the file: program, vocabulary, chat template"),
        ("model", memory.model, "of the loaded model"),
        ("firmware", memory.firmware, "stack and statics of an image"),
        ("keys, values", session.kv, f"{plan.kv}, {session.context:,} tokens"),
        ("states", session.states, "recurrent"),
        ("arena", session.arena, f"{session.chunk} tokens at once"),
        ("logits", session.logits, "of one token"),
        ("rest", session.rest, rest),
        ("session", session.bytes, f"tin_session_size; of tinsmith.load: {plan.python_session:,}"),
        ("image", memory.vision, encoder),
        ("pixels", memory.pixels, f"pixels and patches of an image of {wide} x {high}"),
        ("code", memory.code, "of the runtime, roughly, with all instruction sets"),
        ("RAM", memory.ram, f"of {plan.ram:,} a model may use"),
    ]
    lines = [f"{plan.model} on {plan.target}: {'fits' if plan.fits else 'does NOT fit'}", ""]
    lines += [f"{name:<13} {size:>15,}  {what}" for name, size, what in rows if size or name not in OPTIONAL]
    lines += [
        "",
        f"prompt        {speed.prompt_tok_s:>15,.1f}  tokens a second, of {speed.prompt}",
        f"decode        {speed.decode_tok_s:>15,.1f}  tokens a second, after {speed.depth}",
        "",
        "assumed:",
        *(f"- {line}" for line in plan.assumptions),
    ]
    return lines
