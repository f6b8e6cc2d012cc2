"""The stages that make and prove the files a device gets: build, and verify."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import __version__, files, hub
from tinsmith.errors import FormatError, InputError
from tinsmith.formats.sbom import Bill, Source
from tinsmith.formats.tin import BILL, CONSTRAINT, RECIPE
from tinsmith.pipeline import auto as fitting
from tinsmith.pipeline import data as dataset
from tinsmith.pipeline.recipe import AUTO
from tinsmith.pipeline.run import Made, Run
from tinsmith.progress import Display, transfer

if TYPE_CHECKING:
    from tinsmith.models.spec import Buffer, Spec
    from tinsmith.quant.model import Feedback
    from tinsmith.quant.presets import Mix
    from tinsmith.targets import Target

CHECK_PROMPTS = 8
MEASURED = 4096  # bytes that metrics add to a bill of materials, at most


def check_target(run: Run) -> None:
    """Raises InputError where what the recipe builds would not fit its targets: before anything is trained,
    since the base says how large all of it will be."""
    from tinsmith import models
    from tinsmith.plan import fit
    from tinsmith.plan.contents import Base

    recipe = run.recipe
    spec = models.load(run.facts("data")["base"]["path"])
    context = context_of(run, spec)
    sizes = {name: len(data) for name, data in entries(run).items()}
    sizes |= {BILL: len(bill(run).encode()) + MEASURED, RECIPE: recipe.path.stat().st_size}
    fit.check(Base(spec, recipe.name, context, sizes), recipe.build.formats, context, devices(run))


def room(run: Run, spec: Spec) -> int | None:
    """Bytes that the matrices of AUTO may take in the recipe's targets."""
    from tinsmith.plan import fit
    from tinsmith.plan.contents import Base

    context = context_of(run, spec)
    sizes = {name: len(data) for name, data in entries(run).items()}
    return fit.room(Base(spec, run.recipe.name, context, sizes), context, devices(run))


def devices(run: Run) -> list[Target]:
    from tinsmith import targets

    return [targets.find(name, run.recipe.path.parent) for name in run.recipe.build.target]


def context_of(run: Run, spec: Spec) -> int:
    """The tokens of a session: the recipe's, or else the least of its targets' defaults."""
    from tinsmith.plan import fit

    return fit.context_for(spec, devices(run), run.recipe.build.context)


def build_inputs(run: Run) -> dict[str, Any]:
    licenses = run.digests("data").get("data/LICENSES.txt")
    base_license = hub.license_text(Path(run.facts("data")["base"]["path"]))
    return {
        "merged": run.digests("merge"),
        "importance": run.digests("train")[f"{trained(run).name}/importance.safetensors"],
        "build": dataclasses.asdict(run.recipe.build),
        **calibration_inputs(run),
        "name": run.recipe.name,
        "licenses": licenses,
        "base_license": hashlib.sha256(base_license).hexdigest() if base_license else None,
        "constraint": run.digests("data").get("data/answer.bin"),
        "recipe": run.recipe.model_digest,
    }


def calibration_inputs(run: Run) -> dict[str, Any]:
    """What AUTO is measured on."""
    recipe = run.recipe
    if AUTO not in recipe.build.formats:
        return {}
    stated = recipe.build.calibration
    text = files.sha256_file(recipe.resolve(stated)) if stated else run.digests("data")["data/train.jsonl"]
    return {"calibration": text, "validation": run.digests("data")["data/validation.jsonl"]}


def build(run: Run) -> Made:
    """A GGUF and a tin in each format of the recipe, from the merged float model."""
    from tinsmith import models
    from tinsmith.train import importance

    recipe = run.recipe
    spec = models.load(run.folder / "merged")
    found: list[fitting.Chosen] = []

    def choose(spec: Spec) -> fitting.Chosen:
        found.append(fitting.of_run(run, spec))
        return found[-1]

    built = build_files(
        spec,
        run.folder,
        recipe.name,
        recipe.build.formats,
        context_of(run, spec),
        run.display,
        entries(run),
        manifest(run),
        importance.load(trained(run)),
        choose,
        bill(run),
    )
    return Made(
        [path for pair in built.values() for path in pair],
        {
            "ggufs": {weights: gguf.name for weights, (gguf, _) in built.items()},
            "tins": {weights: tin.name for weights, (_, tin) in built.items()},
            **({"front": found[0].front} if found else {}),
        },
    )


def trained(run: Run) -> Path:
    """What the train stage made: an adapter's folder, or a whole model's."""
    return run.folder / ("trained" if run.recipe.scratch else "adapter")


