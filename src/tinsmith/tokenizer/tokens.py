"""Vocabularies: which tokens end an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinsmith.errors import FormatError

# Characters. The longest tokens in use are runs of some hundred spaces; the compiler may take quadratic time.
MOST_TOKEN = 2048

# Texts that end a generation in any vocabulary, as in llama.cpp (`special_eog_ids`): ends of turn, text and
# message, and separators of code-completion models.
# fmt: off
_END_TEXTS = frozenset((
    "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>",
    "<|call|>", "<end_of_turn>", "<end_of_utterance>", "<eos>", "</s>", "<EOT>", "[EOT]", "[EOS]",
    "<｜end▁of▁sentence｜>", "<|fim_pad|>", "<|fim_repo|>", "<|repo_name|>", "<reponame>", "<|file_sep|>",
))
# fmt: on


def end_tokens(tokens: Sequence[str], types: Sequence[str], named: Iterable[int | None]) -> tuple[int, ...]:
    """Sorted ids that end a generation: `named` by the model, or added tokens with a known text.

    Raises FormatError for a token that is too long.
    """
    longest = max(tokens, key=len, default="")
    if len(longest) > MOST_TOKEN:
        raise FormatError(f"token {tokens.index(longest)} has {len(longest)} characters; at most {MOST_TOKEN}")
    by_text = (
        token
        for token, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind != "normal" and text in _END_TEXTS
    )
    return tuple(sorted({token for token in named if token is not None} | set(by_text)))
