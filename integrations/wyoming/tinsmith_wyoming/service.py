"""Wyoming's events: what the service is, and how it replies."""

from __future__ import annotations

import asyncio

from wyoming.asr import Transcript
from wyoming.event import Event
from wyoming.handle import Handled, NotHandled
from wyoming.info import Attribution, Describe, HandleModel, HandleProgram, Info, IntentModel, IntentProgram
from wyoming.intent import Entity, Intent, NotRecognized, Recognize
from wyoming.server import AsyncEventHandler

import tinsmith
from tinsmith.errors import TinsmithError
from tinsmith.runtime.answerer import Answer
from tinsmith_wyoming.mind import Mind

NOTHING = "HassNevermind"  # Home Assistant's intent for what is none of the house's business
_BY = Attribution("tinsmith", "")


def info(mind: Mind, languages: list[str]) -> Info:
    """An intent service where the model's answers are calls, else a handle service."""
    name = mind.model.info.name or "tinsmith"
    facts = {"attribution": _BY, "installed": True, "version": tinsmith.__version__}
    shared = {"name": name, "description": f"{name}, run by tinsmith", **facts}
    if mind.calls:
        return Info(intent=[IntentProgram(**shared, models=[IntentModel(**shared, languages=languages)])])
    return Info(handle=[HandleProgram(**shared, models=[HandleModel(**shared, languages=languages)])])


class Handler(AsyncEventHandler):
    """A connection. Answers questions in their order; a disconnect cancels them."""

    def __init__(
        self, mind: Mind, told: Info, *connection: asyncio.StreamReader | asyncio.StreamWriter
    ) -> None:
        super().__init__(*connection)
        self._mind, self._told = mind, told
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def handle_event(self, event: Event) -> bool:
        if Describe.is_type(event.type):
            await self.write_event(self._told.event())
        elif Transcript.is_type(event.type) or Recognize.is_type(event.type):
            kind = Transcript if Transcript.is_type(event.type) else Recognize
            asked = kind.from_event(event)
            task = asyncio.create_task(self._replied(asked.text, asked.context or {}))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return True

    async def disconnect(self) -> None:
        for task in self._running:
            task.cancel()

    async def _replied(self, text: str, context: dict[str, object]) -> None:
        async with self._turn:
            named = context.get("conversation_id")
            try:
                answer = await self._mind.answer(text, None if named is None else str(named))
            except TinsmithError as error:
                refused = NotRecognized if self._mind.calls else NotHandled
                await self.write_event(refused(str(error), context).event())
                return
            if answer is not None:
                await self.write_event(reply(answer, self._mind.calls, context))


def reply(answer: Answer, calls: bool, context: dict[str, object]) -> Event:
    """The answer as an event, with its receipt. Wyoming has one intent a reply."""
    context = {**context, "receipt": answer.receipt.digest}
    if not calls:
        return Handled(answer.text, context).event()
    if len(answer.calls) != 1:
        many = f"the answer makes {len(answer.calls)} calls, and a reply has one"
        return NotRecognized(many, context).event()
    call = answer.calls[0]
    if call.name == NOTHING or answer.confident is False:
        return NotRecognized(None, context).event()
    entities = [Entity(name, value) for name, value in call.arguments.items()]
    return Intent(call.name, entities, None, context).event()
