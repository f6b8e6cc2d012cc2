"""A loaded model: texts, sessions and generations. Model adds the higher-level questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.chat.turns import ROLES
from tinsmith.checks import token_ids, whole
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.runtime.adapters import Adapters, Applied, Chosen, Words, prefix_of, rank_of, set_adapters
from tinsmith.runtime.constraint_pool import Pool
from tinsmith.runtime.engine import Conversation
from tinsmith.runtime.generation import LOOKUP, Completion, Generation, Sampling, TokenRequest, stop_texts
from tinsmith.runtime.image_prompt import checked
from tinsmith.runtime.sessions import Sessions
from tinsmith.runtime.skill import Own, Skill
from tinsmith.system.cores import usable_cores

if TYPE_CHECKING:
    from pathlib import Path

    from tinsmith.constraint import Constraint
    from tinsmith.runtime.engine import Engine
    from tinsmith.runtime.messages import Message
    from tinsmith.runtime.vision import VisionModel
    from tinsmith.spec import Buffer

# Recurrent states that a conversation keeps beside the newest: at the prompt's end, and at a shared prefix.
CHECKPOINTS = 2
# Control tokens before the text before a gap, before the text after it, and before the middle (fill in the
# middle: Bavarian et al., arXiv 2207.14255).
INFILL_MARKS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen2.5 and later, CodeGemma, Granite 4
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite 3
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek Coder
    ("<|prefix|>", "<|suffix|>", "<|middle|>"),  # Falcon-H1's coders
)
_CACHED_CONSTRAINTS = 64


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The facts of a loaded model. bytes: of the weights."""

    name: str
    family: str
    parameters: int
    vocab: int
    context: int  #: Most tokens of a conversation.
    bytes: int
    formats: dict[str, int]  #: Number of tensors by weight format.
    isa: str  #: Instruction set of tinsmith's own code.
    threads: int
    backend: str = "native"  #: The runtime that computes the logits.


