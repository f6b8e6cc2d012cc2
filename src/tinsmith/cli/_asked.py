"""How a model is asked, and what it may answer: parameters that the verbs share which answer prompts."""

from __future__ import annotations

from tinsmith.cli._command import Args, Option, flag, one_of, option
from tinsmith.cli._types import File, Number, Size, Text, Texts, Whole
from tinsmith.runtime.images import ImageLimits

PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty")
SAMPLING = ("temperature", "top_k", "top_p", "min_p", *PENALTIES, "seed")
ANSWER = "What the answer may be (default: what FILE says, if anything)"
ADAPTER = option(
    "--adapter",
    multiple=True,
    metavar="NAME[:SCALE]",
    help="with an adapter of FILE, or with one trained on its base: its folder or a GGUF file; repeatable",
)
SYSTEM = option("--system", Text(), metavar="T", help="system message (default: the one it was trained with)")
THINK = flag(
    "--think/--no-think",
    dest="thinking",
    default=None,
    help="think before the answer, or answer at once (default: as the chat template has it)",
)
SAMPLED = [
    option("--max-tokens", Whole(), default=256, metavar="N", help="tokens at most (default: 256)"),
    option("--temperature", Number(), default=0.0, metavar="X", help="default 0: the likeliest"),
    option("--top-k", Whole(), default=0, metavar="N", help="keep the N likeliest (0: all)"),
    option("--top-p", Number(), default=1.0, metavar="X", help="keep those that sum to X"),
    option("--min-p", Number(), default=0.0, metavar="X", help="keep those of X times the best"),
    option("--repetition-penalty", Number(), default=1.0, metavar="X", help="default 1: none"),
    option("--presence-penalty", Number(), default=0.0, metavar="X", help="off tokens that the answer has"),
    option("--frequency-penalty", Number(), default=0.0, metavar="X", help="the same, as often as it has them"),
    option("--seed", Whole(), default=0, metavar="N", help="the same seed gives the same answer"),
    option("--stop", multiple=True, metavar="T", help="end the answer before this text"),
]
SEARCH = option(
    "--search",
    Whole(0),
    group=ANSWER,
    metavar="N",
    help="how often an answer may be gone back for a likelier one (default: as FILE says, else 0)",
)
HELD = one_of(
    option("--schema", File(".json"), group=ANSWER, metavar="FILE", help="JSON that satisfies a JSON Schema"),
    option(
        "--tools",
        File(".json"),
        group=ANSWER,
        metavar="FILE",
        help="a call of a tool; JSON in OpenAI's shape",
    ),
    option(
        "--grammar",
        File(".gbnf", ".lark"),
        group=ANSWER,
        metavar="FILE",
        help="a text of a grammar: .gbnf or .lark",
    ),
    option(
        "--choices",
        Texts(),
        group=ANSWER,
        metavar="A,B",
        help="one of these texts; `run --json` says how likely each is",
    ),
    option("--regex", group=ANSWER, metavar="R", help="a text that matches as a whole"),
    flag("--free", group=ANSWER, help="anything, whatever FILE says"),
)


def picture_options(of: str, group: str = "") -> list[Option]:
    """Those of ImageLimits. of: what has the pictures."""
    most = ImageLimits()
    mebibytes = f"{most.image >> 20}MiB"
    return [
        option(
            "--max-pictures",
            Whole(0),
            default=most.images,
            group=group,
            metavar="N",
            help=f"pictures of {of} (default: {most.images})",
        ),
        option(
            "--max-picture",
            Size(),
            default=mebibytes,
            group=group,
            metavar="B",
            help=f"bytes that reading one may take (default: {mebibytes})",
        ),
        option(
            "--max-pixels",
            Whole(1),
            default=most.pixels,
            group=group,
            metavar="N",
            help=f"pixels of all pictures of {of} (default: {most.pixels})",
        ),
    ]


def image_limits(args: Args) -> ImageLimits:
    return ImageLimits(args.max_pictures, args.max_picture, args.max_pixels)
