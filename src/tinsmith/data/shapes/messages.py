"""messages: a chat of {"role": …, "content": …}, as OpenAI's fine-tuning files have it, with tools."""

from __future__ import annotations

from typing import ClassVar

from tinsmith.data.shapes._chats import Chats


class Messages(Chats):
    name = "messages"
    keys: ClassVar = ("role", "content")


shape = Messages()
