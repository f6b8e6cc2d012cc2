"""grpo: an adapter learns from rewards of its own answers, by group relative policy optimization (Shao et al.,
DeepSeekMath, arXiv 2402.03300).

A step samples several answers to each of its prompts. An answer's advantage is the distance of its reward from
its group's mean, over the group's spread. A prompt whose answers all have one reward teaches nothing and is
dropped.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from tinsmith.tasks import by_name
from tinsmith.train.batches.sequences import TokenSequence, cut
from tinsmith.train.events import Event, Rolled
from tinsmith.train.methods.lora import KEYS, AdapterMethod, AdapterTrainee
from tinsmith.train.reinforcement.rewards import Reward
from tinsmith.train.rules import default_preference_rate

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.batches.packing import Packing
    from tinsmith.train.footprint.memory import Demand
    from tinsmith.train.job import Job
    from tinsmith.train.reinforcement.rollouts import Sampler

VALIDATED = 300  # validation examples that are answered
CAP = 2.0  # of the weight that corrects for the sampler (truncated importance sampling, Yao et al., 2025)
_TINY = 1e-4  # beside a spread, which may be 0


@dataclass(frozen=True)
class Rollout:
    """sequence: a prompt and its sampled answer, with the tokens that the constraint forced; drawn: its
    log-probability under the sampler."""

    sequence: TokenSequence
    advantage: float
    drawn: float

    def __len__(self) -> int:
        return len(self.sequence)


class Policy(NamedTuple):
    """A network's probabilities of rollouts' choices, in order. chosen, entropy [choices]; owner [choices]: the
    number of the rollout."""

    chosen: Tensor
    entropy: Tensor
    owner: Tensor


def advantages(rewards: Sequence[Sequence[float]]) -> list[list[float]]:
    """By group, each reward's distance from the group's mean, over the group's spread."""
    found = []
    for group in rewards:
        mean = fmean(group)
        variance = sum((reward - mean) ** 2 for reward in group) / max(1, len(group) - 1)
        found.append([(reward - mean) / (math.sqrt(variance) + _TINY) for reward in group])
    return found


def bits(masks: Sequence[bytes], like: Tensor) -> Tensor:
    """[choices, vocabulary], from masks with a bit a token."""
    import numpy as np
    import torch

    rows = np.unpackbits(
        np.frombuffer(b"".join(masks), np.uint8).reshape(len(masks), -1), axis=1, bitorder="little"
    )
    return torch.from_numpy(rows[:, : like.shape[1]].astype(bool)).to(like.device)


