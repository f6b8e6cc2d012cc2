"""A loaded model: its texts, its sessions and its generations. Model adds the questions that it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.chat.turns import ROLES, Turns, TurnTable
from tinsmith.checks import token_ids, whole
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.tin import Tin
from tinsmith.runtime.adapters import Adapters, Applied, Chosen, Words, prefix_of, put_on, rank_of
from tinsmith.runtime.constraint_pool import Pool
from tinsmith.runtime.engine import Conversation
from tinsmith.runtime.generation import LOOKUP, Completion, Generation, Sampling, stop_texts
from tinsmith.runtime.image_prompt import checked
from tinsmith.runtime.sessions import Sessions
from tinsmith.runtime.skill import Own, Skill
from tinsmith.system.cores import usable_cores

if TYPE_CHECKING:
    from pathlib import Path

    from tinsmith.constraint import Constraint
    from tinsmith.runtime.engine import Engine
    from tinsmith.runtime.vision import VisionModel
    from tinsmith.spec import Buffer

Message = Mapping[str, Any]

# Recurrent states that a conversation keeps beside its newest: where its prompt ended, and what others share.
CHECKPOINTS = 2


@dataclass(frozen=True)
class ModelInfo:
    """context: most tokens of a conversation. bytes: of weights. formats: the number of tensors in each.
    backend: what computes; isa is of our own code, whatever that is."""

    name: str
    family: str
    parameters: int
    vocab: int
    context: int
    bytes: int
    formats: dict[str, int]
    isa: str
    threads: int
    backend: str = "native"


class Loaded:
    """What a Model is made of."""

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
        """engine: what computes the logits in place of the core; it remembers one conversation. words: gives
        the tokenizer; None: that of the tin's own GGUF header. sealed: the file that the engine's was made of,
        with the skills that the image then lacks. source: what the image was compiled of."""
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
        self.drafts = True  # generations that draft do so by draft tables too; changes no token
        held = sealed or self.tin
        self.skill = Skill.of_tin(held, held.manifest)
        self.adapters = Adapters(core, held, self.skill, words, engine)
        self._compiled: dict[Any, Constraint] = {}
        self.toolboxes: dict[str, Constraint] = {}  # of tools, by themselves and their options

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file: of the .tin, or else of the file or folder that was compiled in memory."""
        if self._source is not None:
            from tinsmith.formats.model_files import model_digest

            return model_digest(self._source)
        import hashlib

        return hashlib.sha256(self._image).hexdigest()

    @cached_property
    def info(self) -> ModelInfo:
        """What the model is, and how it runs here."""
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
        """Token ids of a text. special: control tokens written in it are taken as such; leave it off for text
        from outside. bos: begin with the beginning-of-sequence token, when the model has one."""
        flags = (_core.TEXT_SPECIAL if special else 0) | (_core.TEXT_BOS if bos else 0)
        return self.core.tokenize(
            text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, flags
        )

    def infill_prompt(self, before: str, behind: str) -> list[int]:
        """The prompt for what stands between two texts, such as code at a cursor: for `generate`, `stream` and
        `generate_many`. Control tokens that are written in the texts are none. A constraint that the file
        brings is of other answers: give `constraint=None`. Raises UnsupportedError where the vocabulary has no
        tokens for that."""
        from tinsmith.runtime.filling import infill_prompt

        return infill_prompt(self.tokenize, before, behind)

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens, bytes that are not UTF-8 replaced. special: with the text of control tokens."""
        pieces = map(self.core.token, token_ids(ids, self._vocab, "the text"))
        text = b"".join(data for data, control, _ in pieces if special or not control)
        return text.decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one token, which may end inside a character."""
        return self.core.token(*token_ids([token], self._vocab, "the text"))[0]

    def logits(
        self, tokens: Sequence[int], *, chunk: int | None = None, adapter: Chosen = None
    ) -> memoryview[float]:
        """Logits of every position: a float32 buffer of shape (tokens, vocab); numpy.asarray takes it as it is.

        chunk: tokens computed at once, which changes no bit. adapter: as `generate`. Raises InputError for
        tokens that are not in the vocabulary, RuntimeFault for more than the context holds.
        """
        tokens = token_ids(tokens, self._vocab)
        if not tokens:
            raise InputError("no tokens; logits need at least one")
        if chunk is not None:
            chunk = whole("chunk", chunk, 1)
        info = self.core.info()
        applied = self.applied(adapter)
        context = min(prefix_of(applied) + len(tokens), info["context"])
        session, wear = self._new_session(
            context, min(chunk or self._chunk, len(tokens)), rank=rank_of(applied)
        )
        wear(applied)
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

        facts = self.tin.manifest.get("vision")
        if facts is None or self.engine is not None:
            raise InputError(
                "this model has no image input: its file has no vision model that runs here; ask by text, or "
                "open a folder of the .gguf and its vision model, called mmproj….gguf"
            )
        return VisionModel(self.core, facts, self.threads, self.duty_cycle)

    @cached_property
    def _vocab(self) -> int:
        return int(self.core.info()["vocab"])

    @property
    def _chunk(self) -> int:
        chunk: int = self.core.info()["chunk"] if self.engine is None else self.engine.chunk
        return chunk

    def applied(self, adapter: Chosen) -> Applied:
        """The adapters that a generation is to have. Raises InputError for one that is not there."""
        return self.adapters.applied(adapter)

    def _new_session(
        self, context: int, chunk: int | None = None, checkpoints: int = 0, rank: int = 0, rows: int = 0
    ) -> tuple[_core.Session, Callable[[Applied], None]]:
        """A session that can give the logits of a whole chunk at once, and what puts adapters on it. rows: room
        for images' rows."""
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
        return session, partial(put_on, session) if outside is None else outside.put_on

    def skill_of(self, adapter: Chosen) -> Skill:
        """How the model is asked under these adapters: as the first of them says, or else the file."""
        return self.adapters.skill(adapter)

    @property
    def templates(self) -> Turns:
        """The chat template as texts. Raises UnsupportedError with the reason when it could not be compiled."""
        return self.skill.templates

    @property
    def turns(self) -> TurnTable:
        """The chat template used when thinking is left unset."""
        return self.templates.default

    @property
    def can_chat(self) -> bool:
        """Whether the file has a chat template."""
        return self.skill.can_chat

    @property
    def constraint(self) -> Constraint | None:
        """What the file says that its answers may be; None where it leaves them free."""
        return self.skill.constraint

    @property
    def tool_format(self) -> str:
        """The name of the format in which the model was trained to call tools."""
        return self.skill.tool_format

    @cached_property
    def end_token(self) -> int:
        """What an answer ends with: the token that the chat template writes, else the first that ends one."""
        return self.end_of(self.skill)

    def end_of(self, skill: Skill) -> int:
        """As end_token, by another template."""
        count: int = self.core.info()["vocab"]
        written = skill.templates.default.ending["assistant"] if skill.can_chat else ""
        ending = self.tokenize(written, special=True)
        end: int | None = next((token for token in (*ending, *range(count)) if self.core.token(token)[2]), None)
        if end is None:
            raise UnsupportedError("this model's vocabulary has no token that ends an answer")
        return end

    def open_session(self, prompt: Sequence[int], room: int, adapter: Chosen = None) -> _core.Session:
        """A session with the prompt queued behind what is known of it; valid until the next generation."""
        return self._sessions.open(prompt, room, self.applied(adapter)).session

    def render(
        self,
        messages: Sequence[Message],
        *,
        generate: bool = True,
        thinking: bool | None = None,
        adapter: Chosen = None,
    ) -> list[int]:
        """A conversation as the model was trained to see it, in tokens. generate: with the answer's opening.
        thinking: as `chat`. adapter: as `generate`; one that brings a chat template is asked by that.

        The tokens are those of the rendered text as a whole, but that contents can't smuggle in control tokens:
        what a message says is text. A user's content may be a list of texts and images, as in `chat`.
        """
        from tinsmith.runtime.messages import texts_of, written

        skill = self.skill_of(adapter)
        table, given = skill.templates.table(thinking), written(messages, skill.tool_format)
        conversation = texts_of(given)
        if conversation is None:
            from tinsmith.runtime.vision import rendered

            return rendered(self.vision, given, table, generate)
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

        What the prompt shares with earlier ones is not computed again, which changes no bit. lookup: most
        tokens to draft at once from what stands earlier in the conversation, where the draft table has no
        draft; 0: no drafts; changes no token. stop: a text, or several, before which the answer ends. draft:
        tokens that the answer may be (temperature 0 only). They are checked many at once: the answer is that of
        plain decoding, at the cost of a prompt where the draft is right. constraint: what the answer may be,
        from tinsmith.schema, tools, grammar, regex or choices; "own": what the adapter brings, or else the file
        says, None: anything. heal: the prompt's last tokens may be the beginning of longer ones, as a text cut
        within a word has them; they are chosen anew, and the text stays. Not for token ids. adapter: the name
        of one of `adapters`, or names with the scales of several, which are added in this order; None: the base
        alone. confidence: the answer has its `probability`, at the cost of a pass over the allowed tokens a
        choice; None: where the file has an abstention threshold, by which `confident` of the
        answer then goes. presence_penalty, frequency_penalty (-2 to 2): what is taken from the logits of tokens
        that the answer already has, once, and as often as it has them. logit_bias: what is added to the logits
        of these tokens, first of all; -infinity bans one. record: the answer says what each token was chosen by
        (`choices`), tops: with so many of the likeliest tokens there.
        """
        confidence = self.least(constraint, adapter) is not None if confidence is None else confidence
        filters = (temperature, top_k, top_p, min_p, repetition_penalty, seed, lookup, confidence)
        sampling = Sampling(*filters, presence_penalty, frequency_penalty, logit_bias)
        if draft is not None:
            draft = token_ids(draft, self._vocab, "the draft")
        kept = (record, tops)
        run = self._generation(prompt, max_tokens, sampling, stop, draft, constraint, heal, adapter, *kept)
        for _ in run.pieces():
            pass
        return run.completion()

    def stream(self, prompt: str | Sequence[int], **options: Any) -> Iterator[str]:
        """As `generate`, without draft: yields the text piece by piece, never half a character."""
        yield from self.answering(prompt, **options).pieces()

    def answering(self, prompt: str | Sequence[int], **options: Any) -> Generation:
        """As `stream`: its `pieces`, to be read to the end, and then its `completion`."""
        max_tokens, stop = options.pop("max_tokens", 256), options.pop("stop", ())
        constraint, heal = options.pop("constraint", "own"), options.pop("heal", False)
        adapter = options.pop("adapter", None)
        kept = options.pop("record", False), options.pop("tops", 0)
        confidence = self.least(constraint, adapter) is not None
        sampling = Sampling(**{"lookup": LOOKUP, "confidence": confidence, **options})
        return self._generation(prompt, max_tokens, sampling, stop, None, constraint, heal, adapter, *kept)

    def _generation(
        self,
        prompt: str | Sequence[int],
        max_tokens: int,
        sampling: Sampling,
        stop: str | Sequence[str],
        draft: Sequence[int] | None,
        constraint: Constraint | Own | None,
        heal: bool,
        adapter: Chosen,
        record: bool = False,
        tops: int = 0,
    ) -> Generation:
        if self.engine is not None and not self.engine.rewinds:
            sampling = replace(sampling, lookup=0)  # a wrong draft would cost the whole conversation
        if heal and not isinstance(prompt, str):
            raise InputError("only a prompt given as text can be healed: token ids stand as they are")
        tokens = self._tokens(prompt)
        run = Generation(
            self.core,
            self._sessions,
            tokens,
            max_tokens,
            sampling,
            stop_texts(stop),
            draft,
            self.constraints,
            self.skill_of(adapter).constraint_for(constraint),
            heal,
            self.applied(adapter),
            self.least(constraint, adapter),
            record,
            tops,
        )
        self.use_draft_table(run.session, run.applied)
        return run

    def use_draft_table(self, session: _core.Session, applied: Applied) -> None:
        """Has a session draft by the draft table that the first of these adapters brings; for none, by the
        file's; for one that is none of the file's, by no table."""
        drafts = self.drafts and self.adapters.has(applied)
        session.draft(self.adapters.skill(self.adapters.chosen(applied)).draft if drafts else None)

    def least(self, constraint: Constraint | Own | None, adapter: Chosen = None) -> float | None:
        """The logarithm of the probability from which on an answer is given, of unconstrained answers or those
        of the skill's own constraint; None where it was sealed with none for such, and for several adapters at
        once or one that is scaled."""
        one = self.adapters.alone(adapter)
        return None if one is None else one.least(constraint)

    def _tokens(self, prompt: str | Sequence[int]) -> list[int]:
        if isinstance(prompt, str):
            tokens = self.tokenize(prompt, special=True, bos=True)
        else:
            tokens = checked(prompt, self._vocab)
        if not tokens:
            raise InputError("the prompt is empty; give at least one token")
        return tokens
