"""Runs a recipe: the stages with their inputs and outputs, and the order that brings a goal up to date.

A stage knows nothing of a run. The engine gives it values, a folder to write in and a reporter, and keeps its
results in run.json. `data` below is the result of the data stage, as Prepared. Of a recipe of one task:

    data:      recipe, base_files -> Data
    baselines: data -> Measured after data
    train:     data, decides, log -> Trained after data
    merge:     data, trained, qat, digests -> Merged after data, train
    build:     data, merged, origins, digests -> Built after data, train, merge
    verify:    data, pairs, digests -> Verified after data, build
    evaluate:  data, models, built, merged -> Measured after data, merge, build, verify
    seal:      data, tins, ggufs, built, systems -> Nothing after data, build, evaluate
    report:    data, stages, machine, versions, seconds, answers -> Nothing
               after data, baselines, train, merge, build, verify, evaluate, seal

Of several tasks, once the run of each is up to date:

    data:      recipe, base_files, tasks, forbidden -> Data
    build:     data, learned -> Built after data
    verify:    data, pairs, digests -> Verified after data, build
    adapters:  data, tasks, tins, digests -> Adapted after data, build
    evaluate:  data, tasks, tins, answers, own, joint, compared, digests -> MeasuredTasks
               after data, verify, adapters
    seal:      data, tasks, tins, adapted, ggufs, digests, systems, router -> Nothing
               after data, build, adapters, evaluate
    report:    data, stages, machine, versions, tasks, is_compared -> Nothing
               after data, build, verify, adapters, evaluate, seal"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinsmith.chat.own_templates import FORMATS
from tinsmith.data.splits import SPLITS
from tinsmith.errors import DataError, InputError
from tinsmith.evaluate.naming import TOGETHER, TUNED, shipped
from tinsmith.pipeline import beside, checking, contents, formats, measuring, pages, update
from tinsmith.pipeline.base import MODEL, PAIRED, TEMPLATE
from tinsmith.pipeline.measuring import FREE, Measured
from tinsmith.pipeline.prepared import Data, Learned, Model, Prepared, split_name
from tinsmith.pipeline.recipe.reading import joint
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.run import Record, Run, Stage, machine, opened, versions
from tinsmith.pipeline.stage import Nothing
from tinsmith.pipeline.stages import adapters, baselines, build, merge, seal, verify
from tinsmith.pipeline.stages.adapters import Adapted
from tinsmith.pipeline.stages.build import UNSEALED, Built
from tinsmith.pipeline.stages.data import digests as data_digests
from tinsmith.pipeline.stages.data import make as data
from tinsmith.pipeline.stages.evaluate import make as evaluate
from tinsmith.pipeline.stages.report import make as report
from tinsmith.pipeline.stages.train import job, plan
from tinsmith.pipeline.stages.train import make as train
from tinsmith.pipeline.stages.train.digests import of_train
from tinsmith.pipeline.stages.train.options import options
from tinsmith.pipeline.stages.train.outputs import Trained
from tinsmith.system import files
from tinsmith.system.progress import Display
from tinsmith.train import methods
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.quantized.importance import NAME as IMPORTANCE
from tinsmith.train.steps import logs, together

TASKS, JOINT = "tasks", "joint"  # folders of a run: a run for each task, and one of a single adapter for all


def prepared(run: Run) -> Prepared:
    """The results of the data stage."""
    record = run.done(DATA)
    files = {name: run.folder / name for name in record.outputs}
    return Prepared(**vars(record.facts), recipe=run.recipe, files=files, digests=record.digests)


def read_data(run: Run) -> data_digests.Inputs:
    return data_digests.Inputs(run.recipe, _base_files(run))


def _base_files(run: Run) -> dict[str, list[int]]:
    recipe, base = run.recipe, run.recipe.base
    if base is None:
        return {}
    paths = {MODEL: recipe.resolve(base.model), PAIRED: recipe.resolve(base.mmproj)} if base.mmproj else {}
    if base.template and base.template not in FORMATS:
        paths[TEMPLATE] = recipe.resolve(base.template)
    stats = {name: path.stat() for name, path in paths.items() if path.is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def read_baselines(run: Run) -> baselines.Inputs:
    return baselines.Inputs(prepared(run))


def check_training(run: Run) -> None:
    """Raises what training would raise before its first step: prompted baselines take minutes."""
    if set(run.recipe.eval.baselines) - set(FREE) and not run.is_current(TRAIN):
        job.check(prepared(run), run.folder)


def read_train(run: Run) -> plan.Inputs:
    read = prepared(run)
    return plan.Inputs(read, of_train(read), run.log)


def train_folder(recipe: Recipe) -> str:
    """The name, in the run's folder, of the folder with the adapter or the whole model."""
    return methods.by_name(recipe.train.method).folder


