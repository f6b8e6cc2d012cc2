"""Retrieval by static embeddings: a text's vector is the mean of its tokens' vectors, as in model2vec.

A model2vec folder has `model.safetensors` with "embeddings" (tokens × width), `tokenizer.json` and
`config.json`; newer ones also "weights" of tokens, and "mapping" from tokens to rows. Only a local folder is
read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError, MissingExtraError
from tinsmith.evaluate.baselines import Nearest
from tinsmith.system import reading

if TYPE_CHECKING:
    import numpy as np

_LONGEST = 512  # tokens of a text that count, as in model2vec


class StaticModel:
    """Raises InputError for a missing folder, FormatError for one that model2vec did not save."""

    def __init__(self, folder: Path) -> None:
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "safetensors", "train") from None
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give one with a model2vec model")
        tensors = _opened(folder / "model.safetensors", load_file)
        if "embeddings" not in tensors:
            raise FormatError(f"{folder}: has no embeddings; give a folder that model2vec saved")
        self.tokenizer = _opened(folder / "tokenizer.json", Tokenizer.from_file)
        self.vectors = tensors["embeddings"].astype("float32")
        self.weights, self.mapping = tensors.get("weights"), tensors.get("mapping")
        self.normalize = bool(reading.read_table(folder / "config.json", FormatError).get("normalize", True))
        self.tokenizer.no_padding()
        unknown = getattr(self.tokenizer.model, "unk_token", None)
        self.unknown = self.tokenizer.token_to_id(unknown) if unknown else None

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
                vectors = vectors * self.weights[ids].astype(np.float32)[:, None]
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


def _opened(path: Path, read: Any) -> Any:
    try:
        return read(str(path))
    except Exception as error:  # the libraries raise no other kind
        raise FormatError(f"{path}: {error}") from None


def _unit(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    units: np.ndarray[Any, Any] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-32)
    return units
