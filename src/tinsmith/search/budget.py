"""How large a model may be."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith.errors import InputError


@dataclass(frozen=True)
class Budget:
    """max_size: bytes of the GGUF file, whole; bits: of the file's weights, on average; memory: bytes that the
    weights take; speed: tokens a second that `bandwidth` bytes a second must allow; min_accuracy: the fraction
    of the float model's accuracy that must be left: the smallest file that keeps it is wanted. None asks for
    nothing."""

    max_size: int | None = None
    bits: float | None = None
    memory: int | None = None
    speed: float | None = None
    bandwidth: float | None = None
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        if not self.limited and self.min_accuracy is None:
            raise InputError("auto needs a budget; give a size, bits a weight, memory, a speed or an accuracy")

    @property
    def limited(self) -> bool:
        """Whether any budget limits how large the model may be."""
        return any(one is not None for one in (self.max_size, self.bits, self.memory, self.speed))

    def describe(self) -> str:
        limits = {
            "a file of {:,} bytes": self.max_size,
            "{:g} bits a weight": self.bits,
            "{:,} bytes of memory": self.memory,
            "{:g} tokens a second": self.speed,
        }
        return " and ".join(text.format(value) for text, value in limits.items() if value is not None)