def manifest(run: Run) -> dict[str, Any]:
    """What a tin says of its origin; the weight format is added to each."""
    base = run.facts("data")["base"]
    constraint = run.facts("data").get("constraint")
    return {
        "name": run.recipe.name,
        **({"base": {key: base[key] for key in ("name", "sha256", "license")}} if run.recipe.base else {}),
        "data": data_digests(run),
        "merged": run.facts("merge")["sha256"],
        "recipe": run.recipe.model_digest,
        "tinsmith": __version__,
        **({"constraint": constraint} if constraint else {}),
    }


def entries(run: Run) -> dict[str, bytes]:
    """The licences that base and data came with, and the compiled constraint."""
    found = licenses(Path(run.facts("data")["base"]["path"]))
    if run.recipe.data.licenses:
        found["LICENSES/data.txt"] = (run.folder / "data" / "LICENSES.txt").read_bytes()
    if run.facts("data").get("constraint"):
        found[CONSTRAINT] = (run.folder / "data" / "answer.bin").read_bytes()
    return found


def licenses(base: Path) -> dict[str, bytes]:
    text = hub.license_text(base)
    return {"LICENSES/base.txt": text} if text else {}


def bill(run: Run) -> Bill:
    """The bill of materials, but for what differs from file to file."""
    name, base = run.recipe.name, run.facts("data")["base"]
    return Bill(
        name,
        __version__,
        base=Source(base["name"], base["sha256"], license=base["license"]) if run.recipe.base else None,
        data=tuple(Source(f"{name}-{split}", digest) for split, digest in data_digests(run).items()),
        license=base["license"],
    )


def data_digests(run: Run) -> dict[str, str]:
    """Of what the model was made from: the test set is not."""
    digests = run.digests("data")
    found = {split: digests[f"data/{split}.jsonl"] for split in ("train", "validation")}
    text = digests.get(f"data/{dataset.TEXT}")
    return {**found, "text": text} if text else found


def build_files(
    spec: Spec,
    folder: Path,
    name: str,
    formats: Sequence[str],
    context: int,
    display: Display,
    entries: dict[str, bytes] | None = None,
    manifest: dict[str, Any] | None = None,
    importance: Mapping[str, Buffer] | None = None,
    choose: fitting.Choose | None = None,
    bill: Bill | None = None,
) -> dict[str, tuple[Path, Path]]:
    """A GGUF and a tin of `spec` in each preset: `<name>-q8_0.gguf` and `<name>-q8_0.tin` for Q8_0.

    context: tokens that a session holds at most, or 0 for the base's own; importance: as quant.encoder takes
    it; choose: what gives the formats of AUTO; bill: the bill of materials, which each tin completes.
    """
    from tinsmith import models
    from tinsmith.formats.tin import Tin
    from tinsmith.models import chat_template

    chat_template.check(spec, name)
    if context > spec.hyper.context:
        raise InputError(
            f"context {context} is longer than the base's {spec.hyper.context} tokens; give at most that, or 0"
        )
    if context:
        spec = dataclasses.replace(spec, hyper=dataclasses.replace(spec.hyper, context=context))
    spec = dataclasses.replace(spec, general={**spec.general, "name": name})
    for note in spec.notes:
        display.line(f"{name}: {note}")
    built = {}
    for preset in formats:
        stem = f"{name}-{preset.lower()}"
        gguf, tin = folder / f"{stem}.gguf", folder / f"{stem}.tin"
        formats_of: str | Mix = preset
        feedback = None
        if preset == AUTO:
            assert choose is not None
            chosen = choose(spec)
            formats_of, feedback = chosen.mix, chosen.feedback
        weights = None if feedback else importance
        notes = [*spec.notes, *write_gguf(spec, gguf, formats_of, display, weights, feedback=feedback)]
        stored = dataclasses.replace(spec, tensors=models.load(gguf).tensors)
        facts = {**(manifest or {}), "weights": preset, **({"notes": notes} if notes else {})}
        extra = dict(entries or {})
        if bill is not None:
            extra[BILL] = itemized(bill, preset, files.sha256_file(gguf), stored).encode()
        pack(stored, tin, preset, display, extra, facts)
        built[preset] = (gguf, tin)
    refused = Tin(files.map_file(tin)).manifest.get("template_refused")
    if refused:
        display.line(f"build: the tins can't chat, but continue raw prompts: {refused}")
    return built


