"""The Python face of a loaded model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.formats.turns import ROLES, TurnTable, check_messages
from tinsmith.runtime.cores import usable_cores
from tinsmith.runtime.generation import Completion, Generation, Sampling
from tinsmith.runtime.sessions import Sessions

if TYPE_CHECKING:
    from tinsmith.models.spec import Buffer

Message = Mapping[str, str]


@dataclass(frozen=True)
class ModelInfo:
    """context: most tokens of a conversation. bytes: of weights. formats: the number of tensors in each."""

    name: str
    family: str
    parameters: int
    vocab: int
    context: int
    bytes: int
    formats: dict[str, int]
    isa: str
    threads: int


class Model:
    """A loaded model. Made by `tinsmith.load`. One generation at a time: a thread of its own loads its own."""

    def __init__(
        self,
        core: _core.Model,
        image: Buffer,
        threads: int | None,
        *,
        kv_type: int = _core.KV_F16,
        conversations: int = 4,
    ) -> None:
        self.core = core
        self.tin = Tin(image)
        self.threads = threads or usable_cores()
        self.kv_type = kv_type
        self._sessions = Sessions(core, self.threads, kv_type, conversations)

    @cached_property
    def info(self) -> ModelInfo:
        core, manifest = self.core.info(), self.tin.manifest
        return ModelInfo(
            name=str(manifest.get("name") or manifest.get("general", {}).get("name", "")),
            family=manifest["family"],
            parameters=manifest["parameters"],
            vocab=core["vocab"],
            context=core["context"],
            bytes=core["weight_bytes"],
            formats=manifest["tensors"],
            isa=core["isa"],
            threads=self.threads,
        )

    def tokenize(self, text: str | bytes, *, special: bool = False, bos: bool = False) -> list[int]:
        """Token ids of a text. special: control tokens written in it are taken as such; leave it off for text
        from outside. bos: begin with the beginning-of-sequence token, when the model has one."""
        flags = (_core.TEXT_SPECIAL if special else 0) | (_core.TEXT_BOS if bos else 0)
        return self.core.tokenize(
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, flags
        )

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens, bytes that are not UTF-8 replaced. special: with the text of control tokens."""
        pieces = (self.core.token(token) for token in ids)
        text = b"".join(data for data, control, _ in pieces if special or not control)
        return text.decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        return self.core.token(token)[0]

    def logits(self, tokens: Sequence[int], *, chunk: int | None = None) -> memoryview[float]:
        """Logits of every position: a float32 buffer of shape (tokens, vocab); numpy.asarray takes it as it is.

        chunk: tokens computed at once, which changes no bit. Raises RuntimeFault for tokens that are not in the
        vocabulary or do not fit the context.
        """
        if not tokens:
            raise InputError("no tokens; logits need at least one")
        info = self.core.info()
        size = min(chunk or info["chunk"], len(tokens))
        session = _core.Session(
            self.core,
            context=min(len(tokens), info["context"]),
            chunk=size,
            logit_rows=size,
            threads=self.threads,
            kv_type=self.kv_type,
        )
        session.append(tokens)
        session.want_logits(0)
        rows = bytearray()
        while session.step() == _core.STEP_LOGITS:
            rows += session.logits()[1]
        return memoryview(rows).cast("f", (len(tokens), info["vocab"]))

    @cached_property
    def turns(self) -> TurnTable:
        """The chat template as texts. Raises UnsupportedError with the reason when it could not be compiled."""
        self._check_template()
        return TurnTable.from_json(str(self.tin.entry("template.json"), "utf-8"))

    def render(self, messages: Sequence[Message], *, generate: bool = True) -> list[int]:
        """A conversation as the model was trained to see it, in tokens. generate: with the answer's opening.

        The tokens are those of the rendered text as a whole, but that contents can't smuggle in control tokens:
        what a message says is text.
        """
        self._check_template()
        check_messages(messages)
        turns = [
            (ROLES.index(turn["role"]), turn["content"].encode("utf-8", "surrogatepass")) for turn in messages
        ]
        return self.core.chat(turns, _core.CHAT_ANSWER if generate else 0)

    def _check_template(self) -> None:
        if "turns.bin" not in self.tin.names:
            reason = self.tin.manifest.get("template_refused", "the file has no chat template")
            raise UnsupportedError(f"this model can't chat: {reason}; use raw prompts")

    def generate(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        lookup: int = 4,
        stop: Sequence[str] = (),
        draft: Sequence[int] | None = None,
    ) -> Completion:
        """Continues a prompt: text, or token ids.

        What the prompt shares with earlier ones is not computed again, which changes no bit.
        lookup: most tokens to guess at once from what stands earlier in the conversation; changes no token.
        draft: tokens that the answer may be (temperature 0 only). They are checked many at once: the answer is
        that of plain decoding, at the cost of a prompt where the draft is right.
        """
        sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty, seed, lookup)
        run = Generation(self.core, self._sessions, self._tokens(prompt), max_tokens, sampling, stop, draft)
        for _ in run.pieces():
            pass
        return run.completion()

    def stream(self, prompt: str | Sequence[int], **options: Any) -> Iterator[str]:
        """As `generate`, without draft: yields the text piece by piece, never half a character."""
        max_tokens, stop = options.pop("max_tokens", 256), options.pop("stop", ())
        sampling = Sampling(**{"lookup": 4, **options})
        yield from Generation(
            self.core, self._sessions, self._tokens(prompt), max_tokens, sampling, stop
        ).pieces()

    def generate_many(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        concurrency: int = 8,
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> list[Completion]:
        """Continues many prompts, `concurrency` of them at a time, which share the reading of the weights.

        What all prompts begin with is computed once. Each answer is what `generate` gives for its prompt alone.

        options: as `generate`, without draft. seconds of an answer: from its prompt's turn to its end.
        """
        from tinsmith.runtime.many import generate_many

        tokens = [self._tokens(prompt) for prompt in prompts]
        sampling = Sampling(**options)
        return generate_many(self, tokens, concurrency, max_tokens, sampling, stop)

    def chat(self, messages: Sequence[Message], **options: Any) -> Completion:
        """Answers a conversation of {"role": "system" | "user" | "assistant", "content": …}; as `generate`."""
        return self.generate(self.render(messages), **options)

    def _tokens(self, prompt: str | Sequence[int]) -> list[int]:
        tokens = self.tokenize(prompt, special=True, bos=True) if isinstance(prompt, str) else list(prompt)
        if not tokens:
            raise InputError("the prompt is empty; give at least one token")
        return tokens
