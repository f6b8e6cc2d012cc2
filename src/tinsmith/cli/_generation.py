"""The prompt, sampling and constraint options of the verbs that answer prompts."""

from __future__ import annotations

from typing import Any

from tinsmith.cli._command import Args, Option, flag, grouped, one_of, option
from tinsmith.cli._types import File, Number, Size, Text, Texts, Whole
from tinsmith.errors import ConstraintError
from tinsmith.runtime.images import ImageLimits
from tinsmith.system import reading

PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty")
SAMPLING = ("temperature", "top_k", "top_p", "min_p", *PENALTIES, "seed")
ADAPTER = option(
    "--adapter",
    multiple=True,
    metavar="NAME[:SCALE]",
    help="an adapter of FILE, or the folder or GGUF file of one trained on its base; repeatable",
)
SYSTEM = option("--system", Text(), help="system message (default: the one FILE was trained with)")
PARAMETERS = [
    flag(
        "--think/--no-think",
        dest="thinking",
        default=None,
        help="think before the answer, or answer directly (default: as the chat template does)",
    ),
    option("--date", metavar="DATE", help="today's date for a chat template that prints one"),
    option("--max-tokens", Whole(), default=256, help="tokens of the answer at most"),
    option("--temperature", Number(), default=0.0, help="0: always the most likely token"),
    option("--top-k", Whole(), default=0, help="sample from the N most likely tokens (0: all)"),
    option("--top-p", Number(), default=1.0, help="sample from the most likely tokens that sum to X"),
    option("--min-p", Number(), default=0.0, help="drop tokens below X times the most likely one"),
    option("--repetition-penalty", Number(), default=1.0, help="divide logits of tokens used so far (1: off)"),
    option("--presence-penalty", Number(), default=0.0, help="subtract from tokens that the answer has"),
    option("--frequency-penalty", Number(), default=0.0, help="the same, once for each occurrence"),
    option("--seed", Whole(), default=0, help="the same seed gives the same answer"),
    option("--stop", multiple=True, help="end the answer before this text; repeatable"),
    *grouped(
        "Constraint of the answer (default: the one sealed into FILE, if any)",
        *one_of(
            option("--schema", File(".json"), help="JSON that satisfies a JSON Schema"),
            option("--tools", File(".json"), help="a call of one of these tools (OpenAI's format)"),
            option("--grammar", File(".gbnf", ".lark"), help="a text of this grammar"),
            option("--choices", Texts(), help="one of these texts; `run --json` prints their probabilities"),
            option("--regex", metavar="R", help="a text that this expression matches as a whole"),
            flag("--unconstrained", help="unconstrained, whatever FILE says"),
        ),
        option(
            "--search", Whole(0), help="backtracks of the constrained search at most (default: FILE's, else 0)"
        ),
    ),
]


def image_options(of: str) -> list[Option]:
    """Those of ImageLimits. of: what has the images."""
    most = ImageLimits()
    return [
        option("--max-images", Whole(0), default=most.images, help=f"images of {of} at most"),
        option(
            "--max-image", Size(), default=f"{most.image >> 20}MiB", help="bytes to decode one image at most"
        ),
        option("--max-pixels", Whole(1), default=most.pixels, help=f"pixels of all images of {of} at most"),
    ]


def image_limits(args: Args) -> ImageLimits:
    return ImageLimits(args.max_images, args.max_image, args.max_pixels)


def constraint(args: Args) -> tuple[str, Any]:
    """The kind of the answer's constraint, as OutputConstraint's, and its value: a schema, a grammar …"""
    from tinsmith.constraint.makers import grammar_kind

    if args.unconstrained:
        return "unconstrained", None
    if args.grammar is not None:
        kind = "lark" if grammar_kind(args.grammar) == "lark" else "grammar"
        return kind, reading.read_text(args.grammar)
    for kind in ("regex", "choices", "schema", "tools"):
        if (given := getattr(args, kind)) is not None:
            is_file = kind in ("schema", "tools")
            return kind, reading.read_json(given, ConstraintError, unique=True) if is_file else given
    return "own", None
