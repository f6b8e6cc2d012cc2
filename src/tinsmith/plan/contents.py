"""The contents of a model's file: read from a tin, or predicted for a base in any format without converting
it."""

from __future__ import annotations

import dataclasses
import json
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tinsmith import __version__, _core
from tinsmith.compiler import build, selftest, vision
from tinsmith.compiler.program import Listing, checked, read_program, shape_of
from tinsmith.errors import InputError
from tinsmith.formats import tin
from tinsmith.models import gguf_header
from tinsmith.runtime.adapters import FOLDER as ADAPTER_FOLDER
from tinsmith.spec import Spec, Tensor
from tinsmith.system.files import map_file

# What the runtime reads of a tin; the rest is for people and tools.
WEIGHTS = ("weights.bin", vision.WEIGHTS)
READ = (
    *("program.bin", "tokenizer.bin", "trie.bin", "turns.bin", tin.CONSTRAINT, tin.DRAFT),
    *(vision.PROGRAM, vision.IMAGES, build.MTP_PROGRAM),
)
MASKS = 4  # that firmware keeps of a constraint
_SELFTEST = 256  # its two prompts and digests are a few hundred bytes, of a page that is theirs
_VISION_TEST = 600  # a header, some thirty tokens and a small image


@dataclass(frozen=True)
class Contents:
    """name: of the model; format: its preset, or the format of most weights; program: its ops; encoder, mtp:
    the programs of its vision encoder and of its layer for multi-token prediction, if any; entries: bytes by
    name; file: bytes of the whole file; adapter_rank: the highest of its adapters; constraint: bytes of its
    largest constraint in firmware, 0 if predicted; image_rules: tin_pixels_rules, for image input."""

    name: str
    format: str
    program: Listing
    entries: dict[str, int]
    file: int
    adapter_rank: int = 0
    encoder: Listing | None = None
    constraint: int = 0
    mtp: Listing | None = None
    image_rules: bytes | None = None

    @property
    def weights(self) -> int:
        """Bytes of them, the encoder's too."""
        return sum(self.entries.get(name, 0) for name in WEIGHTS)

    @property
    def tables(self) -> int:
        """Bytes of what the runtime reads beside the weights: program, vocabulary, chat template, constraint,
        draft table, adapters."""
        read = [name for name in self.entries if name in READ or name.startswith(ADAPTER_FOLDER)]
        return sum(self.entries[name] for name in read)


def of_tin(path: Path) -> Contents:
    file = checked(path)
    program = read_program(file.entry("program.bin"))
    manifest = file.manifest
    return Contents(
        str(manifest.get("name") or manifest.get("general", {}).get("name", path.stem)),
        str(manifest.get("weights") or program.main_format),
        program,
        {name: len(file.entry(name)) for name in file.names},
        file.image.nbytes,
        max((facts.get("rank", 0) for facts in manifest.get(tin.ADAPTERS, {}).values()), default=0),
        read_program(file.entry(vision.PROGRAM)) if vision.PROGRAM in file.names else None,
        _constraint_bytes(path, file),
        read_program(file.entry(build.MTP_PROGRAM)) if build.MTP_PROGRAM in file.names else None,
        vision.rules_in(file.entry(vision.IMAGES)) if vision.IMAGES in file.names else None,
    )


def _constraint_bytes(path: Path, file: tin.Tin) -> int:
    found = [name for name in file.names if name == tin.CONSTRAINT or name.endswith(f"/{tin.CONSTRAINT}")]
    if not found:
        return 0
    core = _core.Model(map_file(path))
    return max(_core.Constraint(core, file.entry(name), masks=MASKS).size() for name in found)


