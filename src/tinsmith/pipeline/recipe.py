"""A recipe: a TOML file that states base, data, training, build and evaluation.

Each TOML table is one dataclass here and each of its keys one field, with the values it takes beside it;
docs/recipe.md says what they do. Paths in a recipe are relative to the recipe's own folder.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tinsmith import targets, tasks
from tinsmith.data import picture_changes, shapes
from tinsmith.errors import RecipeError, UnsupportedError
from tinsmith.format_names import AUTO, DEFAULTS, FORMATS
from tinsmith.pipeline import compare_tables
from tinsmith.pipeline.compare_tables import Compare, Prices
from tinsmith.tables import (
    ANY_TEXT,
    ARGV,
    DATE,
    FLAG,
    NAME,
    SIZE,
    TEXT,
    Kind,
    TomlFile,
    choice,
    is_text,
    is_whole,
    multiple,
    number,
    one_or_more,
    some_of,
    whole,
)
from tinsmith.tables import key as _key
from tinsmith.train import methods, rewards
from tinsmith.train.options import (
    AUTO_DEVICE,
    BASE_TEACHER,
    DPO,
    EPOCHS,
    MADE_EPOCHS,
    MADE_SEEDS,
    MOMENTS,
    PARTS,
    POLICY_LOSSES,
    RANK_SCALES,
    RETRAIN_AUTO,
    RETRAINS,
    SCALES,
    TORCH_DEVICES,
    UPDATE_EPOCHS,
    ScratchOptions,
    TrainOptions,
)
from tinsmith.train.rules import default_label_epochs

BUDGETS = ("max_size", "bits", "memory", "speed", "min_accuracy")
BASELINES = ("zero_shot", "few_shot", "retrieval", "nearest")
TFIDF = "tfidf"  # a baseline of tasks with labels alone
KEEPS = ("auto", "packed", "float")
SPACINGS = ("compact", "spaced", "free")
SOURCES = ("schema", "tools", "grammar", "regex", "choices")
LABELS = "labels"
ORIGINS = ("base", "scratch")  # the tables that say what training starts from
OPTIONAL = (*ORIGINS, "update")
# Keys that a model trained from scratch has no use for: there is no base.
BASE_KEYS = ("thinking", "date", "show_tools")
SCRATCH_METHOD = "full"
# Keys of [data] that say how examples are divided where a split is not given.
DIVIDING_KEYS = ("validation_share", "test_share", "split_seed", "near", "group")
# Keys of [data] that say how its training examples are used.
EXAMPLE_KEYS = ("limit", "augment", "augment_variants", "augment_lists", "augment_pictures", "off_topic")
SHAPE_KEYS = ("layers", "hidden", "heads", "kv_heads", "feed_forward")
CHOICES = Kind(
    f'"{LABELS}" or a list of texts',
    lambda v: v == LABELS or (isinstance(v, list) and bool(v) and all(is_text(word) for word in v)),
)
DEVICES = one_or_more("a target's name, or the path of a TOML file")
COLUMNS = one_or_more("a column's name")
SEARCH, SEARCH_BUDGET = "search", 0.5
NO_ROUGH = "none"
RATE = Kind(
    f'"auto", "{SEARCH}" or a number above 0, at most 1',
    lambda v: v in ("auto", SEARCH) or ((isinstance(v, float) or is_whole(v)) and 0 < v <= 1),
)
TIMES = Kind(
    '"auto" or a whole number from 1 to 1000', lambda v: v == "auto" or (is_whole(v) and 1 <= v <= 1000)
)
WEIGHT = Kind(
    '"auto" or a number from 0.001 to 1000',
    lambda v: v == "auto" or ((isinstance(v, float) or is_whole(v)) and 0.001 <= v <= 1000),
)
RANKS = Kind(
    "a table of ranks from 1 to 1024 by the names of linear layers, such as { q_proj = 32 }",
    lambda v: (
        isinstance(v, dict) and bool(v) and all(is_whole(rank) and 1 <= rank <= 1024 for rank in v.values())
    ),
)
_RULES = ", ".join(f'"{name}"' for name in rewards.NAMES)
REWARD = Kind(
    f'{_RULES}, a function such as "rewards.py:score", or a table of these with weights above 0, at most 1000',
    lambda v: (
        bool(v) and all(_is_reward(name) for name in v) and all(_is_weight(weight) for weight in v.values())
        if isinstance(v, dict)
        else _is_reward(v)
    ),
    lambda v: v if isinstance(v, dict) else {v: 1.0},
)
ADAPTER = Kind("the folder of the adapter to go on from (--from)", is_text)
TARGETS = Kind(
    '"auto" or a list of names of linear layers, such as ["q_proj", "v_proj"]',
    lambda v: v == "auto" or (isinstance(v, list) and bool(v) and all(is_text(word) for word in v)),
)


def _is_reward(name: Any) -> bool:
    return isinstance(name, str) and (name in rewards.NAMES or rewards.of_function(name) is not None)


def _is_weight(value: Any) -> bool:
    return (isinstance(value, float) or is_whole(value)) and 0 < value <= 1000


@dataclass(frozen=True)
class Base:
    model: str = _key(TEXT)
    mmproj: str | None = _key(TEXT, None)
    revision: str | None = _key(TEXT, None)
    keep: Literal["auto", "packed", "float"] = _key(choice(KEEPS), "auto")

    @property
    def stated(self) -> dict[str, Any]:
        """By key, for digests: those of before `mmproj` stay what they are."""
        return {
            key: value
            for key, value in dataclasses.asdict(self).items()
            if key != "mmproj" or value is not None
        }


@dataclass(frozen=True)
class Scratch:
    parameters: int = _key(whole(10_000, 1_000_000_000), ScratchOptions.parameters)
    vocabulary: int = _key(multiple(32, 288, 65_536), ScratchOptions.vocabulary)
    context: int = _key(whole(16, 1_000_000), ScratchOptions.context)
    layers: int | None = _key(whole(1, 256), None)
    hidden: int | None = _key(multiple(32, 32, 8192), None)
    heads: int | None = _key(whole(1, 256), None)
    kv_heads: int | None = _key(whole(1, 256), None)
    feed_forward: int | None = _key(multiple(32, 32, 65_536), None)
    picture: int = _key(whole(8, 4096), ScratchOptions.picture)
    patch: int = _key(whole(2, 64), ScratchOptions.patch)
    merge: int = _key(whole(1, 8), ScratchOptions.merge)
    tower_layers: int = _key(whole(1, 256), ScratchOptions.tower_layers)
    tower_hidden: int = _key(multiple(32, 32, 8192), ScratchOptions.tower_hidden)


@dataclass(frozen=True, kw_only=True)
class Data:
    train: str | None = _key(TEXT, None)
    validation: str | None = _key(TEXT, None)
    test: str | None = _key(TEXT, None)
    validation_share: float = _key(number(0.001, 0.9), 0.1)
    test_share: float = _key(number(0.001, 0.9), 0.2)
    split_seed: int = _key(whole(0, 2**31 - 1), 0)
    near: float = _key(number(0.5, 1), 0.8)
    group: str | None = _key(TEXT, None)
    shape: str | None = _key(choice(shapes.names()), None)
    input: tuple[str, ...] | None = _key(COLUMNS, None)
    output: str | None = _key(TEXT, None)
    author: str | None = _key(TEXT, None)
    image: tuple[str, ...] | None = _key(COLUMNS, None)
    text: str | None = _key(TEXT, None)
    pairs: str | None = _key(TEXT, None)
    validation_pairs: str | None = _key(TEXT, None)
    ratings: str | None = _key(TEXT, None)
    validation_ratings: str | None = _key(TEXT, None)
    task: str = _key(choice(tasks.names()), tasks.DEFAULT)
    system: str = _key(ANY_TEXT, "")
    thinking: bool | None = _key(FLAG, None)
    date: str | None = _key(DATE, None)
    limit: int = _key(whole(0, 10_000_000), 0)
    tools: str | None = _key(TEXT, None)
    schema: str | None = _key(TEXT, None)
    show_tools: bool = _key(FLAG, False)
    command: tuple[str, ...] | None = _key(ARGV, None)
    licenses: str | None = _key(TEXT, None)
    augment: bool | None = _key(FLAG, None)
    augment_variants: int | str = _key(TIMES, "auto")
    augment_lists: bool = _key(FLAG, False)
    augment_pictures: tuple[str, ...] | None = _key(some_of(picture_changes.KINDS, least=0), None)
    off_topic: str | None = _key(TEXT, None)
    off_topic_output: str | None = _key(TEXT, None)
    off_topic_share: float = _key(number(0.001, 1), 0.05)


@dataclass(frozen=True)
class Train:
    method: str = _key(choice(methods.names()), methods.DEFAULT)
    epochs: int | str = _key(TIMES, "auto")
    rank: int = _key(whole(1, 1024), 16)
    ranks: dict[str, int] | None = _key(RANKS, None)  # noqa: RUF009, a default of None
    rank_scale: str = _key(choice(RANK_SCALES), TrainOptions.rank_scale)
    parts: tuple[str, ...] = _key(some_of(PARTS, least=1), TrainOptions.parts)
    alpha: float = _key(number(0.001, 10_000), 32.0)
    dropout: float = _key(number(0, 0.9), 0.0)
    targets: tuple[str, ...] | str = _key(TARGETS, "auto")
    label_smoothing: float = _key(number(0, 0.9), TrainOptions.label_smoothing)
    noise: float = _key(number(0, 1000), TrainOptions.noise)
    learning_rate: float | str = _key(RATE, "auto")
    search_budget: float = _key(number(0.01, 1), SEARCH_BUDGET)
    batch_tokens: int = _key(whole(16, 1_000_000), 640)
    max_length: int = _key(whole(8, 1_000_000), 512)
    patience: int = _key(whole(0, 1000), 0)
    average: float = _key(number(0, 1), 0.0)
    rough: str = _key(choice(("auto", NO_ROUGH, *FORMATS, AUTO)), "auto")
    open_tokens_only: bool = _key(FLAG, False)
    beta: float = _key(number(0.001, 100), TrainOptions.beta)
    good_weight: float | str = _key(WEIGHT, "auto")
    teacher: str | None = _key(TEXT, None)
    shots: int = _key(whole(1, 100), TrainOptions.shots)
    teacher_top: int = _key(whole(1, 100_000), TrainOptions.teacher_top)
    temperature: float = _key(number(0.01, 100), TrainOptions.temperature)
    teacher_weight: float = _key(number(0, 1), TrainOptions.teacher_weight)
    prefix_length: int = _key(whole(1, 10_000), TrainOptions.prefix_length)
    reward: dict[str, float] | None = _key(REWARD, None)  # noqa: RUF009, a default of None
    rollouts: int = _key(whole(2, 1024), TrainOptions.rollouts)
    prompts: int = _key(whole(1, 100_000), TrainOptions.prompts)
    iterations: int = _key(whole(1, 100), TrainOptions.iterations)
    policy_loss: str = _key(choice(POLICY_LOSSES), TrainOptions.policy_loss)
    scale_rewards: str = _key(choice(SCALES), TrainOptions.scale_rewards)
    epsilon: float = _key(number(0.001, 1), TrainOptions.epsilon)
    epsilon_high: float | None = _key(number(0.001, 100), None)
    kl_weight: float = _key(number(0, 100), TrainOptions.kl_weight)
    constrained: bool | None = _key(FLAG, None)
    moments: str = _key(choice(MOMENTS), TrainOptions.moments)
    seed: int = _key(whole(0, 2**31 - 1), 0)
    seeds: int | str = _key(TIMES, "auto")
    device: str = _key(choice((AUTO_DEVICE, *TORCH_DEVICES)), AUTO_DEVICE)

    def passes(self, made: bool, further: bool = False, labelled: int = 0) -> int:
        """Over the training examples. made: whether others were made of them; further: whether they come on top
        of what an adapter knows; labelled: how many there are, where their answers are labels alone."""
        if isinstance(self.epochs, int):
            return self.epochs
        if own := methods.by_name(self.method).passes:
            return own
        if further:
            return UPDATE_EPOCHS
        if made:
            return MADE_EPOCHS
        return default_label_epochs(labelled) if labelled and self.method == methods.DEFAULT else EPOCHS

    def runs(self, made: bool, further: bool = False) -> int:
        """That differ by their seed; made, further: as for passes."""
        if isinstance(self.seeds, int):
            return self.seeds
        return MADE_SEEDS if made and not further and self.method == methods.DEFAULT else 1


@dataclass(frozen=True)
class Update:
    adapter: str = _key(ADAPTER)
    data: str | None = _key(TEXT, None)
    validation: str | None = _key(TEXT, None)
    test: str | None = _key(TEXT, None)
    learning_rate: float | str = _key(RATE, "auto")
    replay: float = _key(number(0.01, 0.9), TrainOptions.replay)
    retrain: str = _key(choice(RETRAINS), RETRAIN_AUTO)


@dataclass(frozen=True)
class Constraint:
    schema: str | None = _key(TEXT, None)
    tools: str | None = _key(TEXT, None)
    grammar: str | None = _key(TEXT, None)
    regex: str | None = _key(TEXT, None)
    choices: tuple[str, ...] | str | None = _key(CHOICES, None)
    spacing: Literal["compact", "spaced", "free"] = _key(choice(SPACINGS), "compact")
    format: str = _key(TEXT, "json")
    free: bool = _key(FLAG, False)

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
    bits: float | None = _key(number(1, 16), None)
    memory: int | None = _key(SIZE, None)
    speed: float | None = _key(number(0.001, 1_000_000), None)
    bandwidth: int | None = _key(SIZE, None)
    min_accuracy: float | None = _key(number(0, 1), None)
    calibration: str | None = _key(TEXT, None)
    draft_table: bool = _key(FLAG, True)


@dataclass(frozen=True)
class Eval:
    baselines: tuple[str, ...] = _key(some_of((*BASELINES, TFIDF), least=0), BASELINES)
    baseline_limit: int = _key(whole(0, 10_000_000), 100)
    limit: int = _key(whole(0, 10_000_000), 0)
    shots: int = _key(whole(1, 100), 5)
    max_tokens: int = _key(whole(1, 100_000), 96)
    threads: int = _key(whole(0, 1024), 0)
    bootstrap: int = _key(whole(100, 1_000_000), 2000)
    seed: int = _key(whole(0, 2**31 - 1), 0)
    error: float | None = _key(number(0, 1), None)


@dataclass(frozen=True)
class Output:
    name: str | None = _key(NAME, None)


@dataclass(frozen=True)
class Router:
    off_topic: str = _key(TEXT)
    test: str | None = _key(TEXT, None)
    examples: int = _key(whole(2, 100_000), 300)
    compare: bool = _key(FLAG, True)


TABLES: dict[str, type[Any]] = {
    "base": Base,
    "scratch": Scratch,
    "data": Data,
    "train": Train,
    "update": Update,
    "constraint": Constraint,
    "build": Build,
    "eval": Eval,
    "output": Output,
    "compare": Compare,
    "prices": Prices,
}


@dataclass(frozen=True)
class Recipe:
    """path: the recipe file, absolute; sha256: of its bytes; the rest: its tables, `base` or `scratch`
    of which is None, and `update` where an adapter is begun.

    tasks: of a recipe with `[[task]]`, by name, each a recipe of its own on the same base; `data` is then what
    the run makes of them together, and `router` what chooses among them.
    """

    path: Path
    sha256: str
    base: Base | None
    scratch: Scratch | None
    data: Data
    train: Train
    constraint: Constraint
    build: Build
    eval: Eval
    output: Output
    compare: Compare = field(default_factory=Compare)
    prices: Prices = field(default_factory=Prices)
    update: Update | None = None
    tasks: Mapping[str, Recipe] = field(default_factory=dict)
    router: Router | None = None

    @property
    def name(self) -> str:
        """What the built files are called: `[output] name`, or the recipe's file name without `.toml`."""
        return self.output.name or self.path.stem

    @property
    def model_digest(self) -> str:
        """SHA-256 of the values that decide the model: every table but [eval], [output], [compare] and
        [prices]."""
        tables = (self.scratch, self.data, self.train, self.constraint, self.build, self.update)
        values: list[Any] = [dataclasses.asdict(table) for table in tables if table]
        if self.base:
            values.insert(0, self.base.stated)
        if self.router:
            values += [
                dataclasses.asdict(self.router),
                {name: t.model_digest for name, t in self.tasks.items()},
            ]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def labelled(self, examples: int) -> int:
        """Of so many examples, how many have labels alone for answers."""
        return examples if tasks.by_name(self.data.task).weighs == "options" else 0

    def resolve(self, relative: str) -> Path:
        """A path that the recipe states, taken from the recipe's folder."""
        return self.path.parent / Path(relative).expanduser()


