"""Retrieval by static embeddings: a text's vector is the mean of its tokens' vectors, as in model2vec.

A model2vec folder has `model.safetensors` with "embeddings" (tokens × width), `tokenizer.json` and
`config.json`; newer ones also "weights" of tokens, and "mapping" from tokens to rows. Only a local folder is
read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError, MissingExtraError
from tinsmith.evaluate.baselines import Nearest
from tinsmith.formats import safetensors
from tinsmith.system import reading

if TYPE_CHECKING:
    import numpy as np


_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4", "I8": "i1"}
_LONGEST = 512  # tokens of a text that count, as in model2vec


class StaticModel:
    """Raises InputError for a missing folder, FormatError for one that model2vec did not save."""

    def __init__(self, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError:
            raise MissingExtraError("tokenizers", "train") from None
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give one with a model2vec model")
        tensors = safetensors.read(folder / safetensors.SINGLE)
        if "embeddings" not in tensors:
            raise FormatError(
                f"{folder / safetensors.SINGLE}: has no embeddings; give a folder that model2vec saved"
            )
        self.vectors = _array(tensors["embeddings"], folder)
        self.weights = _array(tensors["weights"], folder) if "weights" in tensors else None
        self.mapping = _array(tensors["mapping"], folder) if "mapping" in tensors else None
        self.normalize = bool(reading.read_table(folder / "config.json", FormatError).get("normalize", True))
        text = reading.read_text(folder / "tokenizer.json", FormatError)
        try:
            self.tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises no other kind
            raise FormatError(f"{folder / 'tokenizer.json'}: {error}") from None
        self.tokenizer.no_padding()
        known = _unknown(text, folder)
        self.unknown = self.tokenizer.token_to_id(known) if known else None

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """(texts, width), float32; zeros for a text of unknown tokens alone."""
        import numpy as np

        rows = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        for row, encoded in zip(
            rows, self.tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True
        ):
            ids = [id for id in encoded.ids if id != self.unknown][:_LONGEST]
            if not ids:
                continue
            vectors = self.vectors[ids if self.mapping is None else self.mapping[ids]]
            if self.weights is not None:
                vectors = vectors * self.weights[ids][:, None]
            row[:] = vectors.mean(axis=0)
            if self.normalize:
                row /= np.linalg.norm(row) + 1e-32
        return rows


class StaticRetriever(Nearest):
    """By the cosine of the angle between the vectors of an input and the sentence."""

    def __init__(self, folder: Path, examples: Sequence[Example]) -> None:
        self.model, self.examples = StaticModel(folder), examples
        self.vectors = _unit(self.model.encode([example.input for example in examples]))

    def scores(self, sentence: str) -> Sequence[float]:
        found: Sequence[float] = self.vectors @ _unit(self.model.encode([sentence]))[0]
        return found


def _unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    units: np.ndarray[Any, Any] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-32)
    return units


def _array(tensor: safetensors.Tensor, folder: Path) -> np.ndarray[Any, Any]:
    import numpy as np

    if tensor.dtype not in _TYPES:
        raise FormatError(f"{folder / safetensors.SINGLE}: holds {tensor.dtype}; give floats")
    assert not isinstance(tensor.data, Iterable) or isinstance(tensor.data, bytes | bytearray | memoryview)
    array = np.frombuffer(tensor.data, _TYPES[tensor.dtype]).reshape(tensor.shape)
    return array if tensor.dtype.startswith("I") else array.astype(np.float32)


def _unknown(text: str, folder: Path) -> str | None:
    """The unknown token of a tokenizer.json."""
    model = reading.json(text, folder / "tokenizer.json", FormatError).get("model", {})
    token = model.get("unk_token")
    return token if isinstance(token, str) else None
