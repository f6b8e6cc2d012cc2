"""image: an image that begins well and can't be read to its end."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._images import looked
from tinsmith.prepare.check.rows import Data


class DamagedImage(Check):
    name, severity = "image", "error"
    title = "images that are cut off or damaged"
    advice = "get them again, or delete the rows"

    def find(self, data: Data) -> Iterator[Finding]:
        for row, message in looked(data).damaged:
            yield self.at(data, row, message, drop())


check = DamagedImage()
