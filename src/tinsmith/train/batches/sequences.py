"""Examples as token sequences, and the batches of an epoch."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Collection, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tinsmith.chat.chat_template import render, special_tokens, thinking_switch
from tinsmith.chat.packed import control_texts
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError
from tinsmith.runtime.vision import control_of
from tinsmith.spec import Spec, Tokenizer
from tinsmith.tasks import Message, by_name
from tinsmith.train.vision import PromptTile

if TYPE_CHECKING:
    from tinsmith.data.images import ImageSource
    from tinsmith.train.vision.model import ImagePrompts

Encode = Callable[[str], list[int]]
Item = TypeVar("Item", bound=Sized)


BASE_CONTEXT = "the base's context"  # a limit that no key changes


@dataclass(frozen=True)
class TokenSequence:
    """prompt: the model's input; answer: its expected output, with the end token; forced: indices of answer
    tokens that are not learned because the constraint forces them; images: in the prompt; tiles: where the
    images' tokens lie in the prompt, each of which takes one image row."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    forced: tuple[int, ...] = ()
    images: tuple[ImageSource, ...] = ()
    tiles: tuple[PromptTile, ...] = ()

    def __len__(self) -> int:
        """Tokens in the input: the answer's last one is only predicted."""
        return len(self.prompt) + len(self.answer) - 1

    @property
    def learned(self) -> list[int]:
        """Indices of the answer's tokens that are learned."""
        forced = set(self.forced)
        return [place for place in range(len(self.answer)) if place not in forced]