class GrpoTrainee(AdapterTrainee):
    """Plans batches of prompts with the right answers; a step learns from their Rollouts. asked: by planned
    sequence, its example; seen: sums over the current step's choices."""

    default_rate = staticmethod(default_preference_rate)

    def plan(self, job: Job) -> None:
        self.options, self.constraint = job.options, job.constraint
        super().plan(job)
        tokenize = job.tokenization()
        parts = (job.examples, *job.variants)
        self.asked = {one: example for part in parts for example, one in tokenize.fitting(part)}
        self.spec, self.end = job.spec, next(iter(self.asked)).answer[-1]
        self.room = max(16, 2 * max(len(one.answer) for one in self.learned))
        self.judged = list(job.validation[:VALIDATED])
        self.questions = [tokenize.prompt(example) for example in self.judged]
        self.labels = by_name(job.options.task).labels(example.output for example in job.examples)
        if self.constraint:
            self.digest += self.constraint.sha256
        # An example's data for rewards, besides the prompt's tokens.
        given = [asdict(replace(one, where=None)) for one in (*self.asked.values(), *self.judged)]
        self.digest += hashlib.sha256(json.dumps(given, default=str).encode()).hexdigest() + job.reward_digest
        self.seen: list[tuple[float, int]] = []
        self.weights: list[float] = []

    def epoch(self, number: int) -> list[list[TokenSequence]]:
        """The lesson's prompts, in an order that depends on the epoch."""
        order, size = list(self.lessons[number]), self.options.prompts
        random.Random(f"{self.options.run_seed}/{number}").shuffle(order)
        return [order[begin : begin + size] for begin in range(0, len(order), size)]

    def demand(self) -> Demand:
        from tinsmith.train.footprint.memory import Demand

        on_host = self.network.device.type != "cuda"  # where the runtime samples
        self.sampler.take(self.network)
        asked = [one.prompt for one in self.asked]
        count = max(self.options.prompts * self.options.rollouts, len(self.questions))
        longest = max([*asked, *self.questions], key=len)
        drawing = self.sampler.memory([longest] * count) if on_host else 0

        def losses(packing: Packing) -> Tensor:
            """As for answers without forced tokens."""
            every = b"\xff" * -(-self.spec.hyper.vocab // 8)
            return self.policy_of(packing, [every] * len(packing.targets) if self.constraint else ()).chosen

        return Demand(drawing=drawing, losses=losses)

    @cached_property
    def sampler(self) -> Sampler:
        import torch

        from tinsmith.train.reinforcement.rollouts import Sampler

        return Sampler(self.spec, self.room, self.constraint, torch.get_num_threads())

    def prepare(self, tell: Callable[[Event], None]) -> None:
        sampler = self.sampler

        def allows(text: str) -> bool:
            return sampler.allows(sampler.model.tokenize(text))

        options = self.options
        self.reward = Reward(options.reward, options.task, self.labels, allows if self.constraint else None)

    def items(self, batch: Sequence[TokenSequence], step: int) -> list[Rollout]:
        """Answers to the batch's prompts, of those whose answers differ in reward."""
        self.seen, self.weights = [], []
        options, sampler = self.options, self.sampler
        sampler.take(self.network)
        chance, count = random.Random(f"{options.run_seed}/rollouts/{step}"), options.rollouts
        prompts = [one.prompt for one in batch for _ in range(count)]
        seeds = [chance.getrandbits(63) for _ in prompts]
        answers = sampler.draw(prompts, self.end, 1.0, seeds)
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
        worths = advantages(rewards)
        for asked, group, worth, learn in zip(batch, groups, worths, mixed, strict=True):
            own = [
                Rollout(self.sequence(asked.prompt, one.tokens), advantage, one.log_probability)
                for one, advantage in zip(group, worth, strict=True)
                if learn and one.tokens
            ]
            rolled += [one for one in own if one.sequence.learned]
        return rolled

    def sequence(self, prompt: tuple[int, ...], answer: tuple[int, ...]) -> TokenSequence:
        if self.constraint is None:
            return TokenSequence(prompt, answer)
        free = {place for place, _ in self.sampler.choices(prompt, answer)}
        return TokenSequence(prompt, answer, tuple(place for place in range(len(answer)) if place not in free))

    def policy(self, rollouts: Sequence[Rollout]) -> Policy:
        """Over the allowed tokens."""
        packing = self.network.pack([one.sequence for one in rollouts], self.shared)
        if self.constraint is None:
            return self.policy_of(packing)
        asked = [(one.sequence.prompt, one.sequence.answer) for one in rollouts]
        return self.policy_of(packing, [mask for one in asked for _, mask in self.sampler.choices(*one)])

    def policy_of(self, packing: Packing, masks: Sequence[bytes] = ()) -> Policy:
        """masks: the allowed tokens, a bit each; none if all were."""
        import torch

        from tinsmith.train.layers.by_rows import by_rows

        def said(rows: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            logits = self.network.logits(rows)
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
        """The mean over answers of the means over their choices.

        A step learns from its rollouts once, so the ratio to the sampling policy is 1, and its gradient is that
        of the log-probability.
        """
        policy = self.policy(batch)
        chosen, owner = policy.chosen, policy.owner
        advantage = chosen.new_tensor([one.advantage for one in batch])
        weight = self.correction(batch, policy)
        each = -(chosen - chosen.detach()).exp() * (advantage * weight)[owner]
        self.seen.append((float(policy.entropy.sum()), len(each)))
        self.weights += weight.tolist()
        sums = each.new_zeros(len(batch)).index_add(0, owner, each)
        return (sums / sums.new_tensor([len(one.sequence.learned) for one in batch])).mean()

    def correction(self, batch: Sequence[Rollout], policy: Policy) -> Tensor:
        """By rollout, its probability under the network over that of the sampler, whose products round
        differently; at most CAP."""
        drawn = policy.chosen.new_tensor([one.drawn for one in batch])
        sums = policy.chosen.new_zeros(len(batch)).index_add(0, policy.owner, policy.chosen.detach())
        return (sums - drawn).exp().clamp(max=CAP)

    def weight(self, batch: Sequence[Any]) -> float:
        return len(batch)

    def rows(self, batch: Sequence[TokenSequence]) -> Sequence[TokenSequence]:
        """The part of a planned batch that goes through the network at once."""
        return cut(batch, self.part, self.shared)[0]

    def most(self, batch: Sequence[TokenSequence]) -> Sequence[TokenSequence]:
        return self.rows([one for one in batch for _ in range(self.options.rollouts)])

    def parts(self, batch: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return cut(batch, min(self.part, self.part_tokens or self.part), self.shared) if batch else []

    @property
    def part(self) -> int:
        """Tokens that go through the network at once: a step's rollouts have no bound."""
        return self.options.batch_tokens

    def watched(self, step: int) -> Rolled:
        if not self.seen:
            return self.told
        entropy, count = (math.fsum(one[place] for one in self.seen) for place in (0, 1))
        weight = math.fsum(self.weights) / len(self.weights) if self.weights else None
        return replace(self.told, entropy=entropy / count, weight=weight)

    def examine(self) -> tuple[float, float]:
        """The mean loss of the right answers, and the mean reward of the most likely ones."""
        loss, _ = super().examine()
        self.sampler.take(self.network)
        answers = self.sampler.draw(self.questions, self.end)
        pairs = zip(answers, self.judged, strict=True)
        return loss, fmean(self.reward(answer.text, example) for answer, example in pairs)


method = AdapterMethod(
    "grpo",
    GrpoTrainee,
    keys=(*KEYS, "reward", "rollouts", "prompts"),
    share="reward",
    unit="",
    one_adapter=True,
    takes_images=False,  # rollouts are sampled from tokens alone
    gentle=1.0,  # the rate is low as it is
    passes=1,
    renew=10,  # a step takes its time
)
