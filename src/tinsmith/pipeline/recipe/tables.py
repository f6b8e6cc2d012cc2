"""The tables of a recipe: each is one dataclass, and each of its keys one field with the values it takes.
docs/recipe.md says what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tinsmith import tasks
from tinsmith.data import image_changes, shapes
from tinsmith.format_names import AUTO, DEFAULTS, FORMATS
from tinsmith.tables import (
    ANY_TEXT,
    ARGV,
    DATE,
    FLAG,
    NAME,
    SIZE,
    TEXT,
    Kind,
    choice,
    is_text,
    number,
    one_or_more,
    some_of,
    whole,
)
from tinsmith.tables import key as _key
from tinsmith.train import methods
from tinsmith.train.options import (
    AUTO_DEVICE,
    PARTS,
    RETRAIN_AUTO,
    RETRAINS,
    TORCH_DEVICES,
    ScratchOptions,
    TrainOptions,
)
from tinsmith.train.reinforcement import rewards

BUDGETS = ("max_size", "bits", "min_accuracy")
BITS, ACCURACIES = (1, 16), (0, 1)  # what these may be, least and most
BASELINES = ("zero_shot", "few_shot", "retrieval", "nearest")
TFIDF = "tfidf"  # a baseline of tasks with labels alone
WEIGHTS = AUTO_WEIGHTS, QUANTIZED, FLOATS = "auto", "quantized", "float"  # of a GGUF base, in training
SPACINGS = ("compact", "spaced", "free")
SOURCES = ("schema", "tools", "grammar", "regex", "choices")
LABELS = "labels"
ORIGINS = ("base", "scratch")  # the tables that say what training starts from
OPTIONAL = (*ORIGINS, "update")
# Keys that a model trained from scratch has no use for: there is no base.
BASE_KEYS = ("thinking", "date", "show_tools")
SCRATCH_METHOD = "full"
# Keys of [data] that say how examples are divided where a split is not given.
DIVIDING_KEYS = ("split_shares", "near_duplicate", "group")
# Keys of [data] that say how its training examples are used.
EXAMPLE_KEYS = ("limit", "augment", "augment_exclude", "augment_images")
SHAPE_KEYS = ("layers", "hidden")
CHOICES = Kind(f'"{LABELS}" or a list of texts', lambda v: v == LABELS or _are_texts(v))
DEVICES = one_or_more("a target's name, or the path of a TOML file")
COLUMNS = one_or_more("a column's name")
SEARCH, SEARCH_BUDGET = "search", 0.5  # of learning rates: the share of a run's steps that its trials may take
MAX_BACKTRACKS = 16
NO_QAT = "none"
MOST_PAID = 1_000_000
RATE = Kind(
    f'"auto", "{SEARCH}" or a number above 0, at most 1',
    lambda v: v in ("auto", SEARCH) or (number(0, 1).accepts(v) and v > 0),
)
TIMES = Kind('"auto" or a whole number from 1 to 1000', lambda v: v == "auto" or whole(1, 1000).accepts(v))
_IS_SHARE = number(0.001, 0.9).accepts
SHARES = {"validation": 0.1, "test": 0.2}
SPLIT_SHARES = Kind(
    "a table of shares from 0.001 to 0.9, such as { validation = 0.1, test = 0.2 }",
    lambda v: isinstance(v, dict) and bool(v) and v.keys() <= SHARES.keys() and all(map(_IS_SHARE, v.values())),
    lambda v: SHARES | v,
)
_RULES = ", ".join(f'"{name}"' for name in rewards.NAMES)
REWARD = Kind(
    f'{_RULES}, a function such as "rewards.py:score", or a table of these with weights above 0, at most 1000',
    lambda v: (
        bool(v) and all(map(_is_reward, v)) and all(number(0, 1000).accepts(w) and w > 0 for w in v.values())
        if isinstance(v, dict)
        else _is_reward(v)
    ),
    lambda v: v if isinstance(v, dict) else {v: 1.0},
)
ADAPTER = Kind("the folder of the adapter to go on from (--from)", is_text)
TARGETS = Kind(
    '"auto" or a list of names of linear layers, such as ["q_proj", "v_proj"]',
    lambda v: v == "auto" or _are_texts(v),
)
SMALL, FULL = "small", "full"
PROMPTS = ("zero_shot", "few_shot", "retrieval")
CHANGED_AUTO, CHANGED_NONE = "auto", "none"
PRICE = Kind(
    "the prices of a million prompt tokens and of a million answer tokens, such as [0.15, 0.6]",
    lambda v: isinstance(v, list) and len(v) == 2 and all(map(number(0, MOST_PAID).accepts, v)),
)
CHANGED = Kind(
    f'"{CHANGED_AUTO}", "{CHANGED_NONE}" or two files, of the test and of the training examples that changed',
    lambda v: v in (CHANGED_AUTO, CHANGED_NONE) or (_are_texts(v) and len(v) == 2),
)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_text, value))


def _is_reward(name: Any) -> bool:
    return isinstance(name, str) and (name in rewards.NAMES or rewards.of_function(name) is not None)


def _tables(name: str) -> Kind:
    """A list of tables, each of which is read as its own."""
    return Kind(
        f"a list of tables: write [[compare.{name}]]",
        lambda v: isinstance(v, list) and all(isinstance(entry, dict) for entry in v),
    )


@dataclass(frozen=True)
class Base:
    model: str = _key(TEXT)
    mmproj: str | None = _key(TEXT, None)
    template: str | None = _key(TEXT, None)
    weights: Literal["auto", "quantized", "float"] = _key(choice(WEIGHTS), AUTO_WEIGHTS)


@dataclass(frozen=True)
class Scratch:
    parameters: int = _key(whole(10_000, 1_000_000_000), ScratchOptions.parameters)
    vocabulary: int = _key(whole(288, 65_536, step=32), ScratchOptions.vocabulary)
    layers: int | None = _key(whole(1, 256), None)
    hidden: int | None = _key(whole(32, 8192, step=32), None)
    image_size: int = _key(whole(8, 4096), ScratchOptions.image_size)
    patch_size: int = _key(whole(2, 64), ScratchOptions.patch_size)
    patch_merge: int = _key(whole(1, 8), ScratchOptions.patch_merge)
    vision_layers: int = _key(whole(1, 256), ScratchOptions.vision_layers)
    vision_hidden: int = _key(whole(32, 8192, step=32), ScratchOptions.vision_hidden)


@dataclass(frozen=True, kw_only=True)
class Data:
    train: str | None = _key(TEXT, None)
    validation: str | None = _key(TEXT, None)
    test: str | None = _key(TEXT, None)
    split_shares: dict[str, float] | None = _key(SPLIT_SHARES, None)  # noqa: RUF009, a default of None
    near_duplicate: float = _key(number(0.5, 1), 0.8)
    group: str | None = _key(TEXT, None)
    shape: str | None = _key(choice(shapes.names()), None)
    input: tuple[str, ...] | None = _key(COLUMNS, None)
    output: str | None = _key(TEXT, None)
    author: str | None = _key(TEXT, None)
    image: tuple[str, ...] | None = _key(COLUMNS, None)
    text: str | None = _key(TEXT, None)
    preferences: str | None = _key(TEXT, None)
    task: str = _key(choice(tasks.names()), tasks.DEFAULT)
    system: str = _key(ANY_TEXT, "")
    thinking: bool | None = _key(FLAG, None)
    date: str | None = _key(DATE, None)
    limit: int = _key(whole(0, 10_000_000), 0)
    tools: str | None = _key(TEXT, None)
    schema: str | None = _key(TEXT, None)
    show_tools: bool = _key(FLAG, False)
    quote_input: bool | None = _key(FLAG, None)
    command: tuple[str, ...] | None = _key(ARGV, None)
    licenses: str | None = _key(TEXT, None)
    augment: bool | None = _key(FLAG, None)
    augment_exclude: str | None = _key(TEXT, None)
    augment_images: tuple[str, ...] | None = _key(some_of(image_changes.KINDS, least=0), None)

    @property
    def shares(self) -> dict[str, float]:
        """Of the examples, by split, where a split is not given."""
        return self.split_shares or SHARES


@dataclass(frozen=True)
class Train:
    method: str = _key(choice(methods.names()), methods.DEFAULT)
    epochs: int | str = _key(TIMES, "auto")
    rank: int = _key(whole(1, 1024), 16)
    parts: tuple[str, ...] = _key(some_of(PARTS, least=1), TrainOptions.parts)
    alpha: float = _key(number(0.001, 10_000), 32.0)
    targets: tuple[str, ...] | str = _key(TARGETS, "auto")
    learning_rate: float | str = _key(RATE, "auto")
    batch_tokens: int = _key(whole(16, 1_000_000), 640)
    max_length: int = _key(whole(8, 1_000_000), 512)
    originals_once: bool | None = _key(FLAG, None)
    average: float = _key(number(0, 1), 0.0)
    qat: str = _key(choice(("auto", NO_QAT, *FORMATS, AUTO)), "auto")
    beta: float = _key(number(0.001, 100), TrainOptions.beta)
    teacher: str | None = _key(TEXT, None)
    prefix_length: int = _key(whole(1, 10_000), TrainOptions.prefix_length)
    reward: dict[str, float] | None = _key(REWARD, None)  # noqa: RUF009, a default of None
    rollouts: int = _key(whole(2, 1024), TrainOptions.rollouts)
    prompts: int = _key(whole(1, 100_000), TrainOptions.prompts)
    seed: int = _key(whole(0, 2**31 - 1), 0)
    seeds: int = _key(whole(1, 1000), TrainOptions.seeds)
    device: str = _key(choice((AUTO_DEVICE, *TORCH_DEVICES)), AUTO_DEVICE)


@dataclass(frozen=True)
class Update:
    adapter: str = _key(ADAPTER)
    data: str | None = _key(TEXT, None)
    validation: str | None = _key(TEXT, None)
    test: str | None = _key(TEXT, None)
    epochs: int | str = _key(TIMES, "auto")
    learning_rate: float | str = _key(RATE, "auto")
    retrain: str = _key(choice(RETRAINS), RETRAIN_AUTO)


@dataclass(frozen=True)
class Constraint:
    schema: str | None = _key(TEXT, None)
    tools: str | None = _key(TEXT, None)
    grammar: str | None = _key(TEXT, None)
    regex: str | None = _key(TEXT, None)
    choices: tuple[str, ...] | str | None = _key(CHOICES, None)
    spacing: Literal["compact", "spaced", "free"] = _key(choice(SPACINGS), "compact")
    max_backtracks: int = _key(whole(0, 1_000_000), MAX_BACKTRACKS)
    unconstrained: bool = _key(FLAG, False)

    @property
    def source(self) -> str | None:
        """The key that says what an answer may be; None where the recipe states nothing of it."""
        return next((key for key in SOURCES if getattr(self, key) is not None), None)


@dataclass(frozen=True)
class Build:
    formats: tuple[str, ...] = _key(some_of((*FORMATS, AUTO), least=1), DEFAULTS)
    context: int = _key(whole(0, 1_000_000), 0)
    target: tuple[str, ...] = _key(DEVICES, ())
    max_size: int | None = _key(SIZE, None)
    bits: float | None = _key(number(*BITS), None)
    min_accuracy: float | None = _key(number(*ACCURACIES), None)
    mtp: bool = _key(FLAG, False)


@dataclass(frozen=True)
class Eval:
    baselines: tuple[str, ...] = _key(some_of((*BASELINES, TFIDF), least=0), BASELINES)
    baseline_limit: int = _key(whole(0, 10_000_000), 100)
    limit: int = _key(whole(0, 10_000_000), 0)
    shots: int = _key(whole(1, 100), 5)
    max_tokens: int = _key(whole(1, 100_000), 96)
    threads: int = _key(whole(0, 1024), 0)
    max_error: float | None = _key(number(0, 1), None)


@dataclass(frozen=True)
class Output:
    name: str | None = _key(NAME, None)


@dataclass(frozen=True)
class Router:
    off_topic: str = _key(TEXT)
    test: str | None = _key(TEXT, None)
    examples: int = _key(whole(2, 100_000), 300)
    compare: bool = _key(FLAG, True)


@dataclass(frozen=True)
class Endpoint:
    name: str = _key(NAME)
    url: str = _key(TEXT)
    model: str = _key(TEXT)
    key_env: str | None = _key(TEXT, None)
    prompt: str = _key(choice(PROMPTS), "few_shot")
    price: tuple[float, float] | None = _key(PRICE, None)


@dataclass(frozen=True)
class Answers:
    name: str = _key(NAME)
    file: str = _key(TEXT)
    price: tuple[float, float] | None = _key(PRICE, None)


@dataclass(frozen=True)
class Compare:
    size: str = _key(choice((FULL, SMALL)), FULL)
    bases: tuple[str, ...] = _key(one_or_more("a base as [base] model takes it"), ())
    embeddings: str | None = _key(TEXT, None)
    changed: tuple[str, str] | str = _key(CHANGED, CHANGED_AUTO)
    machine_hour: float | None = _key(number(0, MOST_PAID), None)
    endpoint: tuple[Any, ...] = _key(_tables("endpoint"), ())
    answers: tuple[Any, ...] = _key(_tables("answers"), ())


LISTED: dict[str, type[Any]] = {"endpoint": Endpoint, "answers": Answers}
