"""auto: what is measured equals a direct measurement, budgets are kept, and the files load."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from tests.models.tiny_models import cases, tiny_spec  # noqa: E402
from tinsmith import cli, models  # noqa: E402
from tinsmith.errors import FormatError, InputError, UnsupportedError  # noqa: E402
from tinsmith.formats import gguf, imatrix  # noqa: E402
from tinsmith.models import Spec, family  # noqa: E402
from tinsmith.quant import apply  # noqa: E402
from tinsmith.search import auto, grams, sensitivity, text  # noqa: E402
from tinsmith.search.budget import Budget  # noqa: E402
from tinsmith.search.floats import FloatModel, Reference  # noqa: E402
from tinsmith.system import progress  # noqa: E402

WORDS = ["the", "in", "thin", "lamp", "on", "off", "kitchen", "0.5", "hall"]
SETTINGS = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4, "vocab_size": 300}


@pytest.fixture(scope="module")
def words() -> str:
    source = random.Random(2)
    return " ".join(source.choice(WORDS) for _ in range(1500))


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def spec(request: pytest.FixtureRequest) -> Spec:
    return tiny_spec(family.by_name("llama"), tie_word_embeddings=request.param, **SETTINGS)


@pytest.fixture(scope="module")
def search(spec: Spec, words: str, tmp_path_factory: pytest.TempPathFactory) -> auto.Search:
    return made(spec, words, tmp_path_factory.mktemp("search"), gguf=True)


def made(spec: Spec, words: str, folder: Path, **options: Any) -> auto.Search:
    given = auto.Options(tokens=512, gram_tokens=1024, **options)
    return auto.Search(spec, text.tokens(spec, words), folder, progress.PlainDisplay(), given)


def changed(spec: Spec, search: auto.Search, formats: dict[str, str]) -> Spec:
    """The spec with tensors in the formats that the search made of them."""
    tensors = {role: search.encode(role, name) for role, name in formats.items()}
    return Spec(**{**spec.__dict__, "tensors": {**spec.tensors, **tensors}})


def direct(spec: Spec, other: Spec, windows: list[list[int]]) -> float:
    """Mean KL by two whole models and its definition."""
    logprobs = []
    for one in (spec, other):
        model = FloatModel(one)
        with torch.inference_mode():
            states = model.states(torch.tensor(windows)).flatten(0, 1)
            logprobs.append(torch.cat(list(model.logprobs(states))).double())
    wanted, given = logprobs
    return float((wanted.exp() * (wanted - given)).sum(-1).mean())


def test_a_loss_is_what_a_direct_measurement_finds(spec: Spec, search: auto.Search, words: str) -> None:
    windows = text.windows(spec, text.tokens(spec, words), 512)
    measured = search.losses.measured
    assert set(measured) == set(search.candidates)
    for role in ("embed", "layers.0.q", "layers.1.down", *(["head"] if "head" in measured else [])):
        for name, loss in measured[role].items():
            expected = direct(spec, changed(spec, search, {role: name}), windows)
            assert loss == pytest.approx(expected, rel=5e-3, abs=2e-8), (role, name)


def test_a_derived_loss_is_near_the_measured_one(spec: Spec, search: auto.Search, words: str) -> None:
    role, name = "layers.0.gate", "Q5_0"
    assert name not in search.losses.measured[role]
    windows = text.windows(spec, text.tokens(spec, words), 512)
    expected = direct(spec, changed(spec, search, {role: name}), windows)
    assert 0.4 < search.losses.losses(role)[name] / expected < 2.5


@pytest.mark.parametrize("case", cases())
def test_a_layer_in_the_middle_is_where_a_run_begins(case: str, words: str) -> None:
    spec = tiny_spec(case)
    if spec.family.endswith("_moe"):
        with pytest.raises(UnsupportedError, match="take a preset"):
            FloatModel(spec)
        return
    model = FloatModel(spec)
    windows = text.windows(spec, text.tokens(spec, words), 128, 64)
    reference = Reference(model, windows, lambda count: None)
    last = len(model.layers) - 1
    role = next(role for role in model.names if role.startswith(f"layers.{last}."))
    tensor = spec.tensors[role]
    noise = np.frombuffer(tensor.data, np.float32) * np.float32(1.3)
    other = models.Tensor("F32", tensor.rows, tensor.inputs, noise.tobytes())
    measured = reference.divergence({role: other})
    assert measured == pytest.approx(
        reference.divergence({role: other, "embed": spec.tensors["embed"]}), rel=1e-4
    )
    assert measured > 0
    assert reference.divergence({}) < 1e-9
    seen = grams.gather(model, windows, lambda count: None)
    assert {model.head, *(one for one in sensitivity.matrices(spec) if not one.endswith("embed"))} <= set(
        seen.sites
    )
    assert all(len(seen.factor(one)) == 4 * spec.tensors[one].inputs ** 2 for one in (role, model.head))


@pytest.mark.parametrize(
    "budget",
    [Budget(bits=5.1), Budget(memory=100_000), Budget(speed=10.0, bandwidth=1_200_000.0)],
    ids=["bits", "memory", "speed"],
)
def test_budgets_are_kept(search: auto.Search, budget: Budget) -> None:
    point = search.choose(budget)
    held = {role: search.bytes_of(role, name) for role, name in point.formats.items()}
    read = sum(size for role, size in held.items() if role not in search.unread)
    assert budget.bits is None or point.bits <= budget.bits
    assert budget.memory is None or sum(held.values()) <= budget.memory
    assert budget.speed is None or budget.bandwidth is None or read * budget.speed <= budget.bandwidth


def test_a_tin_has_formats_that_a_gguf_has_not(spec: Spec, search: auto.Search, words: str) -> None:
    three = Budget(bits=3.5)
    with pytest.raises(InputError, match=r"no choice of formats keeps 3.5 bits a weight"):
        search.choose(three)
    point = made(spec, words, search.losses.path.parent).choose(three)
    assert "IQ3_NL" in point.formats.values() and point.bits <= 3.5


def test_the_file_is_as_large_as_was_said_and_holds_the_choice(
    spec: Spec, search: auto.Search, tmp_path: Path
) -> None:
    from tinsmith.quant import shipping

    limit = search.overhead + search.weights * 6 // 8
    point = search.measured(search.choose(Budget(max_size=limit)))
    path = tmp_path / "auto.gguf"
    weights = shipping.Weights("auto", search.mix(point), feedback=search.grams.feedback)
    shipping.write_gguf(spec, path, weights, progress.PlainDisplay())
    assert path.stat().st_size == point.size <= limit
    held = models.load(path)
    for role, name in point.formats.items():
        assert held.tensors[role].format == name
        assert held.tensors[role].data == search.encode(role, name).data
    assert point.kl is not None and point.kl > 0


def test_what_is_impossible_names_the_nearest(search: auto.Search) -> None:
    with pytest.raises(InputError, match=r"no choice of formats keeps a file of 5,000 bytes; the sm") as e:
        search.choose(Budget(max_size=5000))
    least = int(str(e.value).split("smallest file has ")[1].split(" bytes")[0].replace(",", ""))
    assert search.choose(Budget(max_size=least)).size == least
    with pytest.raises(InputError, match="needs a budget"):
        Budget()


def test_the_front_falls(search: auto.Search) -> None:
    points = search.front(5)
    assert [point.size for point in points] == sorted({point.size for point in points})
    assert all(a.loss > b.loss for a, b in itertools.pairwise(points))
    lines = auto.table(points, points[2])
    assert len(lines) == len(points) + 1 and sum(line.startswith("*") for line in lines) == 1


def test_a_stopped_search_goes_on(
    spec: Spec, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    measure: Callable[..., float] = Reference.divergence

    def counted(self: Reference, tensors: dict[str, Any]) -> float:
        calls.append(tensors)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return measure(self, tensors)

    monkeypatch.setattr(Reference, "divergence", counted)
    stop = 4
    with pytest.raises(KeyboardInterrupt):
        made(spec, words, tmp_path)
    before = len(json.loads((tmp_path / "sensitivity.json").read_text())["measured"])
    stop, again = -1, len(calls)
    first = made(spec, words, tmp_path).losses.measured
    done = len(calls) - again
    calls.clear()
    assert made(spec, words, tmp_path).losses.measured == first
    assert not calls
    assert before and done < sum(map(len, first.values()))
    (tmp_path / "sensitivity.json").write_text("{")
    with pytest.raises(FormatError, match=r"sensitivity.json: .*damaged"):
        sensitivity.Sensitivity(tmp_path / "sensitivity.json", "")


def test_error_feedback_lowers_the_divergence(words: str) -> None:
    spec = tiny_spec(family.by_name("llama"), **SETTINGS)
    ids = text.tokens(spec, words)
    model, seen = grams.of_text(spec, ids, progress.PlainDisplay())
    reference = Reference(model, text.windows(spec, ids, 1024), lambda count: None)
    roles = [role for role in sensitivity.matrices(spec) if role in seen]
    divergences = [
        reference.divergence({role: encode(role, "Q4_0") for role in roles})
        for encode in (
            sensitivity.Encoder(spec, seen, None),
            sensitivity.Encoder(spec, seen, seen.feedback),
        )
    ]
    assert divergences[1] < 0.85 * divergences[0]


def shell(*arguments: str) -> None:
    assert cli.main(list(arguments)) == 0


def test_the_verbs(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tiny_spec(family.by_name("llama"), **SETTINGS)
    (tmp_path / "words.txt").write_text(words)
    models.save_gguf(spec, tmp_path / "in.gguf")
    given = [str(tmp_path / "in.gguf"), str(tmp_path / "out.gguf")]
    calibration = ["--calibration", str(tmp_path / "words.txt")]
    shell("quantize", *given, "--type", "auto", "--bits", "5", *calibration)
    assert "KL, summed" in capsys.readouterr().err
    first = (tmp_path / "out.gguf").read_bytes()
    held = gguf.read(tmp_path / "out.gguf")
    sizes = [(t.size * 8, math.prod(t.shape)) for t in held.tensors.values() if len(t.shape) > 1]
    assert sum(bits for bits, _ in sizes) <= 5 * sum(weights for _, weights in sizes)
    shell("quantize", *given, "--type", "auto", "--bits", "5", *calibration, "--work", str(tmp_path / "anew"))
    assert (tmp_path / "out.gguf").read_bytes() == first
    # A budget that is the file's own size is kept to the byte.
    shell("quantize", *given, "--type", "auto", "--max-size", str(len(first)), *calibration)
    assert (tmp_path / "out.gguf").stat().st_size <= len(first)

    shell("quantize", *given, "--type", "q4_0", "--gptq", *calibration)
    with_feedback = (tmp_path / "out.gguf").read_bytes()
    shell("quantize", *given, "--type", "q4_0")
    assert len(with_feedback) == (tmp_path / "out.gguf").stat().st_size
    assert with_feedback != (tmp_path / "out.gguf").read_bytes()

    made = tmp_path / "i.gguf"
    shell("quantize", given[0], str(made), "--type", "imatrix", *calibration)
    weights = imatrix.read(made)
    model, seen = grams.of_text(spec, text.tokens(spec, words), progress.PlainDisplay())
    importance = seen.importance()
    assert {name.gguf for role, name in model.names.items() if role in seen} == set(weights)
    assert np.allclose(
        np.frombuffer(weights["blk.1.ffn_down.weight"], np.float32),
        np.frombuffer(importance["layers.1.down"], np.float32),
        rtol=1e-5,
    )
    assert apply(spec, "Q4_0", {"layers.1.down": weights["blk.1.ffn_down.weight"]}) is not None


def test_the_verbs_take_a_matrix_that_gguf_has_in_two(words: str, tmp_path: Path) -> None:
    """Both parts have the format, the error feedback and the importance of the one."""
    spec = tiny_spec("granitehybrid")
    (tmp_path / "words.txt").write_text(words[:2000])
    models.save_gguf(spec, tmp_path / "in.gguf")
    given = [str(tmp_path / "in.gguf"), str(tmp_path / "out.gguf")]
    calibration = ["--calibration", str(tmp_path / "words.txt")]
    halves = [f"blk.1.ffn_{part}.weight" for part in ("gate", "up")]

    def held() -> list[gguf.Tensor]:
        tensors = gguf.read(tmp_path / "out.gguf").tensors
        return [tensors[name] for name in halves]

    shell("quantize", *given, "--type", "auto", "--bits", "6", *calibration)
    assert len({tensor.type.name for tensor in held()}) == 1
    models.load(tmp_path / "out.gguf")
    shell("quantize", *given, "--type", "q4_0", "--gptq", *calibration)
    with_feedback = [bytes(tensor.data) for tensor in held()]  # type: ignore[arg-type]
    shell("quantize", *given, "--type", "q4_0")
    for tensor, other in zip(held(), with_feedback, strict=True):
        assert bytes(tensor.data) != other  # type: ignore[arg-type]
    shell("quantize", given[0], str(tmp_path / "i.gguf"), "--type", "imatrix", *calibration)
    weights = imatrix.read(tmp_path / "i.gguf")
    assert weights[halves[0]] == weights[halves[1]]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--type", "auto", "--bits", "4"], "on a text; give --calibration"),
        (["--type", "auto", "--calibration", "T", "--bits", "-1"], "--bits -1: give a number, 1 to 16"),
        (["--type", "auto", "--calibration", "T", "--min-accuracy", "2"], "give a number, 0 to 1"),
        (
            ["--type", "auto", "--calibration", "T", "--speed", "0", "--bandwidth", "4GB"],
            "give a number, 0.001",
        ),
        (
            ["--type", "auto", "--calibration", "T", "--speed", "9"],
            "--speed needs a bandwidth; give --bandwidth",
        ),
        (
            ["--type", "auto", "--calibration", "T", "--bits", "4", "--bandwidth", "4GB"],
            "--bandwidth needs --speed",
        ),
        (["--type", "auto", "--calibration", "T"], "auto needs a budget"),
        (["--type", "auto", "--calibration", "T", "--bits", "4", "--imatrix", "I"], "leave out --imatrix"),
        (["--type", "q4_0", "--max-size", "1MB"], "--max-size is for the type auto"),
        (["--type", "q4_0", "--gptq"], "give --calibration"),
        (["--type", "imatrix"], "give --calibration"),
        (["--type", "imatrix", "--calibration", "T", "--tokens", "1"], "--tokens 1: give at least"),
        (
            ["--type", "q4_0", "--calibration", "T"],
            "--calibration is for --gptq and the types auto and imatrix",
        ),
        (
            ["--type", "auto", "--calibration", "T", "--max-size", "many"],
            "--max-size many: give a number of bytes",
        ),
    ],
)
def test_flags_that_do_not_go_together(
    given: list[str], why: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tiny_spec(family.by_name("llama"), **SETTINGS)
    models.save_gguf(spec, tmp_path / "in.gguf")
    (tmp_path / "T").write_text(words)
    line = [str(tmp_path / "T") if word == "T" else word for word in given]
    assert cli.main(["quantize", str(tmp_path / "in.gguf"), str(tmp_path / "out.gguf"), *line]) != 0
    assert why in capsys.readouterr().err
