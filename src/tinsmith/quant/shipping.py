"""A model's files for devices: a GGUF and a tin in each weight format, and the proof that both compute the
same."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import __version__, hub
from tinsmith.chat import chat_template
from tinsmith.errors import FormatError, InputError
from tinsmith.formats.model_files import model_digest
from tinsmith.formats.sbom import Bill, Source
from tinsmith.formats.tin import BILL, Tin
from tinsmith.formats.weights import in_format
from tinsmith.system import files
from tinsmith.system.progress import Display, transfer

if TYPE_CHECKING:
    from tinsmith.quant.model import Encoder, Feedback
    from tinsmith.quant.presets import Mix
    from tinsmith.spec import Buffer, Spec, Tensor

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Weights:
    """name: a preset's, or the users' name of `mix`. importance, feedback: as for quant.encoder."""

    name: str
    mix: Mix | None = None
    importance: Mapping[str, Buffer] | None = None
    feedback: Feedback | None = None

    @property
    def formats(self) -> str | Mix:
        return self.mix or self.name


@dataclass(frozen=True)
class Extra:
    """Contents of a tin beside the model: more entries by name, facts of its manifest, and the bill of
    materials, which `itemized` completes for each tin."""

    entries: Mapping[str, bytes] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    bill: Bill | None = None


def prepared(spec: Spec, name: str, context: int) -> Spec:
    """The model to build: with its name, and sessions of at most `context` tokens; 0 for the base's context.
    Raises InputError for a longer context than the base's, and what chat_template.check raises."""
    chat_template.check(spec, name)
    return dataclasses.replace(spec.with_context(context), general={**spec.general, "name": name})


def with_kv(spec: Spec, kv: str | None, where: str) -> Spec:
    """With the vision model's keys and values "f16" or "q8"; None chooses by its weights. Raises InputError,
    prefixed with `where`, for a model without a vision model."""
    if kv is None:
        return spec
    if spec.vision is None:
        raise InputError(f"{where} is for a vision model, and this model has none; leave it out")
    return dataclasses.replace(spec, vision=dataclasses.replace(spec.vision, kv=kv))


def build_files(
    spec: Spec,
    folder: Path,
    formats: Iterable[Weights],
    display: Display,
    extra: Extra | None = None,
    *,
    tins: Path | None = None,
) -> dict[str, tuple[Path, Path]]:
    """Builds a GGUF and a tin of a prepared spec in each format: `<name>-q8_0.gguf` and `<name>-q8_0.tin` for
    Q8_0; and `mmproj-<name>-q8_0.gguf` of its vision model. Returns (GGUF, tin) by format. tins: a separate
    folder for the tins."""
    name, built = spec.general["name"], {}
    for note in spec.notes:
        display.line(f"{name}: {note}")
    for weights in formats:
        stem = f"{name}-{weights.name.lower()}"
        gguf, tin = folder / f"{stem}.gguf", (tins or folder) / f"{stem}.tin"
        _build_pair(spec, gguf, tin, weights, display, extra or Extra())
        built[weights.name] = (gguf, tin)
    refused = Tin(files.map_file(tin)).manifest.get("template_refused")
    if refused:
        display.line(f"build: the tins can't chat, but continue raw prompts: {refused}")
    return built


def _build_pair(spec: Spec, gguf: Path, tin: Path, weights: Weights, display: Display, extra: Extra) -> None:
    from tinsmith import compiler
    from tinsmith.models import family

    encode = write_gguf(spec, gguf, weights, display)
    notes = [*spec.notes, *encode.notes]
    predicts = family.by_name(spec.family).predicts(spec.hyper)
    stored = dataclasses.replace(spec, tensors=written(gguf, encode, predicts))
    stored = write_mmproj(stored, gguf, weights)
    facts = {**extra.manifest, "weights": weights.name, **({"notes": notes} if notes else {})}
    entries = dict(extra.entries)
    if extra.bill is not None:
        entries[BILL] = itemized(extra.bill, weights.name, files.sha256_file(gguf), stored).encode()
    total = _bytes(stored.tensors) + (_bytes(stored.vision.tensors) if stored.vision else 0)
    with transfer(display, f"pack {weights.name}", total) as advance:
        compiler.build_tin(
            stored, tin, entries=entries, manifest=facts, advance=advance, file_type=encode.file_type
        )


