"""Options and arguments: which there are, what they take, and what is said of a command line that is wrong."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinsmith import cli
from tinsmith.cli import _group
from tinsmith.cli._command import argument, flag, one_of, option
from tinsmith.cli._types import File, Folder, Format, Kind, Number, Size, Texts, Whole, Wholes
from tinsmith.errors import InputError

MODEL = "FILE --threads --isa --kv --backend --key --gpu-layers"
BUDGET = "--calibration --max-size --bits --memory --speed --bandwidth --min-accuracy --thorough --work"
# What scripts call: a verb may take more, and loses nothing.
DECLARED = {
    "adapters": "FILE --add --remove --rename --json --out --from --format --license",
    "bench": "FILE --threads --prompt --generate --depth --against --repeat --isa --json",
    "build": "RECIPE|MODEL --format --imatrix --context --name --date --schema --tools --grammar --out "
    f"--target {BUDGET}",
    "diff": "A B EXAMPLES --adapter-a --adapter-b --task --system --allow --json --page",
    "export": "[FILE] --onnx --gguf --native --precision --adapter --base",
    "inspect": "FILE --json",
    "logits": f"{MODEL} --text --tokens --chunk --sha256 --out",
    "make": "RECIPE --out --until --from --data --retrain --log",
    "pack": "FILE --target --out --runtime --key --unsigned --prompt",
    "perplexity": f"{MODEL} TEXT_FILE --context --json",
    "plan": "MODEL --target --format --context --chunk --depth --kv --threads --json",
    "models": "--target --json",
    "pull": "NAME --revision --accept --cache --offline",
    "quantize": f"IN OUT --type --imatrix --gptq --threads --tokens {BUDGET}",
    "run": f"{MODEL} [PROMPT] --system --raw --think --no-think --date --max-tokens --temperature --top-k "
    "--top-p --min-p --repetition-penalty --presence-penalty --frequency-penalty --seed --stop --schema "
    "--tools --grammar --choices --regex --unconstrained --json",
    "sign": "[FILE] --key --comment --generate --no-password",
    "targets": "[NAME] --json",
    "verify": "FILE --target --key --signature --json",
}


@pytest.mark.parametrize("verb", DECLARED)
def test_a_verb_keeps_its_options(verb: str) -> None:
    declared: list[str] = []
    for param in importlib.import_module(f"tinsmith.cli.{verb.replace(' ', '.')}").PARAMETERS:
        place = param.metavar if param.required else f"[{param.metavar}]"
        declared += [place] if param.param_type_name == "argument" else [*param.opts, *param.secondary_opts]
    assert set(DECLARED[verb].split()) <= set(declared)
    places = [word for word in DECLARED[verb].split() if not word.startswith("-")]
    assert [word for word in declared if not word.startswith("-")] == places


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a verb `odd` of parameters, and calls it: what its run() is given."""

    def call(parameters: list[Any], *arguments: str) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        module = ModuleType("odd.odd")
        module.__dict__.update(HELP="odd", PARAMETERS=parameters, run=lambda args: seen.update(vars(args)) or 0)
        monkeypatch.setitem(sys.modules, "odd.odd", module)
        group = _group.Group("tinsmith", "odd", {"odd": _group.Entry("odd", "run")})
        assert _group.call(["odd", *arguments], group) == 0
        return seen

    return call


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Whole(), "-3", -3),
        (Whole(0), "0", 0),
        (Number(), "1e-2", 0.01),
        (Size(), "90MB", 90_000_000),
        (Size(), "4096", 4096),
        (Wholes(), "1,-2,30", [1, -2, 30]),
        (Texts(), "on, off", ["on", "off"]),
        (Format(), "q4_k_m", "Q4_K_M"),
        (Format("AUTO"), "auto", "AUTO"),
        (File(".tin"), "a.tin", "a.tin"),
        (File(path=True), "a.tin", Path("a.tin")),
        (Folder(), "a", Path("a")),
    ],
)
def test_a_kind_reads(given: Any, kind: Kind, text: str, value: object) -> None:
    assert given([option("--it", kind)], "--it", text) == {"it": value}
    assert given([option("--it", kind)], f"--it={text}") == {"it": value}
    assert given([argument("it", "IT", kind, help="it")], "--", text) == {"it": value}


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Whole(), "two", "give a whole number"),
        (Whole(1), "0", "give a whole number, at least 1"),
        (Number(), "nan", "give a number"),
        (Size(), "90 potatoes", "give a number of bytes, or a size such as 16MiB or 90MB"),
        (Wholes(), "1,x", "give whole numbers separated by commas, such as 1,2,3"),
        (Format(), "Q9", "give a weight format, one of F32, F16"),
        (Format(), "AUTO", "give a weight format, one of F32, F16"),
    ],
)
def test_a_kind_refuses(given: Any, kind: Kind, text: str, message: str) -> None:
    it = [option("--it", kind)]
    with pytest.raises(InputError) as refused:
        given(it, "--it", text)
    assert str(refused.value).startswith(f"--it {text}: {message}")


