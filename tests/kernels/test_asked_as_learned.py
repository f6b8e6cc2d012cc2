"""What training learns of an example, in tokens, is what the runtime asks and how it ends: by tokenizers and
templates as several families have them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from tokenizers import AddedToken

from tests.chat.test_chat_template import GEMMA, SMOLLM, THINKING
from tests.kernels import tokenizer_kinds
from tests.kernels.test_chat import QWEN
from tests.models.tiny_models import tiny_spec
from tinsmith import _core
from tinsmith.chat.chat_template import settle
from tinsmith.compiler import build_image
from tinsmith.data.readers import Example, Turn
from tinsmith.runtime import Model
from tinsmith.tokenizer import tokenizer_json
from tinsmith.train.batches.sequences import Tokenization

# By family: its kind of tokenizer, its template as a recipe settles it, control tokens beside these, the end.
ASKED = {
    "llama": ("smollm", settle(SMOLLM, system="home"), (), "<|im_end|>"),
    "qwen3": ("qwen2", settle(THINKING, system="home", thinking=False), (), "<|im_end|>"),
    "gemma3": ("gemma", settle(GEMMA, system="home"), ("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>"),
    "lfm2": ("llama-bpe", settle(QWEN, system="home"), (), "<|im_end|>"),
}
TEXTS = ("lights on", "a\n\nb", "e\u0301\u2028\u200b日本", "x  y <tool> '\"", "\ufeff🏿 <0x0A>")


@pytest.mark.parametrize("family", ASKED)
def test_what_is_learned_is_what_the_runtime_asks_and_ends_with(family: str, tmp_path: Path) -> None:
    """Ids of prompts, with turns or without, of answers, and of their ends."""
    kind, template, controls, end = ASKED[family]
    hf = tokenizer_kinds.KINDS[kind]()
    hf.add_special_tokens([AddedToken(text, normalized=False) for text in controls])
    folder = tokenizer_kinds.save(hf, tmp_path / "tokenizer")
    if hf.token_to_id("<s>") is None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))
    tokenizer, _ = tokenizer_json.read(folder)
    fill = [f"[PAD{k}]" for k in range(-len(tokenizer.tokens) % 32)]
    tokenizer = replace(
        tokenizer,
        tokens=[*tokenizer.tokens, *fill],
        types=[*tokenizer.types, *["unused"] * len(fill)],
        end_tokens=(tokenizer.tokens.index(end),),
    )
    spec = tiny_spec(family, vocab_size=len(tokenizer.tokens))
    image = build_image(replace(spec, tokenizer=tokenizer, chat_template=template))
    model = Model(_core.Model(image), image, threads=1)
    tokenize = Tokenization(
        replace(spec, tokenizer=tokenizer, chat_template=template),
        lambda text: model.tokenize(text, special=True),
        "chat",
        "home",
        512,
    )
    for text in TEXTS:
        (plain, told) = tokenize(
            [Example(text, text), Example(text, "ok", turns=(Turn("user", text), Turn("assistant", text)))]
        )
        asked = [{"role": "user", "content": text}]
        assert list(plain.prompt) == model.render(asked)
        assert list(told.prompt) == model.render([*asked, {"role": "assistant", "content": text}, *asked])
        assert plain.answer == (*model.tokenize(text), model.end_token)
        assert normalize("NFC", model.detokenize(plain.answer[:-1])) == normalize("NFC", text)
