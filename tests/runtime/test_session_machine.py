"""Any calls of sessions in any order, held to a plain model of them: a list of tokens, and a fresh session that
computes it in one go. Equal tokens give equal logits, chosen tokens are those of a plain generation, rows that
were given up are not there, and rows that are due are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.models.effort import EFFORT
from tests.models.predicting import predicting_spec
from tests.models.random_adapters import compiled, random_prefix
from tests.models.tiny_models import tiny_spec
from tests.runtime.plain_sessions import generated
from tinsmith import _core, graph, quant
from tinsmith.compiler import build_image, drafts
from tinsmith.constraint import makers
from tinsmith.errors import RuntimeFault
from tinsmith.runtime.adapters import aligned

CONTEXT = 96
RANK = 32  # room for one adapter
PREFIXED, PREFIX = 3, 23  # which of the adapters is a prefix, and how long: past one of the windows
NONE = 2**32 - 1
PENDING, LOGITS, IDLE = _core.STEP_PENDING, _core.STEP_LOGITS, _core.STEP_IDLE
TOKEN, DONE = _core.STEP_TOKEN, _core.STEP_DONE
CONSTRAINTS = (
    makers.regex("in the beginning there was[a-z ]{0,9}"),
    makers.regex("the (yes|no|thing)( (yes|no|in the end))*"),
    makers.regex("(the |then |there )?(yes|yet|no|not|none)( (yes|no|in the end))*").with_search(6),
    makers.regex(r"[a-e ]{1,12}(the )?").with_search(20),
    makers.regex(r"[\s\S]*"),
)
OPTIONS: tuple[dict[str, Any], ...] = (  # of the machine's three sessions
    {"chunk": 16, "logit_rows": 8, "checkpoints": 2},
    {"chunk": 5, "logit_rows": 3, "threads": 2},
    {"chunk": 16, "batched": True, "logit_rows": 4, "checkpoints": 1},
)
# temperature, top_k, top_p, min_p, repetition_penalty, repeat_last, seed
SAMPLINGS = ((0.0, 0, 1.0, 0.0, 1.0, 0, 0), (1.5, 20, 0.95, 0.0, 1.2, 30, 3), (0.8, 0, 1.0, 0.05, 1.0, 0, 4))
UNDER_WAY = "under way in a batch"
WINDOW = "is no longer there"


def made(name: str) -> memoryview:
    if name == "recurrent":
        return build_image(predicting_spec(main=0.1))
    plain = graph.GraphBuilder.cache

    def cache_of(self: graph.GraphBuilder, heads: int, head_dim: int, window: int = 0) -> int:
        return plain(self, heads, head_dim, (20, 50)[len(self.graph.caches) % 2])

    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 512, "head_dim": 32}
    with pytest.MonkeyPatch.context() as patch:
        if name == "windowed":
            patch.setattr(graph.GraphBuilder, "cache", cache_of)
        return build_image(quant.apply(tiny_spec("llama", **sizes), "Q4_0"))


class Oracle:
    """What a fresh session makes of the same tokens, computed once."""

    """adapters: none, two of factors, and a prefix."""

    def __init__(self, image: memoryview) -> None:
        self.core = _core.Model(image)
        self.adapters: list[_core.Adapter | None] = [None]
        for seed, rank in ((1, 6), (2, 32)):
            self.adapters.append(_core.Adapter(self.core, aligned(compiled(image, rank=rank, seed=seed))))
        self.adapters.append(_core.Adapter(self.core, aligned(random_prefix(image, PREFIX))))
        self.vocab: int = self.core.info()["vocab"]
        self.constraints = [constraint.data for constraint in CONSTRAINTS]
        prompts = [[(7 * k * k + n) % 100 for k in range(9)] for n in range(8)]
        told = [(tokens, generated(self.fresh(0, tokens), 30)) for tokens in prompts]
        self.table = drafts.learn(self.core, told)
        self._rows: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}
        self._runs: dict[Any, Any] = {}

    def fresh(self, adapter: int, tokens: Sequence[int], **options: Any) -> _core.Session:
        session = _core.Session(
            self.core, context=CONTEXT, chunk=64, adapter_rank=RANK, searches=True, **options
        )
        session.adapter(self.adapters[adapter])
        session.append(tokens)
        return session

    def row(self, adapter: int, tokens: tuple[int, ...]) -> np.ndarray:
        """The logits after the last of the tokens."""
        if (adapter, tokens) not in self._rows:
            session = self.fresh(adapter, tokens, logit_rows=64)
            session.want_logits(0)
            while session.step() == LOGITS:
                first, data = session.logits()
                for k, row in enumerate(self.rows(data)):
                    self._rows[adapter, tokens[: first + k + 1]] = row
        return self._rows[adapter, tokens]

    def rows(self, data: bytes) -> np.ndarray:
        return np.frombuffer(data, np.float32).reshape(-1, self.vocab)

    def sample(self, adapter: int, tokens: tuple[int, ...], sampling: int) -> int:
        key = ("sample", adapter, tokens, sampling)
        if key not in self._runs:
            session = self.fresh(adapter, tokens)
            assert session.step() == LOGITS
            self._runs[key] = session.sample(*SAMPLINGS[sampling])
        run: int = self._runs[key]
        return run

    def healed(self, tokens: tuple[int, ...]) -> list[int]:
        session = self.fresh(0, tokens)
        session.constrain(_core.Constraint(self.core, self.constraints[-1]))
        session.heal()
        run: list[int] = session.tokens()[1]
        return run

    def generation(
        self,
        adapter: int,
        tokens: tuple[int, ...],
        heal: bool,
        constraint: int | None,
        most: int,
        sampling: int,
    ) -> tuple[list[int], int]:
        """Tokens and how it finished, one at a time without drafts."""
        key = (adapter, tokens, heal, constraint, most, sampling)
        if key not in self._runs:
            session = self.fresh(adapter, tokens)
            if constraint is not None:
                session.constrain(_core.Constraint(self.core, self.constraints[constraint]))
            if heal:
                session.heal()
            session.generate(most, 0, *SAMPLINGS[sampling])
            chosen = []
            while session.step() == TOKEN:
                chosen.append(session.token())
            self._runs[key] = chosen, session.finish()
        run: tuple[list[int], int] = self._runs[key]
        return run


@cache
def oracle(name: str) -> Oracle:
    return Oracle(made(name))


class Player:
    """What the machine knows of a session."""

    def __init__(self, core: _core.Model, table: bytes, options: dict[str, Any]) -> None:
        self.session = _core.Session(core, context=CONTEXT, adapter_rank=RANK, searches=True, **options)
        self.session.draft(table)
        self.adapter = 0
        self.alone = not options.get("batched")
        self.tokens: list[int] = []
        self.wanted = NONE
        self.due: set[int] = set()  # positions whose logits are to be told
        self.rows: tuple[int, int] | None = None  # those that must be there: first and how many
        self.known = 0  # tokens computed when rows were given up last: only later ones can have any
        self.plan: tuple[list[int], int] | None = None  # a generation: tokens to come, how it ends
        self.before_healing: list[int] | None = None
        self.shared = False  # whether a batch may have taken the place of its rows since it was healed
        self.constraint: int | None = None
        self.was_held = False  # a constraint may have shaped rows that are still there

    @property
    def context(self) -> int:
        return CONTEXT - PREFIX if self.adapter == PREFIXED else CONTEXT

    def queue(self) -> None:
        """The tokens were changed. Nothing is due of a pass that a generation left under way."""
        ended, self.plan, self.before_healing, self.rows = self.plan is not None, None, None, None
        computed, tokens = self.session.tokens()
        assert tokens == self.tokens
        assert computed <= len(tokens)
        self.known = computed if self.visible() is None else 0
        queued = range(computed, len(tokens))
        self.due = {at for at in queued if at == len(tokens) - 1 or (at >= self.wanted and not ended)}

    def visible(self) -> tuple[int, bytes] | None:
        try:
            return self.session.logits()
        except RuntimeFault as fault:
            assert fault.status == "TIN_ERR_STATE"
            return None


tokens_of = st.lists(st.integers(0, 99), min_size=1, max_size=30)
players = st.integers(0, len(OPTIONS) - 1)
budgets = st.sampled_from((0, 1, 1, 100_000))


class Sessions(RuleBasedStateMachine):
    windowed = False

    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        self.oracle = oracle
        self.players = [Player(oracle.core, oracle.table, options) for options in OPTIONS]
        self.constraints = [_core.Constraint(oracle.core, data) for data in oracle.constraints]
        self.batch = _core.Batch(oracle.core, rows=7, logit_rows=5, adapter_rank=RANK)
        self.batched: list[Player] = []

    def tries(self, player: Player, call: Callable[[], None]) -> bool:
        """Whether the call was done. A window or a batch may refuse it; nothing is changed then."""
        try:
            call()
        except RuntimeFault as fault:
            if UNDER_WAY in str(fault):
                assert player in self.batched
            else:
                assert WINDOW in str(fault)
                assert self.windowed
            assert player.session.tokens()[1] == player.tokens
            return False
        return True

    @initialize(prompts=st.lists(tokens_of, min_size=len(OPTIONS), max_size=len(OPTIONS)))
    def begin(self, prompts: list[list[int]]) -> None:
        """Calls of empty sessions find little."""
        for k, tokens in enumerate(prompts):
            self.compute(k, tokens)

    @rule(k=players, tokens=tokens_of)
    def append(self, k: int, tokens: list[int]) -> None:
        player = self.players[k]
        if len(player.tokens) + len(tokens) > player.context:
            with pytest.raises(RuntimeFault, match=f"do not fit|{UNDER_WAY}"):
                player.session.append(tokens)
        elif self.tries(player, lambda: player.session.append(tokens)):
            player.tokens += tokens
            player.queue()
            assert player.visible() is None

    def rewind_to(self, player: Player, position: int) -> None:
        computed = player.session.tokens()[0]
        if self.tries(player, lambda: player.session.rewind(position)):
            del player.tokens[position:]
            player.queue()
            assert player.session.tokens()[0] == min(computed, position)
            assert player.visible() is None

    @rule(k=players, tokens=tokens_of)
    def compute(self, k: int, tokens: list[int]) -> None:
        """The common case, which random steps rarely come to."""
        self.append(k, tokens)
        self.step(k, 0, CONTEXT)

    @rule(k=players, share=st.floats(0, 1))
    def rewind(self, k: int, share: float) -> None:
        self.rewind_to(self.players[k], round(share * len(self.players[k].tokens)))

    @rule(k=players, share=st.floats(0, 1), tokens=tokens_of)
    def replace(self, k: int, share: float, tokens: list[int]) -> None:
        player = self.players[k]
        self.put(player, (player.tokens[: round(share * len(player.tokens))] + tokens)[: player.context])

    def put(self, player: Player, whole: list[int]) -> None:
        if self.tries(player, lambda: player.session.replace(whole)):
            player.tokens = whole
            player.queue()
            assert player.visible() is None
            assert not whole or len(whole) - 1 in player.due

    @rule(k=players, keep=st.floats(0, 1), drop=st.floats(0, 1))
    def shift(self, k: int, keep: float, drop: float) -> None:
        player = self.players[k]
        kept = round(keep * len(player.tokens))
        dropped = round(drop * (len(player.tokens) - kept))
        if self.tries(player, lambda: player.session.shift(kept, dropped)):
            del player.tokens[kept : kept + dropped]
            player.queue()
            assert player.visible() is None

    @rule(k=players, which=st.integers(0, 3))
    def adapt(self, k: int, which: int) -> None:
        """Another adapter, or none: all is computed again. The same one only ends a generation or a healing."""
        player, adapter = self.players[k], self.oracle.adapters[which]
        if which == PREFIXED and len(player.tokens) > CONTEXT - PREFIX:
            with pytest.raises(RuntimeFault, match="do not fit its context"):
                player.session.adapter(adapter)
            return

        def change() -> None:
            if which != player.adapter:
                player.session.adapter(None)
            player.session.adapter(adapter)

        ends = player.plan is not None or player.before_healing is not None
        if self.tries(player, change) and (which != player.adapter or ends):
            changed, player.adapter = which != player.adapter, which
            player.queue()
            assert not changed or player.session.tokens()[0] == 0
            assert not changed or player.visible() is None

    @rule(k=players, other=players, share=st.sampled_from((0.0, 0.3, 0.9, 1.0)))
    def copy(self, k: int, other: int, share: float) -> None:
        player, source = self.players[k], self.players[other]
        count = round(share * len(source.tokens))
        if player is source:
            with pytest.raises(RuntimeFault, match="two sessions"):
                player.session.copy_from(source.session, count)
        elif player.adapter != source.adapter:
            with pytest.raises(RuntimeFault, match="other adapters"):
                player.session.copy_from(source.session, count)
        elif self.tries(player, lambda: player.session.copy_from(source.session, count)):
            player.tokens = source.tokens[:count]
            player.queue()
            assert player.visible() is None

    @rule(k=players, other=players)
    def save_and_restore(self, k: int, other: int) -> None:
        player, source = self.players[k], self.players[other]
        saved = b""

        def save() -> None:
            nonlocal saved
            saved = source.session.save()

        if not self.tries(source, save):
            return
        if player.adapter != source.adapter:
            with pytest.raises(RuntimeFault, match="other adapters"):
                player.session.restore(saved)
        elif self.tries(player, lambda: player.session.restore(saved)):
            player.tokens = list(source.tokens)
            player.queue()
            assert player.visible() is None
            assert player.session.save() == saved

    @rule(k=players, which=st.sampled_from((None, *range(len(CONSTRAINTS)))))
    def constrain(self, k: int, which: int | None) -> None:
        player = self.players[k]
        if which is not None and any(
            other.constraint == which for other in self.players if other is not player
        ):
            with pytest.raises(RuntimeFault, match="another session has the constraint"):
                player.session.constrain(self.constraints[which])
        elif self.tries(
            player, lambda: player.session.constrain(None if which is None else self.constraints[which])
        ):
            player.constraint = which
            player.was_held |= which is not None
            player.before_healing = None
            if player.plan is not None:
                player.queue()

    @rule(k=players)
    def heal(self, k: int) -> None:
        player = self.players[k]
        if player.constraint is None:
            with pytest.raises(RuntimeFault, match="healing needs a constraint"):
                player.session.heal()
        elif player.before_healing is None and self.tries(player, player.session.heal):
            player.shared = player in self.batched
            before, after = player.tokens, self.oracle.healed(tuple(player.tokens))
            if player.plan is not None or after != before:
                player.tokens = after
                player.queue()
            if after != before:
                player.before_healing = before

    @rule(
        k=players,
        most=st.integers(1, 12),
        lookup=st.sampled_from((0, 0, 4)),
        sampling=st.integers(0, len(SAMPLINGS) - 1),
    )
    def generate(self, k: int, most: int, lookup: int, sampling: int) -> None:
        player = self.players[k]
        heal = player.before_healing is not None
        try:
            player.session.generate(most, lookup, *SAMPLINGS[sampling])
        except RuntimeFault as fault:
            if UNDER_WAY in str(fault):
                assert player in self.batched
                return
            assert "nothing to go on from" in str(fault)
            assert not heal or player.shared
            assert player.plan is not None or (not player.due and player.visible() is None)
            return
        tokens = tuple(player.before_healing or player.tokens)
        chosen, finish = self.oracle.generation(player.adapter, tokens, heal, player.constraint, most, sampling)
        assert len(player.tokens) + len(chosen) <= player.context
        player.plan = list(chosen), finish
        player.before_healing = None
        player.due = set()

    @rule(
        k=players,
        which=st.integers(0, len(CONSTRAINTS) - 1),
        most=st.integers(2, 30),
        lookup=st.sampled_from((0, 4)),
        budget=budgets,
        steps=st.integers(1, 60),
    )
    def answer(self, k: int, which: int, most: int, lookup: int, budget: int, steps: int) -> None:
        """In one rule, since what is forced comes first."""
        self.constrain(k, which)
        self.generate(k, most, lookup, 0)
        self.step(k, budget, steps)

    @rule(
        k=players,
        room=st.integers(0, 14),
        which=st.integers(0, len(CONSTRAINTS) - 1),
        most=st.integers(1, 40),
        lookup=st.sampled_from((0, 4)),
        budget=budgets,
        steps=st.integers(1, 60),
    )
    def answer_at_the_end(
        self, k: int, room: int, which: int, most: int, lookup: int, budget: int, steps: int
    ) -> None:
        """Of the context, which random steps rarely come to."""
        player = self.players[k]
        self.put(
            player, [*player.tokens, *((7 * at + room) % 100 for at in range(CONTEXT))][: player.context - room]
        )
        self.constrain(k, which)
        self.generate(k, most, lookup, 0)
        self.step(k, budget, steps)

    @rule(k=players, other=players, call=st.integers(0, 7))
    def refused(self, k: int, other: int, call: int) -> None:
        """What can't be done changes nothing, of an answer under way neither."""
        session, source, count = (
            self.players[k].session,
            self.players[other].session,
            len(self.players[k].tokens),
        )
        calls: tuple[Callable[[], Any], ...] = (
            lambda: session.append([5, self.oracle.vocab]),
            lambda: session.replace([*self.players[k].tokens[: count // 2], -1]),
            lambda: session.rewind(count + 1),
            lambda: session.shift(count, 1),
            lambda: session.generate(0),
            lambda: session.generate(3, 0, -1.0),
            lambda: session.restore(b"TINSTATE, damaged, of more bytes than a header has"),
            lambda: session.copy_from(source, 10 * CONTEXT),
        )
        with pytest.raises(RuntimeFault):
            calls[call]()

    @rule(k=players, position=st.sampled_from((0, 5, 20, NONE)))
    def want_logits(self, k: int, position: int) -> None:
        player = self.players[k]
        try:
            player.session.want_logits(position)
        except RuntimeFault as fault:
            assert "a chunk is under way" in str(fault)
            return
        player.wanted = position
        if player.plan is None:
            healing, rows = player.before_healing, player.rows
            player.queue()
            player.before_healing, player.rows = healing, rows

    @rule(k=players, sampling=st.integers(0, len(SAMPLINGS) - 1))
    def sample(self, k: int, sampling: int) -> None:
        player = self.players[k]
        seen = player.visible()
        if seen is None:
            with pytest.raises(RuntimeFault, match="no logits to sample from"):
                player.session.sample(*SAMPLINGS[sampling])
            return
        rows = self.oracle.rows(seen[1])
        end = seen[0] + len(rows)
        if np.isinf(rows[-1]).any():
            assert rows[-1][player.session.sample(*SAMPLINGS[sampling])] > -np.inf
            return
        expected = self.oracle.sample(player.adapter, tuple(player.tokens[:end]), sampling)
        assert player.session.sample(*SAMPLINGS[sampling]) == expected

    def take(self, player: Player, event: int) -> None:
        """An event of a step."""
        if player.plan is not None:
            assert event in (PENDING, TOKEN, DONE)
            to_come, finish = player.plan
            player.rows = None
            if event == TOKEN:
                player.tokens.append(player.session.token())
                assert player.tokens[-1] == to_come.pop(0)
            elif event == DONE:
                assert not to_come
                assert player.session.finish() == finish
                player.queue()
            return
        assert event in (PENDING, LOGITS, IDLE)
        if event == LOGITS:
            seen = player.visible()
            assert seen is not None
            rows = self.oracle.rows(seen[1])
            assert np.isfinite(rows).all()
            player.rows = seen[0], len(rows)
            player.due -= set(range(seen[0], sum(player.rows)))
        elif event == IDLE:
            assert not player.due
            assert player.session.tokens()[0] == len(player.tokens)

    @rule(k=players, budget=budgets, steps=st.integers(1, 30))
    def step(self, k: int, budget: int, steps: int) -> None:
        player = self.players[k]
        for _ in range(steps):
            try:
                event = player.session.step(budget)
            except RuntimeFault:
                assert not player.alone or player in self.batched
                return
            assert event != PENDING or budget
            if event == PENDING:
                player.rows = None
            self.take(player, event)
            if event in (LOGITS, IDLE, DONE):
                return

    @rule(k=players)
    def join(self, k: int) -> None:
        self.batch.add(self.players[k].session)
        self.players[k].shared = True
        if self.players[k] not in self.batched:
            self.batched.append(self.players[k])

    @rule(k=players)
    def leave(self, k: int) -> None:
        player = self.players[k]
        if player not in self.batched:
            with pytest.raises(ValueError):
                self.batch.remove(player.session)
            return
        self.batch.remove(player.session)  # and cancels the others' work
        self.batched.remove(player)
        for each in (player, *self.batched):
            each.rows = None

    @rule(budget=budgets, steps=st.integers(1, 20))
    def step_batch(self, budget: int, steps: int) -> None:
        for _ in range(steps):
            try:
                events = self.batch.step(budget)
            except RuntimeFault as fault:
                assert "under way elsewhere" in str(fault)
                assert any(player.alone for player in self.batched)
                return
            for player in self.batched:
                player.rows = None  # a pass took their place, unless they are told now
            for player, event in zip(self.batched, events, strict=True):
                self.take(player, event)
            if all(event == IDLE for event in events):
                return
            assert budget or any(event not in (PENDING, IDLE) for event in events)

    @invariant()
    def tokens_and_rows_are_right(self) -> None:
        for player in self.players:
            computed, tokens = player.session.tokens()
            assert tokens == player.tokens
            assert computed <= len(tokens)
            seen = player.visible()
            if seen is None:
                assert player.rows is None
                continue
            first, rows = seen[0], self.oracle.rows(seen[1])
            assert player.rows is None or player.rows == (first, len(rows))
            assert player.known < first + len(rows) <= len(tokens)
            for k, row in enumerate(rows):
                held = row == -np.inf  # which rows are so, and where, is in test_masked_logits.py
                assert player.constraint is not None or player.was_held or not held.any()
                whole = self.oracle.row(player.adapter, tuple(tokens[: first + k + 1]))
                assert np.array_equal(row[~held], whole[~held]), first + k


class Windowed(Sessions):
    windowed = True


KINDS: dict[str, type[Sessions]] = {"plain": Sessions, "windowed": Windowed, "recurrent": Sessions}


def explore(name: str, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: KINDS[name](oracle(name)),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("name", KINDS)
def test_any_calls_in_any_order(name: str) -> None:
    explore(name, 80, 50)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_any_calls_in_any_order_for_minutes(name: str) -> None:
    explore(name, 700 * EFFORT, 60)
