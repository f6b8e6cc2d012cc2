"""Rollouts: answers of the current policy, sampled by the runtime.

The base is compiled once, and the adapter under training is swapped in before each batch of answers. A float
base is rounded to Q8_0, whose errors are of the size of torch's bfloat16 products; one in blocks is used as it
is, as torch uses it too.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from tinsmith import _core, quant
from tinsmith.compiler import build_image
from tinsmith.compiler.adapter import compile_adapter
from tinsmith.compiler.program import read_program
from tinsmith.constraint import Constraint
from tinsmith.errors import RuntimeFault
from tinsmith.formats.weights import weight_format
from tinsmith.models.family import by_name
from tinsmith.runtime.adapters import aligned
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.model import Model
from tinsmith.runtime.scheduler import generate_many, scheduler_for
from tinsmith.spec import Spec
from tinsmith.train.adapters.peft_folder import Factors, low_rank
from tinsmith.train.model.network import Network

FORMAT = "Q8_0"
CONCURRENCY = 32


@dataclass(frozen=True)
class Drawn:
    """tokens: with the chosen end token, if the answer ended; log_probability: of its choices under the
    runtime, before temperature."""

    text: str
    tokens: tuple[int, ...]
    log_probability: float


class Sampler:
    """room: most tokens of an answer; constraint: compiled, of the answers; threads: their number."""

    def __init__(self, spec: Spec, room: int, constraint: Constraint | None, threads: int) -> None:
        self.spec, self.room, self.constraint = spec, room, constraint
        image = build_image(_compiled(spec))
        self.model = Model(_core.Model(image), image, threads)
        self.program = read_program(self.model.tin.entry("program.bin"))
        self.names = {name.role: name for name in by_name(spec.family).tensors(spec.hyper)}
        self.walking = threading.Lock()  # an automaton is at one place
        self.walk = None if constraint is None else _core.Constraint(self.model.core, constraint.data)

    def take(self, network: Network) -> None:
        """Samples from the network's current adapter."""
        factors = {}
        for role, module in network.linears.items():
            a, b = (one["default"].weight.detach().cpu().numpy() for one in (module.lora_A, module.lora_B))
            one = Factors(self.names[role], a, b, module.scaling["default"])
            factors[role] = low_rank("the adapter", one)
        data = aligned(compile_adapter(factors, self.program))
        self.applied = ((_core.Adapter(self.model.core, data), 1.0),)

    def draw(
        self, prompts: Sequence[Sequence[int]], end: int, temperature: float = 0.0, seeds: Sequence[int] = ()
    ) -> list[Drawn]:
        """An answer per prompt. end: the token that ends an answer where nothing else could follow, so none was
        chosen; seeds: one a prompt, with a temperature."""
        asked = self._asked(prompts, temperature, seeds or [0] * len(prompts))
        answers = generate_many(self.model, asked, CONCURRENCY)
        return [
            Drawn(
                one.text,
                (*one.token_ids, *((end if one.end is None else one.end,) if one.finish == "stop" else ())),
                one.log_probability or 0.0,
            )
            for one in answers
        ]

    def memory(self, prompts: Sequence[Sequence[int]]) -> int:
        """Bytes that sampling an answer to each of these takes besides the model."""
        asked = self._asked(prompts, 1.0, [0] * len(prompts))
        with closing(scheduler_for(self.model, asked, CONCURRENCY)) as scheduler:
            return scheduler.memory

    def _asked(
        self, prompts: Sequence[Sequence[int]], temperature: float, seeds: Sequence[int]
    ) -> list[TokenRequest]:
        return [
            TokenRequest(
                tokens=prompt,
                applied=self.applied,
                constraint=self.constraint,
                max_tokens=self.room,
                sampling=Sampling(temperature=temperature, seed=seed, confidence=temperature > 0),
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def choices(self, prompt: Sequence[int], answer: Sequence[int]) -> list[tuple[int, bytes]]:
        """The positions of an answer where the constraint left a choice, and the tokens that it allowed there,
        a bit each, least significant first. Any thread may call this."""
        walk, found = self.walk, []
        assert walk is not None
        with self.walking:
            walk.begin()
            for place, token in enumerate(answer):
                if walk.state() == _core.CONSTRAINT_MUST_END:
                    break
                mask = walk.mask(self.room - place)
                is_only = int.from_bytes(mask, "little").bit_count() == 1
                # The runtime cuts forced text as the tokenizer would, though shorter tokens are allowed too.
                run = walk.forced([*prompt, *answer[:place]], self.room - place)
                if not is_only and run[:1] != [token]:
                    found.append((place, mask))
                if place + 1 < len(answer):
                    walk.accept(token)
        return found

    def allows(self, tokens: Sequence[int]) -> bool:
        """Whether the constraint allows a text of these tokens."""
        walk = self.walk
        assert walk is not None
        walk.begin()
        try:
            for token in tokens:
                walk.accept(token)
        except RuntimeFault as fault:
            if fault.status != "TIN_ERR_ARGUMENT":
                raise
            return False
        return walk.state() != _core.CONSTRAINT_OPEN


def _compiled(spec: Spec) -> Spec:
    """Without its chat template: prompts are tokens."""
    matrices = [tensor for tensor in spec.tensors.values() if tensor.rows > 1]
    in_blocks = any(weight_format(tensor.format).block > 1 for tensor in matrices)
    return replace(spec if in_blocks else quant.apply(spec, FORMAT), chat_template=None)