class Tokenization:
    """Turns examples into sequences as the runtime does, with the prompt rendered and tokenized by itself.

    encode: text to ids, with special tokens recognized. limit: the recipe's name of max_length. Raises
    InputError for a base without a chat template, and for a system message with a control token.
    """

    def __init__(
        self, spec: Spec, encode: Encode, task: str, system: str, max_length: int, limit: str = "max_length"
    ) -> None:
        if spec.chat_template is None:
            raise InputError("the base has no chat template; use an instruct model")
        tokenizer = spec.tokenizer
        self.template = spec.chat_template
        self.tokens = special_tokens(tokenizer)
        self.ends = set(tokenizer.end_tokens or (() if tokenizer.eos is None else (tokenizer.eos,)))
        self.control = control_of(control_texts(tokenizer))
        self.end = control_of(tokenizer.tokens[token] for token in self.ends)
        if found := self.control(system):
            raise InputError(
                f"[data] system holds {found!r}, which is a control token of the base here and would be mere "
                "text where the model is asked; take it out"
            )
        self.encode = encode
        self.task = by_name(task)
        self.system = system
        self.max_length, self.limit = max_length, limit
        self.places: ImagePrompts | None = None
        if spec.vision is not None:
            from tinsmith.train.vision.model import ImagePrompts

            self.places = ImagePrompts(spec, self.control)

    def __call__(self, examples: Sequence[Example]) -> list[TokenSequence]:
        return [sequence for _, sequence in self.learned(examples)]

    def learned(self, examples: Sequence[Example]) -> list[tuple[Example, TokenSequence]]:
        """The examples with their sequences. Raises DataError for an example longer than max_length, or whose
        answer the template changes."""
        pairs = self._pairs(examples)
        for number, (example, sequence) in enumerate(pairs, 1):
            if len(sequence) > self.max_length:
                raised = "" if self.limit == BASE_CONTEXT else f" or raise {self.limit}"
                raise DataError(
                    f"{_name(example, number)} has {len(sequence)} tokens, more than {self.limit} = "
                    f"{self.max_length}; shorten it{raised}"
                )
        return pairs

    def fitting(self, examples: Sequence[Example]) -> list[tuple[Example, TokenSequence]]:
        """The generated examples of at most max_length tokens, with their sequences."""
        return [pair for pair in self._pairs(examples) if len(pair[1]) <= self.max_length]

    def _pairs(self, examples: Sequence[Example]) -> list[tuple[Example, TokenSequence]]:
        return [(example, self._sequence(example, number)) for number, example in enumerate(examples, 1)]

    def check_asked(self, examples: Sequence[Example], context: int) -> None:
        """Raises DataError for an example whose prompt fills a session of `context` tokens."""
        for number, example in enumerate(examples, 1):
            asked, named = self.task.messages(example, self.system), _name(example, number)
            if example.images:
                prompt, _ = self._with_images(example, named, asked)
            else:
                prompt = self._render(asked, generate=True)
            if (count := len(self.encode(prompt))) >= context:
                raise DataError(
                    f"{named} asks with {count} tokens, and a session holds {context} with the answer; "
                    "shorten it or raise [build] context"
                )

    def prompt(self, example: Example, shots: Sequence[Example] = ()) -> tuple[int, ...]:
        """The prompt's tokens for an example, with examples and their answers before it."""
        asked = self.task.messages(example, self.system)
        shown: list[Message] = []
        for shot in shots:
            told = [message for message in self.task.messages(shot) if message["role"] != "system"]
            shown += [*told, {"role": "assistant", "content": shot.output}]
        begin = 1 if asked[0]["role"] == "system" else 0
        asked[begin:begin] = shown
        return tuple(self.encode(self._render(asked, generate=True)))

    def _sequence(self, example: Example, number: int) -> TokenSequence:
        asked, named = self.task.messages(example, self.system), _name(example, number)
        self._check_control(example, asked, named)
        if example.images:
            prompt, whole = self._with_images(example, named, asked)
        else:
            prompt = self._render(asked, generate=True)
            whole = self._render([*asked, {"role": "assistant", "content": example.output}], generate=False)
        if not whole.startswith(prompt + example.output):
            raise DataError(
                f"{named}: the chat template changes the answer {example.output!r} or what stands "
                "before it; use a template that writes the answer as it is"
                + (", or state [data] thinking" if thinking_switch(self.template) else "")
            )
        answer = self.encode(whole[len(prompt) :])
        end = next((place for place, token in enumerate(answer) if token in self.ends), None)
        if end is None:
            raise DataError(f"{named}: no end token of the base ends the answer in the chat template")
        given, wanted = tuple(self.encode(prompt)), tuple(answer[: end + 1])
        if not (example.images and self.places):
            return TokenSequence(given, wanted)
        tiles = self.places.tiles(given, example.images)
        return TokenSequence(given, wanted, images=example.images, tiles=tiles)

    def _check_control(self, example: Example, asked: list[Message], named: str) -> None:
        """Raises DataError for control tokens: at run time a message's text is plain text, and an end token
        would cut off the answer."""
        said = [message["content"] for message in asked if message["role"] != "assistant"]
        found = next(filter(None, (self.control(text) for text in said if isinstance(text, str))), None)
        if found:
            raise DataError(
                f"{named}: what is asked holds {found!r}, which is a control token of the base here and would "
                "be mere text where the model is asked; take it out, as tinsmith data check --fix does"
            )
        if found := self.end(example.output):
            raise DataError(
                f"{named}: the output holds {found!r}, which ends an answer, so that the rest would not be "
                "learned; take it out, as tinsmith data check --fix does"
            )

    def _with_images(self, example: Example, named: str, asked: list[Message]) -> tuple[str, str]:
        """The prompt, and it with its answer, where each image is replaced by its tokens."""
        if self.places is None:
            raise DataError(f"{named} has an image, and the base takes none; use a vision-language model")
        try:
            return self.places.written(asked, example.images, example.output)
        except InputError as error:
            raise DataError(f"{named}: {error}") from None

    def _render(self, messages: list[Message], *, generate: bool) -> str:
        return render(self.template, messages, generate=generate, tokens=self.tokens)


def _name(example: Example, number: int) -> str:
    return f"{example.where}: the example" if example.where else f"example {number}"


