"""tinsmith plan: what a model takes on a device: memory, exactly; speed, by roofline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import Device, File, Format, Pixels, Whole, Word, base_names
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.plan import Plan

HELP = "what memory a model takes on a device, and how fast it will be"
SECTION = "build"
PARAMETERS = [
    argument(
        "model",
        "MODEL",
        File(".tin", ".gguf", names=base_names),
        help="a .tin, a .gguf, a Hugging Face folder or a name",
    ),
    option(
        "--target",
        Device(host=True),
        required=True,
        metavar="T",
        help="of `tinsmith targets`, a TOML file, or host: this machine",
    ),
    option("--format", Format(), metavar="F", help="weight format (default: as MODEL is)"),
    flag("--mtp", help="with the layer that predicts a further token, as build --mtp keeps it"),
    option(
        "--context",
        Whole(0),
        default=0,
        metavar="N",
        help="tokens of a session (default: the target's, or all)",
    ),
    option("--chunk", Whole(0), default=0, metavar="N", help="tokens computed at once"),
    option("--depth", Whole(0), default=0, metavar="N", help="tokens before those decoded"),
    option(
        "--kv", Word(("f16", "q8")), default="f16", metavar="T", help="keys and values: f16 (default) or q8"
    ),
    option(
        "--picture",
        Pixels(),
        metavar="WxH",
        help="pixels of a picture, for a model that sees (default: 1920x1080)",
    ),
    option("--threads", Whole(), metavar="N", help="of the host (default: the cores)"),
    flag("--json", help="as JSON"),
]


def run(args: Args) -> int:
    plan = made(args)
    print(json.dumps(plan.to_json(), indent=1) if args.json else "\n".join(_lines(plan)))
    return 0


def made(args: Args) -> Plan:
    from tinsmith import hub, plan, targets
    from tinsmith.plan import contents, host

    on_host = args.target == host.NAME
    if args.threads is not None and not on_host:
        raise InputError("--threads is for --target host; a target states its cores")
    target = host.target(args.threads) if on_host else targets.find(args.target)
    path = Path(args.model)
    given = path if path.suffix == ".tin" and path.is_file() else hub.pull(args.model)
    model = contents.of(given, args.format, mtp=args.mtp)
    if args.picture and model.image_rules is None:
        raise InputError(f"{args.model}: sees no pictures; --picture is for a model that does; leave it out")
    context = plan.context_of(model, target, args.context)
    options = plan.Options(context, args.chunk, kv=args.kv, image=args.picture or plan.IMAGE)
    rates = host.rates(model.program, target.cpu.cores) if on_host else None
    return plan.make(model, target, options, depth=args.depth, rates=rates)


def _lines(plan: Plan) -> list[str]:
    memory, session, speed = plan.memory, plan.memory.session, plan.speed
    wide, high = plan.image
    rows = [
        ("file", memory.file, f"{plan.format}, of {plan.storage:,} the device stores"),
        ("weights", memory.weights, "of the file"),
        ("tables", memory.tables, "of the file: program, vocabulary, chat template"),
        ("model", memory.model, "the loaded model's own"),
        *([("firmware", memory.firmware, "stack and statics of an image")] if memory.firmware else []),
        ("keys, values", session.kv, f"{plan.kv}, {session.context:,} tokens"),
        ("states", session.states, "recurrent"),
        ("arena", session.arena, f"{session.chunk} tokens at once"),
        ("logits", session.logits, "of one token"),
        (
            "rest",
            session.rest,
            "tokens, rows of images, sampling, the session's own"
            if memory.vision
            else "tokens, sampling, the session's own",
        ),
        ("session", session.bytes, "tin_session_size; of tinsmith.load: " + f"{plan.python_session:,}"),
        *(
            [
                (
                    "image",
                    memory.vision,
                    f"the tower's at work on one, its keys and values {memory.vision_kv}",
                ),
                ("picture", memory.pixels, f"pixels and patches of one of {wide} x {high}"),
            ]
            if memory.vision
            else []
        ),
        ("code", memory.code, "of the runtime, about, with all its instruction sets"),
        ("RAM", memory.ram, f"of {plan.ram:,} a model may use"),
    ]
    lines = [f"{plan.model} on {plan.target}: {'fits' if plan.fits else 'does NOT fit'}", ""]
    lines += [f"{name:<13} {size:>15,}  {what}" for name, size, what in rows]
    lines += [
        "",
        f"prompt        {speed.prompt_tok_s:>15,.1f}  tokens a second, of {speed.prompt}",
        f"decode        {speed.decode_tok_s:>15,.1f}  tokens a second, after {speed.depth}",
        "",
        "assumed:",
        *(f"- {line}" for line in plan.assumptions),
    ]
    return lines
