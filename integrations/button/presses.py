"""A button's events as presses: short, double and long, by the events' times, so that a recording gives the
same.

Events are Linux's `struct input_event` (include/uapi/linux/input.h): two longs of time, type, code, value. No
library reads them, and no GPIO is touched: the kernel's driver (gpio-keys, a USB button, a keyboard) did that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

EVENT = struct.Struct("llHHi")
EV_KEY = 1
LONG = 0.6  # seconds that a button is held for a long press
AGAIN = 0.35  # seconds in which a second press makes it a double one


@dataclass
class Presses:
    """code: of the key that counts; None: any."""

    code: int | None = None
    _down: float | None = None
    _once: float | None = None  # when a short press ended that may become a double one
    _rest: bytes = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Adds bytes of a read, in any pieces. Returns the presses that are certain."""
        data = self._rest + data
        whole = len(data) // EVENT.size * EVENT.size
        self._rest = data[whole:]
        for seconds, micros, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind == EV_KEY and value in (0, 1) and self.code in (None, code):  # 2 is a key that repeats
                yield from self._turned(bool(value), seconds + micros * 1e-6)

    def waited(self, now: float) -> Iterator[str]:
        """The presses that are short because no second one came. now: by the events' clock."""
        if self._down is None and self._once is not None and now - self._once >= AGAIN:
            self._once = None
            yield "short"

    def _turned(self, down: bool, at: float) -> Iterator[str]:
        if down:
            yield from self.waited(at)
            self._down = at
        elif self._down is not None:
            held, self._down = at - self._down, None
            if held >= LONG:
                yield from self._before()
                yield "long"
            elif self._once is not None:
                self._once = None
                yield "double"
            else:
                self._once = at

    def _before(self) -> Iterator[str]:
        if self._once is not None:
            self._once = None
            yield "short"

    @property
    def waiting(self) -> bool:
        """Whether a short press waits for a second one."""
        return self._once is not None and self._down is None
