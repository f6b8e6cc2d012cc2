"""Examples as token sequences, and the batches that training walks through."""

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
from tinsmith.train.vision.tiles import PromptTile

if TYPE_CHECKING:
    from tinsmith.data.images import ImageSource
    from tinsmith.train.vision.model import ImagePrompts

Encode = Callable[[str], list[int]]
Item = TypeVar("Item", bound=Sized)


BASE_CONTEXT = "the base's context"  # a limit that no key raises


@dataclass(frozen=True)
class TokenSequence:
    """prompt: what the model is given; answer: what it should write, with the token that ends it; forced:
    places of the answer's tokens that are not learned, since they must come; images: that the prompt shows;
    tiles: where their tokens stand in it, each of which gets one of their rows."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    forced: tuple[int, ...] = ()
    images: tuple[ImageSource, ...] = ()
    tiles: tuple[PromptTile, ...] = ()

    def __len__(self) -> int:
        """Tokens that the model reads: the last one of the answer is only predicted."""
        return len(self.prompt) + len(self.answer) - 1

    @property
    def learned(self) -> list[int]:
        """Places of the answer's tokens that are."""
        forced = set(self.forced)
        return [place for place in range(len(self.answer)) if place not in forced]


class Tokenization:
    """Turns examples into sequences just as the runtime will: the prompt rendered and tokenized by itself.

    encode: text to ids, with special tokens recognized. limit: what the recipe calls max_length. Raises
    InputError for a base without a chat template, and for a system message with a control token in it.
    """

    def __init__(
        self,
        spec: Spec,
        encode: Encode,
        task: str,
        system: str,
        max_length: int,
        limit: str = "max_length",
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

            self.places = ImagePrompts(spec)

    def __call__(self, examples: Sequence[Example]) -> list[TokenSequence]:
        return [sequence for _, sequence in self.learned(examples)]

    def learned(self, examples: Sequence[Example]) -> list[tuple[Example, TokenSequence]]:
        """The examples beside their sequences. Raises DataError for an example longer than max_length, or whose
        answer the template changes."""
        sequences = [self._sequence(example, number) for number, example in enumerate(examples, 1)]
        for number, (example, sequence) in enumerate(zip(examples, sequences, strict=True), 1):
            if len(sequence) > self.max_length:
                raised = "" if self.limit == BASE_CONTEXT else f" or raise {self.limit}"
                raise DataError(
                    f"{_name(example, number)} has {len(sequence)} tokens, more than {self.limit} = "
                    f"{self.max_length}; shorten it{raised}"
                )
        return list(zip(examples, sequences, strict=True))

    def fitting(self, examples: Sequence[Example]) -> list[tuple[Example, TokenSequence]]:
        """Of examples that nobody wrote those that are not longer than max_length, beside their sequences."""
        sequences = (self._sequence(example, number) for number, example in enumerate(examples, 1))
        pairs = zip(examples, sequences, strict=True)
        return [pair for pair in pairs if len(pair[1]) <= self.max_length]

    def check_asked(self, examples: Sequence[Example], context: int) -> None:
        """Raises DataError for an example that fills a session of `context` tokens before its answer begins."""
        for number, example in enumerate(examples, 1):
            asked, named = self.task.messages(example, self.system), _name(example, number)
            if example.images:
                prompt, _ = self._with_pictures(example, named, asked)
            else:
                prompt = self._render(asked, generate=True)
            if (count := len(self.encode(prompt))) >= context:
                raise DataError(
                    f"{named} asks with {count} tokens, and a session holds {context} with the answer; "
                    "shorten it or raise [build] context"
                )

    def prompt(self, example: Example, shots: Sequence[Example] = ()) -> tuple[int, ...]:
        """The tokens that ask for an example's answer, with examples and their answers before it."""
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
            prompt, whole = self._with_pictures(example, named, asked)
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
        """What a message says is text where the model is asked, whatever it says, and an end token in an answer
        would end what is learned of it."""
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

    def _with_pictures(self, example: Example, named: str, asked: list[Message]) -> tuple[str, str]:
        """The prompt, and it with its answer, where each picture's tokens stand in its place."""
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
    """Plain texts, each with the token that ends a text, in pieces of at most max_length tokens; all but a
    piece's first token is to be learned."""
    pieces: list[TokenSequence] = []
    for text in texts:
        tokens = [*encode(text), *tokenizer.end_tokens[:1]]
        for begin in range(0, len(tokens) - 1, max_length):
            # The last token of a piece is only predicted, and begins the next one.
            piece = tuple(tokens[begin : begin + max_length + 1])
            pieces.append(TokenSequence(piece[:1], piece[1:]))
    return pieces


def shared_prefix(sequences: Sequence[TokenSequence]) -> tuple[int, ...]:
    """The tokens that every prompt begins with, short of the whole of any prompt."""
    first = min(sequence.prompt for sequence in sequences)
    last = max(sequence.prompt for sequence in sequences)
    # A picture's tokens are the same whatever it shows.
    limit = min(one.tiles[0].first if one.tiles else len(one.prompt) - 1 for one in sequences)
    length = 0
    while length < limit and first[length] == last[length]:
        length += 1
    return first[:length]


def batches(
    sequences: Sequence[Item], batch_tokens: int, shared: int, seed: int, epoch: int, padded: bool = False
) -> list[list[Item]]:
    """One epoch's batches, in order: the same for the same arguments.

    A batch holds as many sequences as fit in batch_tokens, drawn at random: those of one length are alike in
    more than that, and a loss falls slower by them. padded: each is a row as wide as the
    batch's longest, so that lengths within a batch are kept together all the same. sequences: or whatever has a
    length in tokens; shared: how many of each one's tokens are the shared prefix, which are not counted.
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(range(len(sequences)))
    chance.shuffle(order)
    drawn = [sequences[place] for place in order]
    if padded:  # in windows of some batches, so that the order stays random
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
    """Even batches: none larger than batch_tokens unless a single sequence is, no small rest."""
    total = sum(len(sequence) - shared for sequence in sequences)
    count = max(1, -(-total // batch_tokens))
    result: list[list[Item]] = [[]]
    done = held = 0
    for sequence in sequences:
        size = len(sequence) - shared
        full = held + size > batch_tokens or done >= total * len(result) / count
        if result[-1] and full:
            result.append([])
            held = 0
        result[-1].append(sequence)
        held += size
        done += size
    return result


def some(drawn: Sequence[list[Item]], count: int) -> list[list[Item]]:
    """The first of some batches, as many as hold `count` items, the last one cut."""
    taken: list[list[Item]] = []
    for batch in drawn:
        if count > 0:
            taken.append(batch[:count])
            count -= len(batch)
    return taken


def dealt(batch: Sequence[Item], count: int) -> list[list[Item]]:
    """So many shares of a batch, about as long as each other, for those who wait for the longest; none may be
    left for some. Dealt in turn at first; then, as long as that helps, the longest share gives an item to the
    shortest, for one of its own or for none."""
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
