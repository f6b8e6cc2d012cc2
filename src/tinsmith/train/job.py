"""A training run's inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.spec import Spec
from tinsmith.train.adapters import peft_folder
from tinsmith.train.batches.sequences import BASE_CONTEXT, Encode, Tokenization, TokenSequence, text_sequences
from tinsmith.train.options import TrainOptions

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.quant.model import Feedback
    from tinsmith.runtime.model import Model


@dataclass(frozen=True)
class Job:
    """spec: the base, or a new model; encode: text to token ids, special tokens recognized; variants: augmented
    examples, one set per epoch in turn, each example's original numbered by data.augment.origin; texts: plain
    text, for methods that learn it; preferences: pairs or rated outputs; validation_preferences: empty to hold
    some out; teacher: path of the model to distill; kept_dir: of several jobs, for what is computed once; None
    for out_dir; is_new: whether weights are random; feedback: as in quant.encoder, if options.qat uses it;
    feedback_of: digest of the text behind it; start: folder of the adapter to continue; base_sha256: of the
    base's files, empty if unknown; known: examples that the adapter has learned, for replay; constraint: of
    answers; reward_digest: of the files with the functions in options.reward; context: tokens of a session with
    the built model, 0 for the base's; runtime: the base in it, which training is compared with; method: its
    name."""

    spec: Spec
    examples: Sequence[Example]
    validation: Sequence[Example]
    options: TrainOptions
    out_dir: Path
    encode: Encode
    variants: Sequence[Sequence[Example]] = ()
    texts: Sequence[str] = ()
    preferences: Sequence[Preference] = ()
    validation_preferences: Sequence[Preference] = ()
    teacher: Path | None = None
    kept_dir: Path | None = None
    is_new: bool = False
    feedback: Feedback | None = None
    feedback_of: str = ""
    start: Path | None = None
    base_sha256: str = ""
    known: Sequence[Example] = ()
    constraint: Constraint | None = None
    reward_digest: str = ""
    context: int = 0
    runtime: Model | None = None
    method: str = ""

    @property
    def kept(self) -> Path:
        return self.kept_dir or self.out_dir

    @property
    def max_length(self) -> int:
        """Of a sequence, in tokens; no longer than a new model's context."""
        longest = self.options.max_length
        return min(longest, self.spec.hyper.context) if self.is_new else longest

    def tokenization(self) -> Tokenization:
        options, longest = self.options, self.max_length
        named = "max_length" if longest == options.max_length else "context"
        room = self.context or self.spec.hyper.context
        if 0 < room < longest:  # the built file takes no longer prompts
            longest, named = room, "[build] context" if self.context else BASE_CONTEXT
        return Tokenization(self.spec, self.encode, options.task, options.system, longest, named)

    def text_sequences(self) -> list[TokenSequence]:
        return text_sequences(self.texts, self.encode, self.spec.tokenizer, self.max_length)

    def digest(self, *parts: Sequence[TokenSequence]) -> str:
        """Of everything that decides the run: method, model, options and training sequences."""
        options = json.dumps(asdict(self.options), sort_keys=True)
        return self.base_digest(self.method + options + self.feedback_of, *parts)

    def base_digest(self, more: str, *parts: Sequence[TokenSequence]) -> str:
        """Of the initial model, `more` and the given sequences."""
        digest = hashlib.sha256(more.encode())
        for part in parts:
            rows = [[one.prompt, one.answer, *([one.forced] if one.forced else ())] for one in part]
            digest.update(json.dumps(rows).encode())
            shown = [image.identity for one in part for image in one.images]
            digest.update(json.dumps(shown).encode() if shown else b"")
        for tensors in (self.spec.tensors, self.spec.vision.tensors if self.spec.vision else {}):
            for role, tensor in sorted(tensors.items()):
                digest.update(f"{role} {tensor.format} {tensor.rows} {tensor.inputs}".encode())
                digest.update(tensor.data)
        if self.start:
            digest.update(peft_folder.digest_of(self.start).encode())
        return digest.hexdigest()
