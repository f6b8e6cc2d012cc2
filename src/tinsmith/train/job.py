"""What a training run is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.train.options import TrainOptions
from tinsmith.train.sequences import Encode, Tokenization, TokenSequence


@dataclass(frozen=True)
class Job:
    """spec: the base, or a new model; encode: text to its token ids, special tokens recognized; variants: made
    examples, of which the epochs take turns; texts: plain ones, for the methods that learn from these;
    limit: tokens that the model can see, None for as many as the options allow; is_new: the weights are random.
    """

    spec: Spec
    examples: Sequence[Example]
    validation: Sequence[Example]
    options: TrainOptions
    out_dir: Path
    encode: Encode
    variants: Sequence[Sequence[Example]] = ()
    texts: Sequence[str] = ()
    limit: int | None = None
    is_new: bool = False

    def check(self) -> None:
        if not self.examples or not self.validation:
            raise InputError("training needs at least one training example and one validation example")

    @property
    def max_length(self) -> int:
        return self.options.max_length if self.limit is None else min(self.options.max_length, self.limit)

    def tokenization(self) -> Tokenization:
        named = "max_length" if self.max_length == self.options.max_length else "context"
        options = self.options
        return Tokenization(self.spec, self.encode, options.task, options.system, self.max_length, named)

    def digest(self, *parts: Sequence[TokenSequence]) -> str:
        """Of all that decides how the run goes: the model, the options, and the sequences that it learns
        from."""
        digest = hashlib.sha256(json.dumps(asdict(self.options), sort_keys=True).encode())
        for part in parts:
            digest.update(json.dumps([[sequence.prompt, sequence.answer] for sequence in part]).encode())
        for role, tensor in sorted(self.spec.tensors.items()):
            digest.update(f"{role} {tensor.format} {tensor.rows} {tensor.inputs}".encode())
            digest.update(tensor.data)
        return digest.hexdigest()