def written(path: Path, encode: Encoder, mtp: bool) -> dict[str, Tensor]:
    """The tensors of a GGUF that write_gguf made, in the encoder's formats, some of which GGUF lacks. mtp: as
    for models.load."""
    from tinsmith import models

    tensors = models.load(path, mtp=mtp).tensors
    return {role: in_format(tensor, encode.formats[role]) for role, tensor in tensors.items()}


def origin(given: str, path: Path, spec: Spec, name: str) -> tuple[dict[str, Any], Bill]:
    """The origin of an untrained model, for the manifest, and its bill of materials. given: the user's name of
    the model."""
    license = spec.general.get("license")
    local = path.name if Path(given).exists() else given
    digest = model_digest(path)
    source = Source(local, digest, license=license)
    base = {"name": local, "sha256": digest, "license": license}
    return {"base": base, "tinsmith": __version__}, Bill(name, __version__, base=source, license=license)


def itemized(bill: Bill, preset: str, digest: str, spec: Spec) -> Bill:
    """The bill of one tin. digest: of the same model's GGUF."""
    return dataclasses.replace(
        bill, digest=digest, weights=preset, family=spec.family, parameters=spec.parameters
    )


def by_role(spec: Spec, importance: Mapping[str, Buffer]) -> dict[str, Buffer]:
    """An importance matrix by the spec's roles, from one by GGUF names."""
    from tinsmith.models import family

    names = family.names_of(spec)
    return {name.role: importance[name.gguf] for name in names if name.gguf in importance}


def write_gguf(spec: Spec, path: Path, weights: Weights, display: Display, threads: int = 0) -> Encoder:
    """Writes the model in these formats, converted in pieces on all cores. Returns the encoder, and shows its
    notes. threads: as for quant.encoder."""
    from tinsmith import models, quant

    label = weights.mix.name if weights.mix else weights.name
    with transfer(display, label, _bytes(spec.tensors)) as advance:
        encode = quant.encoder(
            spec,
            weights.formats,
            weights.importance,
            threads=threads,
            advance=advance,
            feedback=weights.feedback,
        )
        models.save_gguf(spec, path, encode=encode)
    for note in encode.notes:
        display.line(f"{label}: {note}")
    return encode


def all_files(spec: Spec, built: Mapping[str, tuple[Path, Path]]) -> list[Path]:
    """The files of build_files, vision models included."""
    vision = [mmproj_of(gguf) for gguf, _ in built.values()] if spec.vision else []
    return [file for pair in built.values() for file in pair] + vision


def mmproj_of(gguf: Path) -> Path:
    """The path of the vision model beside a model's file."""
    return gguf.with_name(f"mmproj-{gguf.name}")


def write_mmproj(spec: Spec, gguf: Path, weights: Weights) -> Spec:
    """Writes the vision model in these formats beside the model's file. Returns the spec with these formats."""
    from tinsmith import models
    from tinsmith.quant import vision

    if spec.vision is None:
        return spec
    spec = dataclasses.replace(spec, vision=vision.apply(spec.vision, weights.formats))
    models.save_mmproj(spec, mmproj_of(gguf))
    return spec


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(memoryview(tensor.data).nbytes for tensor in tensors.values())


def licenses(base: Path) -> dict[str, bytes]:
    """The entry with the base model's licence."""
    text = hub.license_text(base)
    return {"LICENSES/base.txt": text} if text else {}


def verify_pair(tin: Path, gguf: Path, prompts: Sequence[Messages]) -> dict[str, Any]:
    """Raises FormatError for a damaged tin, and for one whose logits differ from the GGUF's."""
    Tin(tin).verify()
    ours, theirs = (logits_digest(path, prompts) for path in (tin, gguf))
    if ours != theirs:
        raise FormatError(
            f"{tin}: its logits on {len(prompts)} prompts differ from {gguf.name}'s "
            f"({ours[:12]} and {theirs[:12]}); build both again, and report this if it happens again"
        )
    return {"tin": tin.name, "gguf": gguf.name, "prompts": len(prompts), "logits_sha256": ours}


def logits_digest(path: Path, prompts: Sequence[Messages]) -> str:
    """SHA-256 of the float32 logits of every position of every prompt."""
    import tinsmith

    model = tinsmith.load(path)
    digest = hashlib.sha256()
    for messages in prompts:
        digest.update(model.logits(model.render(messages, generate=False)))
    return digest.hexdigest()
