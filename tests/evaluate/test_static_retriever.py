"""Static embeddings, in a folder as model2vec saves them, held to sums by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError
from tinsmith.evaluate.static import StaticModel, StaticRetriever
from tinsmith.formats import safetensors

WORDS = ("[UNK]", "[PAD]", "light", "lamp", "music", "song", "the")
VECTORS = np.array(
    [[9, 9, 9], [9, 9, 9], [1, 0, 0], [0.9, 0.1, 0], [0, 0, 1], [0, 0.2, 0.9], [0.1, 0.1, 0.1]], np.float32
)


def save(folder: Path, *, normalize: bool = True, **more: np.ndarray) -> Path:
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"normalize": normalize}))
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64"}
    arrays = {"embeddings": VECTORS, **more}
    safetensors.write(
        folder / "model.safetensors",
        {name: safetensors.Tensor(kinds[str(a.dtype)], a.shape, a.tobytes()) for name, a in arrays.items()},
    )
    return folder


def test_a_text_is_the_mean_of_the_vectors_of_its_known_tokens(tmp_path: Path) -> None:
    plain = StaticModel(save(tmp_path / "plain", normalize=False))
    encoded = plain.encode(["the light", "the unheard light", "unheard"])
    assert encoded[0] == pytest.approx((VECTORS[6] + VECTORS[2]) / 2)
    assert encoded[1] == pytest.approx(encoded[0])
    assert not encoded[2].any()
    unit = StaticModel(save(tmp_path / "unit")).encode(["the light"])[0]
    assert unit == pytest.approx(encoded[0] / np.linalg.norm(encoded[0]))


def test_weights_and_mapping_are_those_of_newer_folders(tmp_path: Path) -> None:
    mapping = np.array([0, 1, 4, 4, 2, 2, 6], np.int64)
    weights = np.array([1, 1, 0.5, 1, 1, 1, 2], np.float32)
    model = StaticModel(
        save(tmp_path / "new", normalize=False, mapping=mapping, weights=weights.astype(np.float16))
    )
    wanted = (0.5 * VECTORS[4] + 2 * VECTORS[6]) / 2
    assert model.encode(["light the"])[0] == pytest.approx(wanted, abs=1e-3)


def test_it_finds_what_shares_no_word(tmp_path: Path) -> None:
    train = [Example("music", "m"), Example("lamp", "l"), Example("unheard", "u")]
    retriever = StaticRetriever(save(tmp_path / "plain"), train)
    assert [one.output for one in retriever.nearest("the light", 2)] == ["l", "m"]
    assert retriever.nearest("song", 1) == [train[0]]
    assert retriever.nearest("unheard", 9) == train


def test_what_is_no_model_of_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        StaticModel(tmp_path / "none")
    folder = save(tmp_path / "plain")
    (folder / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(FormatError, match=r"tokenizer\.json"):
        StaticModel(folder)
    safetensors.write(folder / "model.safetensors", {"other": safetensors.Tensor("F32", (1,), b"\0\0\0\0")})
    with pytest.raises(FormatError, match="has no embeddings"):
        StaticModel(folder)
