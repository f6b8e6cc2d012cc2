"""What the pictures of one question may take: a file of a few bytes may say to be a picture of gigabytes."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith.checks import UINT64, whole


@dataclass(frozen=True)
class PictureLimits:
    """pictures: of a question; picture: bytes that reading one may take; pixels: of all of them."""

    pictures: int = 16
    picture: int = 64 << 20
    pixels: int = 80_000_000

    def __post_init__(self) -> None:
        whole("pictures", self.pictures)
        whole("picture", self.picture, 0, UINT64)
        whole("pixels", self.pixels, 0, UINT64)

    def too_many(self, count: int, where: str) -> str:
        return f"{where}: {count} pictures; give {self.pictures} at most"

    def too_large(self, pixels: int, where: str) -> str:
        return f"{where}: {pixels:,} pixels in all with this picture; give {self.pixels:,} at most"