def text_sequences(
    texts: Sequence[str], encode: Encode, tokenizer: Tokenizer, max_length: int
) -> list[TokenSequence]:
    """Plain texts with an end token each, in pieces of at most max_length tokens; all but a piece's first token
    are learned."""
    pieces: list[TokenSequence] = []
    for text in texts:
        tokens = [*encode(text), *tokenizer.end_tokens[:1]]
        for begin in range(0, len(tokens) - 1, max_length):
            # A piece's last token is only predicted, and begins the next piece.
            piece = tuple(tokens[begin : begin + max_length + 1])
            pieces.append(TokenSequence(piece[:1], piece[1:]))
    return pieces


def shared_prefix(sequences: Sequence[TokenSequence]) -> tuple[int, ...]:
    """The tokens that every prompt begins with, shorter than any whole prompt."""
    first = min(sequence.prompt for sequence in sequences)
    last = max(sequence.prompt for sequence in sequences)
    # An image's tokens do not depend on its pixels.
    limit = min(one.tiles[0].first if one.tiles else len(one.prompt) - 1 for one in sequences)
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return first[:length]


def batches(
    sequences: Sequence[Item], batch_tokens: int, shared: int, seed: int, epoch: int, padded: bool = False
) -> list[list[Item]]:
    """One epoch's batches in order, the same for the same arguments.

    A batch holds random sequences up to batch_tokens: sequences of one length are alike in other ways too, and
    slow the loss's fall. padded: each is a row as wide as the batch's longest, so lengths within a batch are
    kept similar all the same. sequences: anything with a length in tokens; shared: the length of their shared
    prefix, which is not counted.
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(range(len(sequences)))
    chance.shuffle(order)
    drawn = [sequences[place] for place in order]
    if padded:  # in windows of some batches, to keep the order random
        window = max(1, round(16 * batch_tokens * len(drawn) / sum(len(one) - shared for one in drawn)))
        drawn = [
            one
            for begin in range(0, len(drawn), window)
            for one in sorted(drawn[begin : begin + window], key=len)
        ]
    result = cut(drawn, batch_tokens, shared)
    chance.shuffle(result)
    return result


def cut(sequences: Sequence[Item], batch_tokens: int, shared: int) -> list[list[Item]]:
    """Even batches: none above batch_tokens unless a single sequence is, and no small rest."""
    total = sum(len(sequence) - shared for sequence in sequences)
    count = max(1, -(-total // batch_tokens))
    result: list[list[Item]] = [[]]
    done = tokens = 0
    for sequence in sequences:
        size = len(sequence) - shared
        full = tokens + size > batch_tokens or done >= total * len(result) / count
        if result[-1] and full:
            result.append([])
            tokens = 0
        result[-1].append(sequence)
        tokens += size
        done += size
    return result


def some(drawn: Sequence[list[Item]], count: int) -> list[list[Item]]:
    """The first batches with `count` items in all; the last one is cut."""
    taken: list[list[Item]] = []
    for batch in drawn:
        if count > 0:
            taken.append(batch[:count])
            count -= len(batch)
    return taken


def dealt(batch: Sequence[Item], count: int) -> list[list[Item]]:
    """Shares of a batch of about equal length, for workers that wait for the longest; some may be empty.

    Deals items in turn, then moves or swaps items from the longest share to the shortest while that helps.
    """
    places = range(len(batch))
    shares = [set(places[number::count]) for number in range(count)]

    def length(share: Collection[int]) -> int:
        return sum(len(batch[place]) for place in share)

    while True:
        shares.sort(key=length)
        shortest, longest = shares[0], shares[-1]
        gap = best = length(longest) - length(shortest)
        back = sorted([(0, -1), *((len(batch[place]), place) for place in shortest)])  # -1: none
        trade: set[int] = set()
        for given in longest:
            near = bisect(back, (len(batch[given]) - gap / 2, -1))
            for size, taken in back[max(0, near - 1) : near + 1]:
                left = abs(gap - 2 * (len(batch[given]) - size))
                if left < best:
                    best, trade = left, {given, taken} - {-1}
        if not trade:
            return [[batch[place] for place in sorted(share)] for share in shares]
        longest ^= trade
        shortest ^= trade