def _qat_folder(run: Run) -> Path | None:
    """The folder of the adapter for low-precision files; None where there is none."""
    folder = run.folder / qat_adapter.FOLDER / train_folder(run.recipe)
    return folder if run.done(TRAIN).facts.qat else None


def read_merge(run: Run) -> merge.Inputs:
    folder = run.folder / train_folder(run.recipe)
    return merge.Inputs(prepared(run), folder, _qat_folder(run), run.done(TRAIN).digests)


def _merged(run: Run) -> Model:
    return Model(run.folder / merge.FOLDER, run.done(MERGE).facts.sha256)


def read_build(run: Run) -> build.Inputs:
    merged, trained = run.done(MERGE), train_folder(run.recipe)
    names, qat_sha256 = run.recipe.build.formats, merged.facts.qat_sha256
    qat = [name for name in names if qat_sha256 and formats.needs_qat(run.recipe, name)]
    others = [name for name in names if name not in qat]
    origins = [build.Origin(_merged(run), run.folder / trained, others)]
    folder = _qat_folder(run)
    if qat_sha256 and folder:
        origins.append(build.Origin(Model(run.folder / merge.QAT, qat_sha256), folder, qat))
    made = run.done(TRAIN).digests
    qat_importance = made.get(f"{qat_adapter.FOLDER}/{trained}/{IMPORTANCE}")
    decides = {"merged": merged.digests, "importance": made[f"{trained}/{IMPORTANCE}"]}
    decides |= {"qat_importance": qat_importance} if qat_importance else {}
    return build.Inputs(prepared(run), _merged(run), [one for one in origins if one.formats], decides)


def unsealed(run: Run, built: Record[Built]) -> dict[str, Path]:
    """The tins by the preset of their weights."""
    return {weights: run.folder / UNSEALED / name for weights, name in built.facts.tins.items()}


def by_name(built: Record[Any]) -> dict[str, str]:
    """SHA-256 of a stage's files, by file name."""
    return {Path(name).name: digest for name, digest in built.digests.items()}


def _ggufs(built: Record[Built]) -> dict[str, str]:
    """Digests of the GGUFs by the preset of their weights."""
    return {weights: built.digests[name] for weights, name in built.facts.ggufs.items()}


def read_verify(run: Run) -> verify.Inputs:
    built = run.done(BUILD)
    ggufs = {weights: run.folder / name for weights, name in built.facts.ggufs.items()}
    pairs = {weights: (tin, ggufs[weights]) for weights, tin in unsealed(run, built).items()}
    return verify.Inputs(prepared(run), pairs, by_name(built))


def read_evaluate(run: Run) -> evaluate.Inputs:
    built, merged = run.done(BUILD), _merged(run)
    found = by_name(built)
    models = {shipped(weights): Model(path, found[path.name]) for weights, path in unsealed(run, built).items()}
    models = {TUNED: merged, **models}
    return evaluate.Inputs(prepared(run), models, found, run.done(MERGE).digests)


def read_seal(run: Run) -> seal.Inputs:
    built, systems = run.done(BUILD), run.done(EVALUATE).facts.systems
    return seal.Inputs(prepared(run), unsealed(run, built), _ggufs(built), by_name(built), systems)


def _records(run: Run, stage: Stage[Any, Any], stages: Sequence[Stage[Any, Any]]) -> dict[str, Any]:
    """The records in run.json of the stages before one."""
    return {one.name: asdict(run.done(one)) for one in stages if one.name in stage.after}


def read_report(run: Run) -> report.Inputs:
    records, trained = _records(run, REPORT, STAGES), run.done(TRAIN)
    seconds = {name: record["seconds"] for name, record in records.items()}
    seconds["train"] = trained.facts.seconds_in_all(trained.seconds)
    answers = run.folder / measuring.FOLDER
    return report.Inputs(prepared(run), records, machine(), versions(), seconds, answers)