def load(
    path: str | Path, devices: Sequence[str] = (), update: Mapping[str, str | float] | None = None
) -> Recipe:
    """Reads and checks a recipe of one task; RecipeError names the file, line, table and key of the first
    mistake. devices, update: as of read."""
    file = read(path, devices, update)
    return Recipe(path=file.path, sha256=file.sha256, **file.tables())


def read(
    path: str | Path, devices: Sequence[str] = (), update: Mapping[str, str | float] | None = None
) -> RecipeFile:
    """devices: names of targets or TOML files, in place of `[build] target`; update: keys of `[update]`, in
    place of its own."""
    file = RecipeFile(path)
    if devices:
        own = [str(Path(one).resolve()) if one.endswith(".toml") else one for one in devices]
        file.given.setdefault("build", {})["target"] = own
    if update and isinstance(file.given.setdefault("update", {}), dict):
        file.given["update"] |= update
    return file


class RecipeFile(TomlFile):
    fault = RecipeError
    kind = "recipe"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def tables(self) -> dict[str, Any]:
        given = self.given
        self.check_names(TABLES, given)
        origin = self._origin(given)
        tables: dict[str, Any] = {
            name: self.table(name, cls, given.get(name, {}))
            for name, cls in TABLES.items()
            if name not in OPTIONAL or name == origin or (name == "update" and name in given)
        }
        tables |= {name: None for name in OPTIONAL if name not in tables}
        if origin == "scratch":
            self._check_scratch(given)
            tables["train"] = dataclasses.replace(tables["train"], method=SCRATCH_METHOD)
            if "baselines" not in given.get("eval", {}):
                tables["eval"] = dataclasses.replace(tables["eval"], baselines=("nearest",))
        self._check_method(given, tables["train"].method)
        self._check_splits(given.get("data", {}))
        if tables["data"].train is None:
            tables["eval"] = self._without_examples(given, tables["eval"])
        if tables["build"].target:
            tables["build"] = self._for_target(tables["build"], "formats" in given["build"])
        data = tables["data"]
        if data.show_tools and not data.tools:
            raise self.error("data", "show_tools", "there are no tools to show; give them in tools")
        self._check_augment(given.get("data", {}), tables)
        self._check_update(given.get("update", {}), tables["train"].method)
        self._check_build(tables["build"])
        if TFIDF in tables["eval"].baselines and tasks.by_name(data.task).source != "choices":
            raise self.error(
                "eval", "baselines", f'"{TFIDF}" learns labels; the task {data.task} has none, leave it out'
            )
        tables["compare"] = self._listed(tables["compare"])
        rough, built = tables["train"].rough, tables["build"].formats
        if rough not in ("auto", NO_ROUGH, *built):
            raise self.error(
                "train", "rough", f"is none of [build] formats, {', '.join(built)}; give one of them"
            )
        for key in ("open_tokens_only", "constrained"):
            if getattr(tables["train"], key) and not tables["constraint"].source:
                raise self.error("train", key, "there is no constraint; give [constraint]")
        if data.schema and tasks.by_name(data.task).source != "schema":
            raise self.error(
                "data", "schema", f"the answers of the task {data.task} are no JSON by a schema; leave it out"
            )
        if tables["constraint"].free and len(given["constraint"]) > 1:
            raise self.error("constraint", "free", "other keys hold the answer to something; give one of them")
        if "constraint" in given and not tables["constraint"].free:
            self._check_constraint(given["constraint"], data.task)
            if data.thinking:
                raise self.error(
                    "data", "thinking", "a constraint says what the whole answer may be; leave out one of them"
                )
        return tables

    def _listed(self, compare: Compare) -> Compare:
        """With its [[compare.endpoint]] and [[compare.answers]] read, each a table of its own."""
        read = {
            name: tuple(
                self.table(f"compare.{name} {place}", cls, entry)
                for place, entry in enumerate(getattr(compare, name), 1)
            )
            for name, cls in compare_tables.LISTED.items()
        }
        compare = dataclasses.replace(compare, endpoint=read["endpoint"], answers=read["answers"])
        known = compare_tables.names(compare)
        for name in known:
            if known.count(name) > 1:
                raise self.error(
                    "compare", None, f'two systems are called "{name}"; give each a name of its own'
                )
        stated = compare.changed not in (compare_tables.AUTO, compare_tables.NONE)
        if stated != (compare.changed_train is not None):
            raise self.error(
                "compare", "changed", "a file goes with changed_train, what retrieval finds then; give both"
            )
        return compare

    def _for_target(self, build: Build, stated: bool) -> Build:
        """With the targets' own formats where the recipe states none."""
        try:
            devices = [targets.find(name, self.path.parent) for name in build.target]
        except UnsupportedError as error:
            raise self.error("build", "target", str(error)) from None
        return build if stated else dataclasses.replace(build, formats=tuple(targets.formats(devices)))

    def _origin(self, given: dict[str, Any]) -> str:
        """Which of the tables that say what training starts from is there."""
        if "base" in given and "scratch" in given:
            raise self.error("scratch", None, "[base] is given too; give one of them")
        return "scratch" if "scratch" in given else "base"

    def _check_scratch(self, given: dict[str, Any]) -> None:
        """Checks what no single key shows about a recipe without a base."""
        stated = [key for key in SHAPE_KEYS if key in given["scratch"]]
        if stated and "parameters" in given["scratch"]:
            raise self.error("scratch", "parameters", f"follow from {', '.join(stated)}; give one or the other")
        for key in ("layers", "hidden"):
            if stated and key not in stated:
                raise self.error("scratch", key, f"missing; it goes with {stated[0]}")
        if given.get("train", {}).get("method", SCRATCH_METHOD) != SCRATCH_METHOD:
            raise self.error("train", "method", f'[scratch] trains by "{SCRATCH_METHOD}"; leave it out')
        for key in BASE_KEYS:
            if key in given.get("data", {}):
                raise self.error("data", key, "is for a base; [scratch] has none; leave it out")
        for name in given.get("eval", {}).get("baselines", []):
            if name != "nearest":
                raise self.error(
                    "eval", "baselines", f'"{name}" prompts a base; without one there is "nearest" alone'
                )

    def _check_method(self, given: dict[str, Any], name: str) -> None:
        """Keys of another method say that something else was meant."""
        method = methods.by_name(name)
        every = [methods.by_name(one) for one in methods.names()]
        for table, own in (("train", "keys"), ("data", "reads")):
            for key in given.get(table, {}):
                readers = [f'"{one.name}"' for one in every if key in getattr(one, own)]
                if readers and key not in getattr(method, own):
                    raise self.error(
                        table, key, f'is for method {", ".join(readers)}; this one is "{name}", leave it out'
                    )
        for table, key in method.needs:
            if key not in given.get(table, {}):
                raise self.error(table, key, f'missing; method "{name}" learns from it')
        train = given.get("train", {})
        for name in REWARD.read(train.get("reward", {})):
            place = rewards.of_function(name)
            if place and not (self.path.parent / place[0]).is_file():
                raise self.error(
                    "train", "reward", f"{place[0]} is no file; give one that has the function {place[1]}"
                )
        if name == "grpo" and train.get("learning_rate") == SEARCH:
            raise self.error("train", "learning_rate", f'"{SEARCH}" compares losses, not rewards; state a rate')
        if name == "grpo" and "beta" in train and train.get("policy_loss") != DPO:
            raise self.error("train", "beta", f'is for policy_loss = "{DPO}"; leave it out, or give kl_weight')
        if "shots" in train and train.get("teacher") != BASE_TEACHER:
            raise self.error("train", "shots", f'is for teacher = "{BASE_TEACHER}"; leave it out')

    def _check_splits(self, given: dict[str, Any]) -> None:
        """Splits that are not given are made of the training examples."""
        missing = [split for split in ("validation", "test") if split not in given]
        if missing and "train" not in given:
            raise self.error("data", missing[0], "missing; give it, or train to make it of")
        for key in DIVIDING_KEYS:
            split = key.removesuffix("_share")
            if key in given and (not missing or (split in given and key.endswith("_share"))):
                raise self.error("data", key, "nothing is divided by it; leave it out")

    def _without_examples(self, given: dict[str, Any], settings: Eval) -> Eval:
        """[eval] of a recipe that has no training examples; raises for what is made of these."""
        for key in EXAMPLE_KEYS:
            if given["data"].get(key):
                raise self.error("data", key, "is about the examples of train; give them, or leave this out")
        if given.get("eval", {}).get("baselines"):
            raise self.error("eval", "baselines", "are made from [data] train; give it, or leave this out")
        if given.get("constraint", {}).get("choices") == LABELS:
            raise self.error(
                "constraint", "choices", f'"{LABELS}" are those of [data] train; give it, or list the choices'
            )
        build = given.get("build", {})
        if AUTO in build.get("formats", ()) and "calibration" not in build:
            raise self.error("build", "calibration", f'missing; "{AUTO}" has no [data] train to measure on')
        return dataclasses.replace(settings, baselines=())

    def _check_augment(self, given: dict[str, Any], tables: dict[str, Any]) -> None:
        """Checks that there is something to make where the recipe speaks of it."""
        data, task = tables["data"], tasks.by_name(tables["data"].task)
        if data.augment and not task.has_values:
            known = ", ".join(one.name for one in tasks.tasks() if one.has_values)
            raise self.error("data", "augment", f"is for the tasks {known}; this one is {data.task}")
        off = data.augment is False or not task.has_values
        if off and data.augment_lists:
            raise self.error("data", "augment_lists", "nothing is substituted here; leave it out")
        if off and not (data.off_topic or data.augment_pictures) and "augment_variants" in given:
            raise self.error(
                "data", "augment_variants", "nothing is made here; leave it out, or give augment_pictures"
            )
        sources = (tables["constraint"].source, *(key for key in ("tools", "schema") if getattr(data, key)))
        if data.augment_lists and not {"tools", "schema"} & set(sources):
            raise self.error(
                "data", "augment_lists", "there are no lists; give tools or schema, here or in [constraint]"
            )
        for key in ("off_topic_output", "off_topic_share"):
            if key in given and not data.off_topic:
                raise self.error("data", key, "goes with off_topic; give both, or neither")
        if data.off_topic:
            wanted = data.off_topic_output
            if wanted is None:
                raise self.error("data", "off_topic_output", "missing; give the answer to what is off topic")
            if task.parse(wanted) is None:
                raise self.error(
                    "data", "off_topic_output", f"not a valid output of the task {data.task}: {wanted}"
                )

    def _check_update(self, given: dict[str, Any], name: str) -> None:
        if not given:
            return
        method = methods.by_name(name)
        every = [methods.by_name(one) for one in methods.names()]
        for key, can in (("adapter", "starts"), ("data", "replays")):
            if key in given and not getattr(method, can):
                known = ", ".join(f'"{one.name}"' for one in every if getattr(one, can))
                raise self.error("update", key, f'is for method {known}; this one is "{name}", leave it out')
        for key in ("validation", "test", "replay", "retrain"):
            if key in given and "data" not in given:
                raise self.error("update", key, "goes with data, the new examples; give both, or neither")

    def _check_build(self, build: Build) -> None:
        """Budgets and the format that they are for go together."""
        stated = [key for key in BUDGETS if getattr(build, key) is not None]
        if AUTO in build.formats and not stated and not build.target:
            raise self.error("build", "formats", f'"{AUTO}" needs a budget; give target, {", ".join(BUDGETS)}')
        for key in (*stated, "bandwidth", "calibration"):
            if AUTO not in build.formats and getattr(build, key) is not None:
                raise self.error("build", key, f'is for the format "{AUTO}"; add it, or leave this out')
        if build.speed is None and build.bandwidth is not None:
            raise self.error("build", "bandwidth", "is for speed; give it, or leave this out")
        if build.speed is not None and build.bandwidth is None and not build.target:
            raise self.error("build", "speed", "follows from bandwidth; give that, or a target")

    def _check_constraint(self, given: dict[str, Any], task: str) -> None:
        """Checks what no single key shows: there is one source, and the other keys apply to it."""
        sources = [key for key in SOURCES if key in given]
        if len(sources) != 1:
            key = sources[1] if sources else None
            what = f"{' and '.join(sources)} are given" if sources else "says nothing of the answer"
            raise self.error("constraint", key, f"{what}; give one of {', '.join(SOURCES)}")
        with_labels = [one.name for one in tasks.tasks() if one.constraint.get("choices") == LABELS]
        if given.get("choices") == LABELS and task not in with_labels:
            known = ", ".join(with_labels)
            raise self.error("constraint", "choices", f'"{LABELS}" is for the task {known}; this one is {task}')
        for key, needs in (("spacing", ("schema", "tools")), ("format", ("tools",))):
            if key in given and sources[0] not in needs:
                raise self.error(
                    "constraint", key, f"says nothing about {sources[0]}; it goes with {' or '.join(needs)}"
                )