def origin(given: str, path: Path, spec: Spec, name: str) -> tuple[dict[str, Any], Bill]:
    """What the manifest says of where a model that needs no training comes from, and its bill of materials.

    given: how the user named it.
    """
    license = spec.general.get("license")
    local = path.name if Path(given).exists() else given
    digest = dataset.base_digest(path)
    source = Source(local, digest, license=license)
    base = {"name": local, "sha256": digest, "license": license}
    return {"base": base, "tinsmith": __version__}, Bill(name, __version__, base=source, license=license)


def itemized(bill: Bill, preset: str, digest: str, spec: Spec) -> Bill:
    """The bill of one tin. digest: of the GGUF file that is in it."""
    return dataclasses.replace(
        bill, digest=digest, weights=preset, family=spec.family, parameters=spec.parameters
    )


def by_role(spec: Spec, importance: Mapping[str, Buffer]) -> dict[str, Buffer]:
    """An importance matrix, which goes by GGUF's names, by the spec's roles."""
    from tinsmith.models import family

    names = family.by_name(spec.family).tensors(spec.hyper)
    return {name.role: importance[name.gguf] for name in names if name.gguf in importance}


def write_gguf(
    spec: Spec,
    path: Path,
    preset: str | Mix,
    display: Display,
    importance: Mapping[str, Buffer] | None = None,
    threads: int = 0,
    feedback: Feedback | None = None,
) -> list[str]:
    """The model in a preset's formats, converted piece by piece on all cores; what was chosen otherwise than by
    its name, a line each, also shown."""
    from tinsmith import models, quant

    label = preset if isinstance(preset, str) else preset.name
    with transfer(display, label, _bytes(spec)) as advance:
        encode = quant.encoder(spec, preset, importance, threads=threads, advance=advance, feedback=feedback)
        models.save_gguf(spec, path, encode=encode)
    for note in encode.notes:
        display.line(f"{label}: {note}")
    return list(encode.notes)


def pack(
    spec: Spec, path: Path, preset: str, display: Display, entries: dict[str, bytes], facts: dict[str, Any]
) -> None:
    from tinsmith import compiler

    with transfer(display, f"pack {preset}", _bytes(spec)) as advance:
        compiler.build_tin(spec, path, entries=entries, manifest=facts, advance=advance)


def _bytes(spec: Spec) -> int:
    return sum(memoryview(tensor.data).nbytes for tensor in spec.tensors.values())


def verify_inputs(run: Run) -> dict[str, Any]:
    return {"built": run.digests("build"), "prompts": run.digests("data")["data/validation.jsonl"]}


def verify(run: Run) -> Made:
    """Loads every built file with the runtime that ships, and holds each tin to its manifest and to its GGUF.

    The same weights must give the same logits bit for bit, whichever file they come from.
    """
    prompts = check_prompts(run)
    checks: dict[str, Any] = {}
    with run.display.bar("verify", len(run.recipe.build.formats)) as bar:
        for done, (weights, tin) in enumerate(run.facts("build")["tins"].items()):
            bar.update(done, weights)
            gguf = run.facts("build")["ggufs"][weights]
            checks[weights] = verify_pair(run.folder / tin, run.folder / gguf, prompts)
    path = run.folder / "verify.json"
    files.write_text(path, json.dumps(checks, indent=2) + "\n")
    return Made([path], {"checks": checks})


def verify_pair(tin: Path, gguf: Path, prompts: Sequence[list[dict[str, str]]]) -> dict[str, Any]:
    """Raises FormatError when the tin is damaged, or does not compute what the GGUF does."""
    from tinsmith.formats.tin import Tin

    Tin(tin).verify()
    ours, theirs = (logits_digest(path, prompts) for path in (tin, gguf))
    if ours != theirs:
        raise FormatError(
            f"{tin}: its logits are not those of {gguf.name} on the same {len(prompts)} prompts "
            f"({ours[:12]} and {theirs[:12]}); build both again, and report this if it stays"
        )
    return {"tin": tin.name, "gguf": gguf.name, "prompts": len(prompts), "logits_sha256": ours}


def logits_digest(path: Path, prompts: Sequence[list[dict[str, str]]]) -> str:
    """SHA-256 of the float32 logits of every position of every prompt."""
    import tinsmith

    model = tinsmith.load(path)
    digest = hashlib.sha256()
    for messages in prompts:
        digest.update(model.logits(model.render(messages, generate=False)))
    return digest.hexdigest()


def check_prompts(run: Run) -> list[list[dict[str, str]]]:
    """The first validation examples as the model sees them, with their answers."""
    return [
        [*dataset.conversation(run, example), {"role": "assistant", "content": example.output}]
        for example in dataset.examples(run, "validation")[:CHECK_PROMPTS]
    ]