DATA = Stage("data", (), Data, read_data, data_digests.of_one, data.make)
BASELINES = Stage(
    "baselines", ("data",), Measured, read_baselines, baselines.digests, baselines.make, check=check_training
)
TRAIN = Stage(
    "train",
    ("data",),
    Trained,
    read_train,
    lambda inputs: dict(inputs.decides),
    train.make,
    outlives_version=True,
)
MERGE = Stage("merge", ("data", "train"), merge.Merged, read_merge, merge.digests, merge.make)
BUILD = Stage("build", ("data", "train", "merge"), Built, read_build, build.digests, build.make, ships=True)
VERIFY = Stage("verify", ("data", "build"), verify.Verified, read_verify, verify.digests, verify.make)
EVALUATE = Stage(
    "evaluate", ("data", "merge", "build", "verify"), Measured, read_evaluate, evaluate.digests, evaluate.make
)
SEAL = Stage("seal", ("data", "build", "evaluate"), Nothing, read_seal, seal.digests, seal.make, ships=True)
_ALL = ("data", "baselines", "train", "merge", "build", "verify", "evaluate", "seal")
REPORT = Stage("report", _ALL, Nothing, read_report, report.digests, report.make)
STAGES = (DATA, BASELINES, TRAIN, MERGE, BUILD, VERIFY, EVALUATE, SEAL, REPORT)


def task_folder(folder: Path, task: str) -> Path:
    """The folder of a task's run."""
    return folder / TASKS / task


def task_runs(run: Run) -> dict[str, Run]:
    """The tasks' runs as they are now."""
    return {
        name: Run(one, task_folder(run.folder, name), run.display) for name, one in run.recipe.tasks.items()
    }


def _prepared_tasks(run: Run) -> dict[str, Prepared]:
    return {name: prepared(one) for name, one in task_runs(run).items()}


def _learned(run: Run) -> dict[str, Learned]:
    return {
        name: Learned(prepared(one), one.folder / train_folder(one.recipe), one.done(TRAIN).digests)
        for name, one in task_runs(run).items()
    }


def compared(run: Run) -> dict[str, Run]:
    """The runs to compare with, by task and TOGETHER; none unless the recipe asks for them. A method that never
    merges has no tin of its own."""
    if not run.recipe.router or not run.recipe.router.compare:
        return {}
    own = {name: one for name, one in task_runs(run).items() if methods.by_name(one.recipe.train.method).merges}
    return {**own, TOGETHER: Run(joint(run.recipe, run.folder), run.folder / JOINT, run.display)}


def read_data_of_tasks(run: Run) -> data_digests.TasksInputs:
    forbidden = sum(one.done(DATA).facts.test_outputs_forbidden for one in task_runs(run).values())
    return data_digests.TasksInputs(run.recipe, _base_files(run), _prepared_tasks(run), forbidden)


def read_build_of_base(run: Run) -> build.BaseInputs:
    return build.BaseInputs(prepared(run), list(_prepared_tasks(run).values()))


def read_adapters(run: Run) -> adapters.Inputs:
    built = run.done(BUILD_OF_BASE)
    return adapters.Inputs(prepared(run), _learned(run), unsealed(run, built), by_name(built))


def adapted(run: Run) -> dict[str, Path]:
    """The tins with all adapters, by the preset of their weights."""
    made = run.done(ADAPTERS).facts
    return {weights: run.folder / adapters.FOLDER / name for weights, name in made.tins.items()}


def read_evaluate_of_tasks(run: Run) -> evaluate.TasksInputs:
    made, others = run.done(ADAPTERS), compared(run)
    found = by_name(made)
    every = others.get(TOGETHER)
    return evaluate.TasksInputs(
        data=prepared(run),
        tasks=_prepared_tasks(run),
        tins={weights: Model(path, found[path.name]) for weights, path in adapted(run).items()},
        answers={name: one.folder / measuring.FOLDER for name, one in task_runs(run).items()},
        own={name: one.done(EVALUATE).facts.systems for name, one in others.items() if name != TOGETHER},
        joint=evaluate.Joint(prepared(every), every.folder / measuring.FOLDER) if every else None,
        compared={name: one.done(EVALUATE).inputs_sha256 for name, one in others.items()},
        digests=made.digests,
    )


def read_seal_of_tasks(run: Run) -> seal.TasksInputs:
    built, measured = run.done(BUILD_OF_BASE), run.done(EVALUATE_TASKS).facts
    return seal.TasksInputs(
        data=prepared(run),
        tasks=_learned(run),
        tins=unsealed(run, built),
        adapted=adapted(run),
        ggufs=_ggufs(built),
        digests=run.done(ADAPTERS).digests,
        systems=measured.tasks,
        router=measured.router,
    )