class Loaded:
    """A model's state, and the methods that Model builds on."""

    def __init__(
        self,
        core: _core.Model,
        image: Buffer,
        threads: int | None,
        *,
        duty_cycle: int = 100,
        kv_type: int = _core.KV_F16,
        conversations: int = 4,
        most_bytes: int = 0,
        engine: Engine | None = None,
        words: Words | None = None,
        sealed: Tin | None = None,
        source: Path | None = None,
    ) -> None:
        """engine: computes the logits in place of the core, and remembers one conversation. words: gives the
        tokenizer; None: the tin's GGUF header has it. sealed: the .tin behind the engine's model, for the
        skills that the image lacks. source: the file or folder that the image was compiled from."""
        self.core = core
        self._image, self._source = image, source
        self.tin = Tin(image)
        self.threads = threads or usable_cores()
        self.duty_cycle = duty_cycle
        self.kv_type = kv_type
        self._most_bytes = most_bytes
        self.engine = engine
        self._sessions = Sessions(
            core.info()["context"],
            lambda context, rank, rows: self._new_session(
                context, checkpoints=CHECKPOINTS, rank=rank, rows=rows
            ),
            conversations if engine is None else 1,
        )
        self.constraints = Pool(core)
        self.drafts = True  # also draft by draft tables; changes no token
        tin = sealed or self.tin
        self.skill = Skill.of_tin(tin, tin.manifest)
        self.adapters = Adapters(core, tin, self.skill, words, engine)
        self._constraint_cache: dict[Any, Constraint] = {}  # last used at the end

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the .tin, or of the file or folder that was compiled in memory."""
        if self._source is not None:
            from tinsmith.formats.model_files import model_digest

            return model_digest(self._source)
        import hashlib

        return hashlib.sha256(self._image).hexdigest()

    @cached_property
    def info(self) -> ModelInfo:
        """The model's facts, and how it runs here."""
        core, manifest = self.core.info(), self.tin.facts("family", "parameters", "tensors")
        return ModelInfo(
            name=str(manifest.get("name") or manifest.get("general", {}).get("name", "")),
            family=manifest["family"],
            parameters=manifest["parameters"],
            vocab=core["vocab"],
            context=core["context"],
            bytes=manifest.get("weight_bytes", core["weight_bytes"]),
            formats=manifest["tensors"],
            isa=core["isa"],
            threads=self.threads,
            backend=manifest.get("backend", "native"),
        )

    def tokenize(self, text: str | bytes, *, special: bool = False, bos: bool = False) -> list[int]:
        """Token ids of a text. special: read control tokens written in it; leave it off for untrusted text.
        bos: begin with the beginning-of-sequence token, if the model has one."""
        flags = (_core.TEXT_SPECIAL if special else 0) | (_core.TEXT_BOS if bos else 0)
        return self.core.tokenize(
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, flags
        )

    def infill_prompt(self, before: str, behind: str) -> list[int]:
        """The prompt for the text between two texts, such as code at a cursor: for `generate`, `stream` and
        `generate_many`. Control tokens written in the texts stay text. A file's constraint does not suit such
        answers: give `constraint=None`. Raises UnsupportedError for a vocabulary without the tokens."""
        for marks in INFILL_MARKS:
            ids = [self.tokenize(mark, special=True) for mark in marks]
            if all(len(one) == 1 for one in ids):
                (first,), (second,), (third,) = ids
                start = self.tokenize("", bos=True)
                return [*start, first, *self.tokenize(before), second, *self.tokenize(behind), third]
        known = ", ".join(marks[0] for marks in INFILL_MARKS)
        raise UnsupportedError(
            f"the model can't fill in a middle: its vocabulary has none of {known}; take a base that has one, "
            "such as Qwen2.5-Coder"
        )

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens, with invalid UTF-8 replaced. special: with the text of control tokens."""
        pieces = map(self.core.token, token_ids(ids, self._vocab, "the text"))
        text = b"".join(data for data, control, _ in pieces if special or not control)
        return text.decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, which may end inside a character."""
        return self.core.token(*token_ids([token], self._vocab, "the text"))[0]

    def logits(
        self, tokens: Sequence[int], *, chunk: int | None = None, adapter: Chosen = None
    ) -> memoryview[float]:
        """Logits of every position: a float32 buffer of shape (tokens, vocab), ready for numpy.asarray.

        chunk: tokens computed at once, which changes no bit. adapter: as `generate`. Raises InputError for
        tokens outside the vocabulary, RuntimeFault for more tokens than the context.
        """
        tokens = token_ids(tokens, self._vocab)
        if not tokens:
            raise InputError("no tokens; logits need at least one")
        if chunk is not None:
            chunk = whole("chunk", chunk, 1)
        info = self.core.info()
        applied = self.applied(adapter)
        context = min(prefix_of(applied) + len(tokens), info["context"])
        session, set_adapters = self._new_session(
            context, min(chunk or self._chunk, len(tokens)), rank=rank_of(applied)
        )
        set_adapters(applied)
        session.append(tokens)
        session.want_logits(0)
        rows = bytearray()
        while session.step() == _core.STEP_LOGITS:
            rows += session.logits()[1]
        return memoryview(rows).cast("f", (len(tokens), info["vocab"]))

    @cached_property
    def vision(self) -> VisionModel:
        """The vision model. Raises InputError where the file has none that runs here."""
        from tinsmith.runtime.vision import VisionModel

        self.check_vision()
        return VisionModel(self.core, self.tin.manifest["vision"], self.threads, self.duty_cycle)

    def check_vision(self) -> None:
        """Raises InputError where the file has no vision model that runs here."""
        if "vision" not in self.tin.manifest or self.engine is not None:
            raise InputError(
                "this model has no image input: its file has no vision model that runs here; ask by text, or "
                "open a folder of the .gguf and its vision model, called mmproj….gguf"
            )

    @cached_property
    def _vocab(self) -> int:
        return int(self.core.info()["vocab"])

    @property
    def _chunk(self) -> int:
        chunk: int = self.core.info()["chunk"] if self.engine is None else self.engine.chunk
        return chunk

    def applied(self, adapter: Chosen) -> Applied:
        """Opens the chosen adapters. Raises InputError for an unknown one."""
        return self.adapters.applied(adapter)

    def _new_session(
        self, context: int, chunk: int | None = None, checkpoints: int = 0, rank: int = 0, rows: int = 0
    ) -> tuple[_core.Session, Callable[[Applied], None]]:
        """A session with logits for a whole chunk, and the function that sets its adapters. rows: room for
        images' rows."""
        size, outside = chunk or self._chunk, None if self.engine is None else Conversation(self.engine)
        session = _core.Session(
            self.core,
            context=context,
            chunk=size,
            logit_rows=size,
            threads=self.threads if self.engine is None else 1,
            kv_type=self.kv_type,
            checkpoints=checkpoints,
            compute=None if outside is None else outside.logits,
            adapter_rank=rank if outside is None else 0,
            tiles=rows,
            image_rows=rows,
            duty_cycle=self.duty_cycle if self.engine is None else 100,
            most_bytes=self._most_bytes,
            searches=True,
        )
        return session, partial(set_adapters, session) if outside is None else outside.set_adapters

    def skill_of(self, adapter: Chosen) -> Skill:
        """The skill of the first of these adapters, or else the file's."""
        return self.adapters.skill(adapter)

    @property
    def can_chat(self) -> bool:
        """Whether the file has a chat template."""
        return self.skill.can_chat

    @property
    def constraint(self) -> Constraint | None:
        """The file's constraint of answers, if any."""
        return self.skill.constraint

    @property
    def tool_format(self) -> str:
        """The name of the format in which the model was trained to call tools."""
        return self.skill.tool_format

    @cached_property
    def end_token(self) -> int:
        """The end token: the chat template's, else the first one in the vocabulary."""
        return self.end_of(self.skill)

    def end_of(self, skill: Skill) -> int:
        """As end_token, by another skill's template."""
        count: int = self.core.info()["vocab"]
        written = skill.templates.default.ending["assistant"] if skill.can_chat else ""
        ending = self.tokenize(written, special=True)
        end: int | None = next((token for token in (*ending, *range(count)) if self.core.token(token)[2]), None)
        if end is None:
            raise UnsupportedError("this model's vocabulary has no token that ends an answer")
        return end

    def open_session(self, prompt: Sequence[int], room: int, adapter: Chosen = None) -> _core.Session:
        """A session with the prompt, whose known prefix is computed; valid until the next generation."""
        return self._sessions.open(prompt, room, self.applied(adapter)).session

    def render(
        self,
        messages: Sequence[Message],
        *,
        generate: bool = True,
        thinking: bool | None = None,
        adapter: Chosen = None,
    ) -> list[int]:
        """A conversation in tokens, by the chat template. generate: with the answer's opening. thinking: as
        `chat`. adapter: as `generate`; its chat template counts if it brings one.

        The text is rendered and tokenized as a whole, but control tokens written in a message stay text. A
        user's content may be a list of texts and images, as in `chat`.
        """
        from tinsmith.runtime.messages import texts_of, written

        skill = self.skill_of(adapter)
        table, given = skill.templates.table(thinking), written(messages, skill.tool_format)
        conversation = texts_of(given)
        if conversation is None:
            return self.vision.rendered(given, table, generate)
        table.check(conversation, generate)
        turns = [
            (ROLES.index(turn["role"]), turn["content"].encode("utf-8", "surrogatepass"))
            for turn in conversation
        ]
        switch = 0 if thinking is None else _core.CHAT_THINK if thinking else _core.CHAT_DIRECT
        return self.core.chat(turns, switch | (_core.CHAT_ANSWER if generate else 0), skill.turns)

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
        lookup: int = LOOKUP,
        stop: str | Sequence[str] = (),
        draft: Sequence[int] | None = None,
        constraint: Constraint | Own | None = "own",
        heal: bool = False,
        adapter: Chosen = None,
        confidence: bool | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        logit_bias: Mapping[int, float] | None = None,
        record: bool = False,
        tops: int = 0,
    ) -> Completion:
        """Continues a prompt: text, or token ids.

        The model computes only what the prompt does not share with earlier ones, which changes no bit.

        lookup: most tokens to draft at once from earlier in the conversation, where the draft table has none;
        0: no drafts; changes no token. stop: one or several texts; the answer ends before the first of them.
        draft: tokens that the answer may be (temperature 0 only), checked many at once: the answer is that of
        plain decoding, and costs as much as a prompt where the draft is right. constraint: from
        tinsmith.schema, tools, grammar, regex or choices; "own": the adapter's, or else the file's; None:
        unconstrained. heal: chooses the prompt's last tokens anew, since a text cut within a word ends in
        beginnings of longer tokens; the text stays. Not for token ids. adapter: the name of one of `adapters`,
        or the scales of several by name, added in this order; None: the base alone. confidence: the answer has
        its `probability`, which costs a pass over the allowed tokens for each choice; None: only for a file
        with an abstention threshold, which decides the answer's `confident`. presence_penalty,
        frequency_penalty (-2 to 2): subtracted from the logits of tokens that the answer has, once, and once
        for each occurrence. logit_bias: added to the logits of these tokens first; -infinity bans one. record:
        the answer has its `choices`, how each token was chosen; tops: with this many of the most likely tokens.
        """
        run = self._generation(
            prompt,
            draft,
            heal=heal,
            max_tokens=max_tokens,
            stop=stop,
            constraint=constraint,
            adapter=adapter,
            confidence=confidence,
            record=record,
            tops=tops,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            lookup=lookup,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            logit_bias=logit_bias,
        )
        for _ in run.pieces():
            pass
        return run.completion()

    def stream(self, prompt: str | Sequence[int], **options: Any) -> Iterator[str]:
        """As `generate`, without draft: yields the text piece by piece, never half a character."""
        yield from self.answering(prompt, **options).pieces()

    def answering(self, prompt: str | Sequence[int], **options: Any) -> Generation:
        """As `stream`: read its `pieces` to the end, then take its `completion`."""
        return self._generation(prompt, None, **options)

    def _generation(
        self, prompt: str | Sequence[int], draft: Sequence[int] | None, *, heal: bool = False, **options: Any
    ) -> Generation:
        """options: as `request`."""
        if heal and not isinstance(prompt, str):
            raise InputError("token ids can't be healed; give the prompt as text, or leave heal out")
        if draft is not None:
            draft = token_ids(draft, self._vocab, "the draft")
        request = self.request(prompt, **options)
        if self.engine is not None and not self.engine.rewinds:
            # A wrong draft would cost the whole conversation.
            request = replace(request, sampling=replace(request.sampling, lookup=0))
        run = Generation(self.core, self._sessions, self.constraints, request, draft, heal)
        self.use_draft_table(run.session, request.applied)
        return run

    def request(
        self,
        prompt: str | Sequence[int],
        *,
        max_tokens: int = 256,
        stop: str | Sequence[str] = (),
        constraint: Constraint | Own | None = "own",
        adapter: Chosen = None,
        confidence: bool | None = None,
        record: bool = False,
        tops: int = 0,
        **sampling: Any,
    ) -> TokenRequest:
        """The options of `generate` as the core takes them; sampling: Sampling's fields."""
        least = self.least(constraint, adapter)
        confidence = least is not None if confidence is None else confidence
        return TokenRequest(
            tokens=self._tokens(prompt),
            applied=self.applied(adapter),
            constraint=self.skill_of(adapter).constraint_for(constraint),
            least=least,
            max_tokens=max_tokens,
            sampling=Sampling(**{"lookup": LOOKUP, "confidence": confidence, **sampling}),
            stop=stop_texts(stop),
            record=record,
            tops=tops,
        )

    def use_draft_table(self, session: _core.Session, applied: Applied) -> None:
        """Drafts by the table of the first adapter, by the file's for none, by no table for an adapter opened
        elsewhere."""
        drafts = self.drafts and self.adapters.has(applied)
        session.draft(self.adapters.skill(self.adapters.chosen(applied)).draft if drafts else None)

    def least(self, constraint: Constraint | Own | None, adapter: Chosen = None) -> float | None:
        """The abstention threshold as a log probability, for unconstrained answers or the skill's own
        constraint; None without one, for several adapters, or for a scaled one."""
        skill = self.adapters.alone(adapter)
        return None if skill is None else skill.least(constraint)

    def cached_constraint(self, key: Any, make: Callable[[], Constraint]) -> Constraint:
        """Makes a constraint once for each of the latest keys. key: a type, a text …"""
        try:
            constraint = self._constraint_cache.pop(key, None) or make()
        except TypeError:  # an unhashable key
            return make()
        self._constraint_cache[key] = constraint
        if len(self._constraint_cache) > _CACHED_CONSTRAINTS:
            del self._constraint_cache[next(iter(self._constraint_cache))]
        return constraint

    def _tokens(self, prompt: str | Sequence[int]) -> list[int]:
        if isinstance(prompt, str):
            tokens = self.tokenize(prompt, special=True, bos=True)
        else:
            tokens = checked(prompt, self._vocab)
        if not tokens:
            raise InputError("the prompt is empty; give at least one token")
        return tokens
