/* An open tin: its entries, checked, and the kernels of the chosen instruction set. */
#ifndef TINI_MODEL_H
#define TINI_MODEL_H

#include "../base/isa.h"
#include "../constraint/trie.h"
#include "../text/draft_table.h"
#include "../text/tokenizer.h"
#include "../text/turns.h"
#include "../vm/program.h"
#include "zip.h"

struct tin_model {
    tini_zip zip;
    tini_program program;
    tini_program encoder; /* header NULL: the file has none */
    tini_program mtp;     /* the multi-token-prediction layer; header NULL: the file has none */
    tini_tokenizer tokenizer;
    tini_turns turns;
    tini_trie trie;         /* header NULL: the file has none */
    tini_draft_table draft; /* header NULL: the file has none */
    const tini_kernels *kernels;
};

/* The result of tin_model_size, independent of a pointer's size. */
#define TINI_MODEL_ROOM 576u
_Static_assert(sizeof(tin_model) <= TINI_MODEL_ROOM, "room of a model");

/* Compares all numbers that two entries of a file both contain. The entries' own checks (tini_*_open) read one
 * entry each; later code trusts both checks.
 *
 *   vocabulary   program.bin, mtp/program.bin, tokenizer.bin, trie.bin: one number
 *   token ids    turns.bin's are control tokens of tokenizer.bin; selftest.bin's are below the vocabulary
 *   context      selftest.bin's prompts fit program.bin's
 *   kept         the last cache and the last state of program.bin are as those of mtp/program.bin
 *   kind         program.bin is of text; vision/program.bin is an encoder, with states as wide as the embeddings
 *
 * Three comparisons are elsewhere. tini_draft_table_open compares the tokens of drafts/answer.bin.
 * tini_program_open takes both entries, and compares the bytes of weights.bin. tini_trie_check compares the
 * bytes of trie.bin's tokens, when the first constraint is made. A constraint.bin shares no number with other
 * entries: it names tokens by their bytes, control tokens by their ids as bytes, and never allows a token that
 * the trie lacks. Errors: FORMAT. */
tin_status tini_model_agrees(const tin_model *model, tin_error *error);

/* Whether a constraint of the file, its own or an adapter's, has best-first search. */
int tini_model_searches(const tin_model *model);

#endif
