"""grpo: an adapter that learns from what its own answers are worth, by group relative policy optimization
(Shao et al., DeepSeekMath, arXiv 2402.03300), with the means over tokens of DAPO (Yu et al., arXiv
2503.14476) and Dr. GRPO (Liu et al., arXiv 2503.20783).

A step draws some answers to each of its prompts. An answer's advantage is by how much its reward is above the
mean of its prompt's. Where all have the same reward there is nothing to learn, and the prompt is set aside.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import InputError
from tinsmith.tasks import by_name
from tinsmith.train.batches.sequences import TokenSequence, cut
from tinsmith.train.events import Event, Rolled
from tinsmith.train.methods import Method, dpo
from tinsmith.train.methods.lora import FOLDER, KEYS, AdapterTrainee
from tinsmith.train.options import DAPO, DPO, DR_GRPO
from tinsmith.train.reinforcement.policy import (
    Pair,
    Policy,
    Rollout,
    advantages,
    bits,
    divergences,
    held,
    losses,
)
from tinsmith.train.reinforcement.rewards import VALID
from tinsmith.train.rules import default_policy_rate

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.batches.packing import Packing
    from tinsmith.train.footprint.memory import Demand
    from tinsmith.train.job import Job
    from tinsmith.train.reinforcement.rollouts import Sampler

VALIDATED = 300  # validation examples that are answered
CAP = 2.0  # of the weight that corrects for the sampler (truncated importance sampling, Yao et al., 2025)


class Grpo(Method):
    name = "grpo"
    folder = FOLDER
    what = "an adapter"
    share, unit = "reward", ""
    starts = True
    has_reference = True
    takes_images = False  # rollouts are drawn by tokens alone
    gentle = 1.0  # the rate is low as it is
    passes = 1
    renew = 10  # a step takes its time
    keys: ClassVar[tuple[str, ...]] = (
        *KEYS,
        "reward",
        "rollouts",
        "prompts",
        "iterations",
        "policy_loss",
        "scale_rewards",
        "epsilon",
        "epsilon_high",
        "kl_weight",
        "beta",
        "temperature",
        "constrained",
    )

    def check(self, job: Job) -> None:
        super().check(job)
        if job.options.constrained and job.constraint is None:
            raise InputError("constrained rollouts need a constraint; give one")

    def found(self, value: float) -> str:
        """A mean of rewards, which are any numbers."""
        return f"{self.share} {value:.3f}"

    def trainee(self, job: Job) -> GrpoTrainee:
        return GrpoTrainee(job)


class GrpoTrainee(AdapterTrainee):
    """Its planned batches are of prompts with the right answers, and what a step learns of one is Rollouts.

    asked: by planned sequence, its example; rolled: the latest step's rollouts, which the next step learns
    too where `iterations` says so; begun: the factors that training starts from, where they are a reference;
    seen: sums over choices of the step that is under way."""

    default_rate = staticmethod(default_policy_rate)

    def plan(self, job: Job) -> None:
        self.options, self.allowed = job.options, job.constraint
        self.constraint = job.constraint if job.options.constrained else None
        super().plan(job)
        tokenize = job.tokenization()
        parts = (job.examples, *job.variants)
        self.asked = {one: example for part in parts for example, one in tokenize.fitting(part)}
        self.spec, self.end = job.spec, next(iter(self.asked)).answer[-1]
        self.room = max(16, 2 * max(len(one.answer) for one in self.learned))
        self.judged = list(job.validation[:VALIDATED])
        self.questions = [tokenize.prompt(example) for example in self.judged]
        self.labels = by_name(job.options.task).labels(example.output for example in job.examples)
        if self.allowed and (self.constraint or VALID in self.options.reward):
            self.digest += hashlib.sha256(self.allowed.data).hexdigest()
        # What rewards are given of an example, besides the tokens that are asked.
        given = [asdict(replace(one, where=None)) for one in (*self.asked.values(), *self.judged)]
        self.digest += hashlib.sha256(json.dumps(given, default=str).encode()).hexdigest() + job.reward_digest
        self.rolled: list[Rollout] = []
        self.told: Rolled | None = None
        self.seen: list[tuple[float, float, int]] = []
        self.weights: list[float] = []
        self.begun: dict[str, Tensor] = {}

    def epoch(self, number: int) -> list[list[TokenSequence]]:
        """The lesson's prompts in an order of their own, each batch for as many steps as learn from its
        rollouts."""
        order, size = list(self.lessons[number]), self.options.prompts
        random.Random(f"{self.options.run_seed}/{number}").shuffle(order)
        batches = [order[begin : begin + size] for begin in range(0, len(order), size)]
        return [batch for batch in batches for _ in range(self.options.iterations)]

    def demand(self) -> Demand:
        from tinsmith.train.footprint.memory import Demand

        on_host = self.network.device.type != "cuda"  # where the runtime draws
        self.sampler.take(self.network)
        asked = [one.prompt for one in self.asked]
        count = max(self.options.prompts * self.options.rollouts, len(self.questions))
        longest = max([*asked, *self.questions], key=len)
        drawing = self.sampler.memory([longest] * count) if on_host else 0

        def losses(packing: Packing) -> Tensor:
            """As of answers of which nothing had to come."""
            every = b"\xff" * -(-self.spec.hyper.vocab // 8)
            return self.policy_of(packing, [every] * len(packing.targets) if self.constraint else ()).chosen

        moments, begun = 8, 4 if self.compares else 0
        return Demand(moments + begun, drawing=drawing, losses=losses)

    @cached_property
    def sampler(self) -> Sampler:
        import torch

        from tinsmith.train.reinforcement.rollouts import Sampler

        held = self.constraint is not None
        return Sampler(self.spec, self.room, self.allowed, torch.get_num_threads(), held)

    @property
    def compares(self) -> bool:
        """Whether a step compares with what training started from."""
        return bool(self.options.kl_weight) or self.options.policy_loss == DPO

    def prepare(self, tell: Callable[[Event], None]) -> None:
        from tinsmith.train.reinforcement.rewards import Reward

        sampler = self.sampler

        def allows(text: str) -> bool:
            return sampler.allows(sampler.model.tokenize(text))

        options = self.options
        self.reward = Reward(options.reward, options.task, self.labels, allows if self.allowed else None)
        if self.compares:
            self.begun = {name: one.detach().clone() for name, one in self.parameters().items()}

    def items(self, batch: Sequence[TokenSequence], step: int) -> Sequence[Rollout | Pair]:
        import torch

        self.seen, self.weights = [], []
        if step % self.options.iterations == 0:
            self.rolled = self.drawn(batch, step)
            if self.options.iterations > 1 or self.begun:
                self.network.model.eval()
                with torch.no_grad():
                    self.rolled = [one for part in self.parts(self.rolled) for one in self.measured(part)]
                self.network.model.train()
        if self.options.policy_loss == DPO:
            return [Pair(*pair) for pair in zip(self.rolled[::2], self.rolled[1::2], strict=True)]
        return self.rolled

    def drawn(self, batch: Sequence[TokenSequence], step: int) -> list[Rollout]:
        """Answers to the batch's prompts: those of the prompts whose answers are not all worth the same; for
        pairs, the best and the worst of each."""
        options, sampler = self.options, self.sampler
        sampler.take(self.network)
        chance, count = random.Random(f"{options.run_seed}/rollouts/{step}"), options.rollouts
        prompts = [one.prompt for one in batch for _ in range(count)]
        seeds = [chance.getrandbits(63) for _ in prompts]
        answers = sampler.draw(prompts, self.end, options.temperature, seeds)
        groups = [answers[begin : begin + count] for begin in range(0, len(answers), count)]
        rewards = [
            [self.reward(one.text, self.asked[asked]) for one in group]
            for asked, group in zip(batch, groups, strict=True)
        ]
        mixed = [max(group) > min(group) for group in rewards]
        self.told = Rolled(
            step + 1,
            len(batch),
            len(batch) - sum(mixed),
            sum(max(group) == min(group) == 0 for group in rewards),
            fmean(worth for group in rewards for worth in group),
            fmean(len(one.tokens) for one in answers),
        )
        rolled = []
        worths = advantages(rewards, options.scale_rewards)
        for asked, group, worth, learn in zip(batch, groups, worths, mixed, strict=True):
            own = [
                Rollout(self.sequence(asked.prompt, one.tokens), advantage, one.log_probability)
                for one, advantage in zip(group, worth, strict=True)
                if learn and one.tokens
            ]
            if own and options.policy_loss == DPO:
                own = [pick(own, key=lambda one: one.advantage) for pick in (max, min)]
                own = own if all(one.sequence.learned for one in own) else []
            rolled += [one for one in own if one.sequence.learned]
        return rolled

    def sequence(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> TokenSequence:
        if self.constraint is None:
            return TokenSequence(prompt, answer)
        free = {place for place, _ in self.sampler.choices(prompt, answer)}
        return TokenSequence(prompt, answer, tuple(place for place in range(len(answer)) if place not in free))

    def measured(self, part: Sequence[Rollout]) -> Iterator[Rollout]:
        """With the log-probabilities of their choices, by the network as it is and as it was."""
        old, reference = self.policy(part), None
        if self.begun:
            with self.as_begun():
                reference = self.policy(part)
        for number, one in enumerate(part):
            own = old.owner == number
            then = tuple(reference.chosen[own].tolist()) if reference else ()
            yield replace(one, old=tuple(old.chosen[own].tolist()), reference=then)

    @contextmanager
    def as_begun(self) -> Iterator[None]:
        """Within the block the network has the factors that training started from."""
        parameters = self.parameters()
        latest = {name: one.data for name, one in parameters.items()}
        for name, one in parameters.items():
            one.data = self.begun[name]
        try:
            yield
        finally:
            for name, one in parameters.items():
                one.data = latest[name]

    def policy(self, rollouts: Sequence[Rollout]) -> Policy:
        """At the temperature of the drawing, over the tokens that were allowed."""
        packing = self.network.pack([one.sequence for one in rollouts], self.shared)
        if self.constraint is None:
            return self.policy_of(packing)
        asked = [(one.sequence.prompt, one.sequence.answer) for one in rollouts]
        return self.policy_of(packing, [mask for one in asked for _, mask in self.sampler.choices(*one)])

    def policy_of(self, packing: Packing, masks: Sequence[bytes] = ()) -> Policy:
        """masks: which tokens were allowed, a bit each; none where all were."""
        import torch

        from tinsmith.train.layers.by_rows import by_rows

        def said(rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            logits = self.network.logits(rows) / self.options.temperature
            if masks:
                logits = logits.masked_fill(~bits(masks[part], logits), -torch.inf)
            logs = logits.log_softmax(-1)
            chosen = logs.gather(1, packing.targets[part, None])[:, 0]
            with torch.no_grad():
                entropy = torch.special.entr(logs.exp()).sum(-1)
            return chosen, entropy

        chosen, entropy = by_rows(self.network.answer_states(packing), said)
        return Policy(chosen, entropy, packing.owner)

    def loss(self, batch: Sequence[Any]) -> Tensor:
        import torch

        if self.options.policy_loss == DPO:
            return self.preference(batch)
        options, policy = self.options, self.policy(batch)
        chosen, owner, device = policy.chosen, policy.owner, policy.chosen.device
        old = held(batch, "old", chosen) if options.iterations > 1 else chosen.detach()
        advantage = torch.tensor([one.advantage for one in batch], device=device)
        high = options.epsilon if options.epsilon_high is None else options.epsilon_high
        weight = self.correction(batch, old, owner)
        each = losses(chosen, old, advantage[owner], options.epsilon, high) * weight[owner]
        apart = divergences(chosen, held(batch, "reference", chosen)) if self.begun else torch.zeros_like(each)
        each = each + options.kl_weight * apart
        self.note_of(policy, apart)
        self.weights += weight.tolist()
        if options.policy_loss == DAPO:
            return each.mean()
        sums = each.new_zeros(len(batch)).index_add(0, owner, each)
        if options.policy_loss == DR_GRPO:
            return sums.mean() / self.room
        return (sums / torch.tensor([len(one.sequence.learned) for one in batch], device=device)).mean()

    def preference(self, batch: Sequence[Pair]) -> Tensor:
        """DPO's loss, of the best answers over the worst."""
        rollouts = [one.best for one in batch] + [one.worst for one in batch]
        policy = self.policy(rollouts)
        apart = policy.chosen - held(rollouts, "reference", policy.chosen)
        best, worst = apart.new_zeros(len(rollouts)).index_add(0, policy.owner, apart).view(2, -1)
        self.note_of(policy, divergences(apart, apart.new_zeros(())))
        return dpo.losses(best - worst, self.options.beta).mean()

    def note_of(self, policy: Policy, apart: Tensor) -> None:
        self.seen.append((float(policy.entropy.sum()), float(apart.detach().sum()), len(apart)))

    def correction(self, batch: Sequence[Rollout], old: Tensor, owner: Tensor) -> Tensor:
        """By rollout, how much likelier it is to the network than to the sampler, whose products are rounded
        otherwise; at most CAP. Where a temperature was drawn at, the sampler does not say: 1."""
        import torch

        if self.options.temperature != 1:
            return old.new_ones(len(batch))
        drawn = torch.tensor([one.drawn for one in batch], device=old.device)
        sums = old.new_zeros(len(batch)).index_add(0, owner, old.detach())
        return (sums - drawn).exp().clamp(max=CAP)

    def weight(self, batch: Sequence[Any]) -> float:
        if self.options.policy_loss == DAPO:
            return sum(len(one.sequence.learned) for one in batch)
        return len(batch)

    def rows(self, batch: Sequence[TokenSequence]) -> Sequence[TokenSequence]:
        """As many of a planned batch as go through the network at once."""
        return cut(batch, self.part, self.shared)[0]

    def most(self, batch: Sequence[TokenSequence]) -> Sequence[TokenSequence]:
        return self.rows([one for one in batch for _ in range(self.options.rollouts)])

    def parts(self, batch: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return cut(batch, min(self.part, self.part_tokens or self.part), self.shared) if batch else []

    @property
    def part(self) -> int:
        """Tokens that go through the network at once: what a step draws is not bounded by them."""
        return self.options.batch_tokens

    def watched(self, step: int) -> Rolled | None:
        if self.told is None or not self.seen:
            return self.told and replace(self.told, step=step)
        entropy, divergence = (math.fsum(one[place] for one in self.seen) for place in (0, 1))
        count = sum(one[2] for one in self.seen)
        return replace(
            self.told,
            step=step,
            entropy=entropy / count,
            divergence=divergence / count if self.begun else None,
            weight=math.fsum(self.weights) / len(self.weights) if self.weights else None,
        )

    def examine(self) -> tuple[float, float]:
        """The mean loss of the right answers, and the mean reward of the likeliest ones."""
        loss, _ = super().examine()
        self.sampler.take(self.network)
        answers = self.sampler.draw(self.questions, self.end)
        pairs = zip(answers, self.judged, strict=True)
        return loss, fmean(self.reward(answer.text, example) for answer, example in pairs)

    def state(self) -> dict[str, Tensor]:
        """The rollouts that the next steps learn too."""
        import torch

        rolled = json.dumps([asdict(one) for one in self.rolled if self.options.iterations > 1])
        told = json.dumps(self.told and asdict(self.told))
        return super().state() | {
            name: torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
            for name, text in (("rolled", rolled), ("told", told))
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(tensors)
        rolled, told = (json.loads(bytes(tensors[name].tolist())) for name in ("rolled", "told"))
        self.told = Rolled(**told) if told else None
        self.rolled = [
            Rollout(
                TokenSequence(*(tuple(one["sequence"][name]) for name in ("prompt", "answer", "forced"))),
                one["advantage"],
                one["drawn"],
                tuple(one["old"]),
                tuple(one["reference"]),
            )
            for one in rolled
        ]


method = Grpo()
