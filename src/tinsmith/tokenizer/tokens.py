"""Vocabularies: which tokens end an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinsmith.errors import FormatError

# Characters. The longest of real vocabularies are runs of some hundred spaces; what is made of a token's text
# may take time by the square of its length.
MOST_TOKEN = 2048

# Texts that llama.cpp takes for an end of generation in any vocabulary (its `special_eog_ids`): ends of turn,
# of text and of message, and the separators of code-completion models.
_END_TEXTS = frozenset(
    (
        "<|im_end|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<eos>",
        "</s>",
        "<EOT>",
        "[EOT]",
        "[EOS]",
        "<｜end▁of▁sentence｜>",
        "<|fim_pad|>",
        "<|fim_repo|>",
        "<|repo_name|>",
        "<reponame>",
        "<|file_sep|>",
    )
)


def end_tokens(tokens: Sequence[str], types: Sequence[str], named: Iterable[int | None]) -> tuple[int, ...]:
    """Ids that end a generation, ascending: those named by the model, and added tokens known by their text.

    A token of ordinary text never ends one, whatever it spells. Raises FormatError for a vocabulary with a text
    longer than any.
    """
    longest = max(tokens, key=len, default="")
    if len(longest) > MOST_TOKEN:
        raise FormatError(
            f"token {tokens.index(longest)} has {len(longest)} characters; at most {MOST_TOKEN} are allowed"
        )
    by_text = (
        token
        for token, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind != "normal" and text in _END_TEXTS
    )
    return tuple(sorted({token for token in named if token is not None} | set(by_text)))
