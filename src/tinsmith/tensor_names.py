"""What a part of a model is called in each kind of file, and how its values lie there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tinsmith.spec import Tensor

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TensorName:
    """A tensor's role, its name in both kinds of file, and its size [rows, inputs] (a vector has rows == 1).

    A spec holds a tensor as GGUF does, so that a file in any block format goes in and out unchanged; but where
    rotary_heads is set, GGUF stores the rows permuted for interleaved rotation, that number of heads in them.

    hf: "" for a tensor that no Hugging Face folder has: it follows from the hyper-parameters (Family.derive).
    experts: the number of matrices [rows, inputs] of a mixture of experts, which GGUF and the spec hold as one
    tensor; a Hugging Face folder has one for each, the expert's number in the place of hf's `*`.
    stored: its name in a Hugging Face folder where that is not hf, which transformers' module has then.
    hf_shape: the shape in a Hugging Face folder where that is not (rows, inputs), or (inputs,) for a vector.
    from_hf, to_hf: how a folder's values (or their order) become the spec's, and back.
    gguf_more: names of further tensors in GGUF where it has several, all of one size, for what is one in a
    folder and the spec: `gguf` is the first rows, these follow. gguf_dims: GGUF's shape, innermost dimension
    first, where that is not (inputs, rows), or (inputs,) for a vector. first_row: of a part (gguf_parts).
    """

    role: str
    hf: str
    gguf: str
    rows: int
    inputs: int
    rotary_heads: int | None = None
    experts: int = 0
    stored: str = ""
    hf_shape: tuple[int, ...] | None = None
    from_hf: Change | None = None
    to_hf: Change | None = None
    gguf_more: tuple[str, ...] = ()
    gguf_dims: tuple[int, ...] | None = None
    first_row: int = 0

    @property
    def gguf_parts(self) -> tuple[TensorName, ...]:
        """What GGUF has of it, one tensor each: its rows from first to last."""
        if not self.gguf_more:
            return (self,)
        names = (self.gguf, *self.gguf_more)
        rows = self.rows // len(names)
        return tuple(
            replace(self, gguf=name, gguf_more=(), rows=rows, first_row=k * rows)
            for k, name in enumerate(names)
        )

    @property
    def all_rows(self) -> int:
        """Of the spec's tensor: those of all experts."""
        return self.rows * max(self.experts, 1)

    @property
    def expert_part(self) -> str:
        """Of a mixture's experts: gate, up or down."""
        return self.role.rpartition(".")[2].removesuffix("_experts")

    @property
    def gguf_shape(self) -> tuple[int, ...]:
        """Innermost dimension first, as GGUF has it."""
        if self.experts:
            return (self.inputs, self.rows, self.experts)
        return self.gguf_dims or ((self.inputs,) if self.rows == 1 else (self.inputs, self.rows))

    @property
    def file_order(self) -> Sequence[int]:
        """GGUF's row i of each run of len(file_order) rows is the spec's row file_order[i] of that run: within
        each rotated head 0, half, 1, half + 1, …"""
        if self.rotary_heads is None:
            return (0,)
        head = self.rows // self.rotary_heads
        return [i // 2 + i % 2 * (head // 2) for i in range(head)]

    @property
    def folder_names(self) -> tuple[str, ...]:
        """Of its parts in a Hugging Face folder, which are its rows from first to last."""
        if not self.experts:
            name = self.stored or self.hf
            return (name,) if name else ()
        return tuple(self.hf.replace("*", str(expert)) for expert in range(self.experts))

    @property
    def folder_shape(self) -> tuple[int, ...]:
        """Of each of them, outermost dimension first."""
        return self.hf_shape or ((self.inputs,) if self.rows == 1 else (self.rows, self.inputs))

    def from_folder(self, tensor: Tensor) -> Tensor:
        """The spec's tensor of a Hugging Face folder's, which has a float format."""
        return self.from_hf(tensor) if self.from_hf else tensor

    def to_folder(self, tensor: Tensor) -> Tensor:
        """The inverse of from_folder, for a tensor in a float format."""
        return self.to_hf(tensor) if self.to_hf else tensor