def read_report_of_tasks(run: Run) -> report.TasksInputs:
    others = compared(run)
    tasks = {
        name: report.Task(prepared(one), f"{TASKS}/{name}", name in others, asdict(one.done(TRAIN).facts))
        for name, one in task_runs(run).items()
    }
    records = _records(run, REPORT_TASKS, STAGES_OF_TASKS)
    return report.TasksInputs(prepared(run), records, machine(), versions(), tasks, bool(others))


DATA_TASKS = Stage("data", (), Data, read_data_of_tasks, data_digests.of_tasks, data.make_of_tasks)
BUILD_OF_BASE = Stage(
    "build", ("data",), Built, read_build_of_base, build.digests_of_base, build.make_of_base, ships=True
)
ADAPTERS = Stage(
    "adapters", ("data", "build"), Adapted, read_adapters, adapters.digests, adapters.make, ships=True
)
EVALUATE_TASKS = Stage(
    "evaluate",
    ("data", "verify", "adapters"),
    evaluate.MeasuredTasks,
    read_evaluate_of_tasks,
    evaluate.digests_of_tasks,
    evaluate.make_of_tasks,
)
SEAL_TASKS = Stage(
    "seal",
    ("data", "build", "adapters", "evaluate"),
    Nothing,
    read_seal_of_tasks,
    seal.digests_of_tasks,
    seal.make_of_tasks,
    ships=True,
)
_ALL_OF_TASKS = ("data", "build", "verify", "adapters", "evaluate", "seal")
REPORT_TASKS = Stage(
    "report", _ALL_OF_TASKS, Nothing, read_report_of_tasks, report.digests, report.make_of_tasks
)
STAGES_OF_TASKS = (DATA_TASKS, BUILD_OF_BASE, VERIFY, ADAPTERS, EVALUATE_TASKS, SEAL_TASKS, REPORT_TASKS)
UNMERGED = ("data", "baselines", "train")  # the goals of a method that has no model to build from


def default_folder(recipe: Recipe) -> Path:
    """Another one for an update: its adapter may belong to the run in the first."""
    return Path("runs") / f"{recipe.name}{'-updated' if recipe.update else ''}"


def make(
    recipe: Recipe, folder: Path | None, display: Display, goal: str = "report", log: str | None = None
) -> Run:
    """Brings the stage `goal`, and all it needs, up to date in `folder` (default: runs/<recipe name>).

    log: the kind of files that training also writes its curves to, None for none. Raises InputError, before
    anything runs, for a goal that needs a model where the method trains none."""
    place = folder or default_folder(recipe)
    return (_make_tasks if recipe.tasks else _make_one)(recipe, place, display, goal, log)


def _make_one(recipe: Recipe, folder: Path, display: Display, goal: str, log: str | None) -> Run:
    method = methods.by_name(recipe.train.method)
    if not method.merges and goal not in UNMERGED:
        raise InputError(
            f'{recipe.path}: [train] method "{method.name}" trains {method.what}, which no model can be built '
            "from; `tinsmith make --until train` trains it, and `tinsmith adapters --add` seals it beside its "
            "base, as a recipe with [[task]] does"
        )
    if log is not None:
        logs.check(log)
    update.check_folder(recipe, folder)
    with opened(recipe, folder, display) as run:
        for name in (*map(split_name, SPLITS), pages.JSON, pages.PAGE):  # before a base is fetched
            run.check(run.folder / name)
        run.log = log
        before = run.record(TRAIN)
        if recipe.build.target and goal != DATA.name:
            run.update(STAGES, [DATA.name])
            contents.check_target(prepared(run))
        run.update(STAGES, [goal])
        if log is not None and before is not None and before == run.record(TRAIN):
            display.line("train: --log writes curves while it runs, and it had ended before")
        if goal in (BUILD.name, VERIFY.name, EVALUATE.name):
            built = run.done(BUILD)
            place_unsealed(run, SEAL, "built", by_name(built), list(unsealed(run, built).values()))
        remove_earlier(run, BUILD)
        return run


def help_train(recipe: Recipe, folder: Path | None, display: Display) -> None:
    """Takes part in the training of another process, which alone writes files."""
    if together.called():
        run = Run(recipe, files.resolved(folder or default_folder(recipe)), display)
        train.train(read_train(run), run.folder, run.reporter)