class Base:
    """A base model whose files are predicted in any format. What has to do with text is compiled once."""

    def __init__(
        self,
        spec: Spec,
        name: str = "",
        context: int = 0,
        entries: dict[str, int] | None = None,
        adapter_rank: int = 0,
    ) -> None:
        """context: tokens that a session holds at most, 0 for the base's own; entries: bytes of further ones;
        adapter_rank: the highest of the adapters among them."""
        self.spec = spec.with_context(context)
        self.adapter_rank = adapter_rank
        self.name = name or str(spec.general.get("name", ""))
        self.more = dict(entries or {})

    def contents(self, preset: str | None = None) -> Contents:
        """Of its tin in a preset's formats; None: in those that it has."""
        spec = self.spec if preset is None else in_formats(self.spec, preset)
        programs = build.programs_of(spec)
        listing, *further = map(read_program, programs.values())
        entries = {name: len(data) for name, data in programs.items()}
        entries |= {"weights.bin": listing.weight_bytes, **self._text}
        packed = {
            role
            for role, held in listing.tensors.items()
            if role in spec.tensors and held[:3] == shape_of(spec.tensors[role])
        }
        encoder = rules = None
        if spec.vision is not None:
            _, program = vision.compile_vision(spec.vision)
            encoder = read_program(program)
            entries |= {vision.PROGRAM: len(program), vision.WEIGHTS: encoder.weight_bytes}
            images = vision.images_entries(spec.vision, spec.tokenizer)
            entries |= {name: len(data) for name, data in images.items()} | {selftest.VISION_TEST: _VISION_TEST}
            rules = vision.rules_in(images[vision.IMAGES]) if images else None
        entries |= {"selftest.bin": _SELFTEST, build.GGUF_HEADER: len(gguf_header(spec, packed)), **self.more}
        size = _file_bytes(spec, entries)
        kind, rank = preset or listing.main_format, self.adapter_rank
        layer = further[0] if further else None
        return Contents(self.name, kind, listing, entries, size, rank, encoder, 0, layer, rules)

    @cached_property
    def _text(self) -> dict[str, int]:
        template, name = self.spec.chat_template, str(self.spec.general.get("name", ""))
        entries, _ = build.text_entries(self.spec.tokenizer, template, name)
        return {entry: len(data) for entry, data in entries if isinstance(data, bytes)}


def in_formats(spec: Spec, preset: str) -> Spec:
    """The base as it would be in a preset's formats; converted tensors are all zeros, which take no memory."""
    from tinsmith import quant
    from tinsmith.quant.vision import formats_of

    made = dataclasses.replace(spec, tensors=_zeros(spec.tensors, quant.encoder(spec, preset).formats))
    if spec.vision is None:
        return made
    tensors = _zeros(spec.vision.tensors, formats_of(spec.vision, preset))
    return dataclasses.replace(made, vision=dataclasses.replace(spec.vision, tensors=tensors))


def _zeros(tensors: dict[str, Tensor], chosen: dict[str, str]) -> dict[str, Tensor]:
    from tinsmith.formats.weights import weight_format

    others = {role: tensors[role] for role, name in chosen.items() if name != tensors[role].format}
    sizes = {role: weight_format(chosen[role]).size(one.rows * one.inputs) for role, one in others.items()}
    zeros = memoryview(mmap.mmap(-1, max(sizes.values(), default=1)))
    return tensors | {
        role: dataclasses.replace(one, format=chosen[role], data=zeros[: sizes[role]])
        for role, one in others.items()
    }


def _file_bytes(spec: Spec, entries: dict[str, int]) -> int:
    """Of a tin with these entries: each begins on a page, after a header; the manifest lists them all."""
    position = 0
    for size in entries.values():
        position = -(-(position + 128) // tin.PAGE) * tin.PAGE + size
    listing = {name: {"bytes": size, "sha256": "0" * 64} for name, size in entries.items()}
    facts: dict[str, Any] = {
        "entries": listing,
        "general": spec.general,
        "hyper": dataclasses.asdict(spec.hyper),
        "tinsmith": __version__,
    }
    manifest = len(json.dumps(facts, indent=1)) + 512
    return -(-(position + 128) // tin.PAGE) * tin.PAGE + manifest + 128 * len(entries)


def of(path: Path, preset: str | None = None, *, mtp: bool = False) -> Contents:
    """Of a tin, or of what a GGUF file or a folder would become.

    preset: None for the formats that the file has; a tin has no other. mtp: as for models.load. Raises
    InputError for a format that is asked for of a tin, and what models.load raises.
    """
    from tinsmith import models

    if path.is_file() and path.suffix == ".tin":
        contents = of_tin(path)
        if preset is not None and preset != contents.format:
            raise InputError(f"{path}: a tin keeps its format {contents.format}; plan its GGUF for {preset}")
        if mtp and contents.mtp is None:
            raise InputError(f"{path}: this tin has no multi-token prediction layer; leave out mtp")
        return contents
    return Base(models.load(path, mtp=mtp), path.stem).contents(preset)