def test_several_words_follow_an_option(given: Any) -> None:
    it = [
        argument("file", "FILE", help="f", required=False),
        option("--format", Format(), dest="formats", several=True),
        flag("--json"),
    ]
    expected = {"file": "x", "formats": ["Q8_0", "F16"], "json": True}
    assert given(it, "x", "--format", "q8_0", "f16", "--json") == expected
    assert given(it, "--format", "q8_0", "f16", "--json", "x") == expected
    assert given(it, "--format", "q8_0", "--format=f16", "--json", "--", "x") == expected
    assert given(it, "--format", "q8_0", "f16", "--json", "--", "--format")["file"] == "--format"
    assert given(it) == {"file": None, "formats": [], "json": False}


def test_one_option_alone_may_be_given(given: Any) -> None:
    it = [*one_of(option("--schema"), option("--regex"), flag("--unconstrained"))]
    nothing = {"schema": None, "regex": None, "unconstrained": False}
    assert given(it) == nothing
    assert given(it, "--unconstrained") == nothing | {"unconstrained": True}
    with pytest.raises(
        InputError, match=r"give only one of --schema, --unconstrained \(see tinsmith odd --help\)"
    ):
        given(it, "--unconstrained", "--schema", "x")
    with pytest.raises(InputError, match="give one of --text, --tokens"):
        given([*one_of(option("--text"), option("--tokens"), required=True)])


def test_options_need_and_exclude_each_other(given: Any) -> None:
    it = [
        argument("prompt", "PROMPT", help="p", required=False),
        option("--add", needs="--from"),
        option("--from", dest="source", needs="--add|--only"),
        flag("--only", excludes="--limit PROMPT"),
        option("--limit", Whole(), default=3),
        flag("--json", needs="PROMPT"),
    ]
    assert given(it)["limit"] == 3
    assert given(it, "--only")["only"]
    assert given(it, "--add", "x", "--from", "y", "--json", "z")["source"] == "y"
    for words, message in (
        ("--add x", "--add needs --from"),
        ("--from x", "--from needs --add or --only"),
        ("--json", "--json needs PROMPT"),
        ("--only --limit 3", "--only excludes --limit; give one of them"),
        ("--only x", "--only excludes PROMPT; give one of them"),
    ):
        with pytest.raises(InputError, match=f"^{message} "):
            given(it, *words.split())


def test_the_environment_states_the_options_that_say_so(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    it = [option("--key", File(), envvar="TINSMITH_KEY"), option("--threads", Whole())]
    monkeypatch.setenv("TINSMITH_ODD_THREADS", "3")
    monkeypatch.setenv("TINSMITH_THREADS", "3")
    monkeypatch.setenv("TINSMITH_ODD_KEY", "other")
    assert given(it) == {"key": None, "threads": None}
    monkeypatch.setenv("TINSMITH_KEY", "common")
    assert given(it) == {"key": "common", "threads": None}
    assert given(it, "--key", "said") == {"key": "said", "threads": None}
    monkeypatch.setenv("TINSMITH_KEY", "")
    with pytest.raises(InputError, match="^TINSMITH_KEY '': give a path$"):
        given(it)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("run --thread 3", ["--thread", "--threads", "(see tinsmith run --help)"]),
        ("run f -5", ["-5", "(see tinsmith run --help)"]),
        ("run --zzz", ["--zzz", "(see tinsmith run --help)"]),
        ("--verison", ["--verison", "--version", "(see tinsmith --help)"]),
        ("run", ["Missing argument 'FILE' (see tinsmith run --help)"]),
        ("plan m", ["Missing option '--target' (see tinsmith plan --help)"]),
        ("run f p q", ["Got unexpected extra argument (q) (see tinsmith run --help)"]),
        ("run f --kv", ["Option '--kv' requires an argument (see tinsmith run --help)"]),
        ("run f --json=1", ["Option '--json' does not take a value (see tinsmith run --help)"]),
        ("run f --max-tokens many", ["--max-tokens many: give a whole number"]),
        ("logits f", ["give one of --text, --tokens (see tinsmith logits --help)"]),
        (
            "run f --unconstrained --regex x",
            ["give only one of --regex, --unconstrained (see tinsmith run --help)"],
        ),
        ("completion tcsh", ["tcsh: unknown shell; give one of bash, zsh, fish"]),
    ],
)
def test_a_wrong_line_is_one_line(line: str, parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == cli.FAILED
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tinsmith: error: ") and err.count("\n") == 1
    for part in parts:  # in click's words, which differ by its version
        assert part in err