def place_unsealed(
    run: Run, stage: Stage[Any, Nothing], key: str, made: Mapping[str, str], tins: Sequence[Path]
) -> None:
    """Copies unsealed tins to the places of the sealed ones, for a run that ends before the seal stage. made:
    the digests that the stage records under this key."""
    sealed = run.record(stage)
    if sealed is not None and sealed.inputs.get(key) == made and run.is_intact(sealed):
        return
    run.forget(stage)
    found = {Path(name).name: digest for name, digest in made.items()}
    for path in tins:
        target = run.folder / path.name
        if not target.exists() or files.sha256_file(target) != found[path.name]:
            with files.atomic_write(target) as file:
                file.write(files.map_file(path))
    run.note([run.folder / path.name for path in tins])


def remove_earlier(run: Run, built: Stage[Any, Built]) -> None:
    """Removes files that an earlier recipe built or sealed, in other formats or under another name."""
    record = run.record(built)
    run.remove_earlier(set(record.facts.tins.values()) if record else ())


def _make_tasks(recipe: Recipe, folder: Path, display: Display, goal: str, log: str | None) -> Run:
    """Brings each task, then the stage `goal` of the whole, up to date. Only tasks have the stage `train`, and
    `build` ends with the adapters beside the base. All data is prepared before any task trains."""
    if goal == MERGE.name:
        raise InputError(f"{recipe.path}: the adapters of several tasks go beside the base; nothing is merged")
    assert recipe.router  # of a recipe with tasks
    compares = goal in (EVALUATE_TASKS.name, REPORT_TASKS.name) and recipe.router.compare
    with opened(recipe, folder, display) as run:
        if goal != DATA_TASKS.name:
            _make_data(run)
        for name, one in recipe.tasks.items():
            display.line(f"task {name}:")
            merges = compares and methods.by_name(one.train.method).merges
            of_task = goal if merges or goal == DATA.name else TRAIN.name
            make(one, task_folder(run.folder, name), display, of_task, log)
        run.update(STAGES_OF_TASKS, [DATA_TASKS.name])
        if compares:
            display.line("one adapter for all tasks:")
            make(joint(recipe, run.folder), run.folder / JOINT, display, EVALUATE.name, log)
        goals = [ADAPTERS.name, VERIFY.name] if goal == BUILD_OF_BASE.name else [goal]
        run.update(STAGES_OF_TASKS, goals)
        if goal in (BUILD_OF_BASE.name, EVALUATE_TASKS.name):
            made = run.done(ADAPTERS).digests
            place_unsealed(run, SEAL_TASKS, "adapted", made, list(adapted(run).values()))
        remove_earlier(run, BUILD_OF_BASE)
        return run


def _make_data(run: Run) -> None:
    """Prepares the data of all tasks. Raises DataError where a router can't be fitted on it, and InputError
    where the file of all tasks would not fit the target."""
    if not all(one.is_current(DATA) for one in task_runs(run).values()):
        given = list(run.recipe.tasks.values())
        if any(one.data.command for one in given):  # one command may make the files of all
            given = [one for one in given if not checking.lacks_files(one)]
        checking.refuse(given)
    for name, one in run.recipe.tasks.items():
        make(one, task_folder(run.folder, name), run.display, DATA.name)
    run.update(STAGES_OF_TASKS, [DATA_TASKS.name])
    check_router_examples(run)
    if run.recipe.build.target:
        contents.check_target(prepared(run), *planned(run))


def planned(run: Run) -> tuple[dict[str, int], int]:
    """As beside.planned, before the tasks are trained."""
    tasks = {
        name: (one, options(one.recipe, one.counts["train"], made=one.is_augmented))
        for name, one in _prepared_tasks(run).items()
    }
    return beside.planned(prepared(run), tasks)


def check_router_examples(run: Run) -> None:
    """Raises DataError where a task has too few examples for the router to be fitted on."""
    from tinsmith.train.adapters.router import LEAST

    assert run.recipe.router  # of a recipe with tasks
    most = run.recipe.router.examples
    for name, one in _prepared_tasks(run).items():
        if sum(min(most, one.counts[split]) for split in ("train", "validation")) < LEAST:
            raise DataError(
                f"{run.recipe.path}: [router] has too few prompts of the task {name}: it needs {LEAST}; give "
                "the task more training examples"
            )
