/* A tin that is open: its entries, checked, and the kernels of the instruction set that was chosen. */
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
    tini_program mtp;     /* as is the layer that predicts a token more (multi-token prediction) */
    tini_tokenizer tokenizer;
    tini_turns turns;
    tini_trie trie;         /* header NULL: the file has none */
    tini_draft_table draft; /* header NULL: the file has none */
    const tini_kernels *kernels;
};

/* What tin_model_size says, whatever a pointer's size. */
#define TINI_MODEL_ROOM 576u
_Static_assert(sizeof(tin_model) <= TINI_MODEL_ROOM, "room of a model");

/* Compares every number that two entries of a file both hold, once and here: the entries' own checks (tini_*_open) look
 * at one entry each, and what runs later believes them all.
 *
 *   vocabulary   program.bin, mtp/program.bin, tokenizer.bin, trie.bin: one number
 *   token ids    turns.bin's are control tokens of tokenizer.bin; selftest.bin's are below the vocabulary
 *   context      selftest.bin's prompts fit program.bin's
 *   kept         mtp/program.bin keeps what the last of program.bin's caches and the last of its states do
 *   kind         program.bin is of text, vision/program.bin an encoder whose states are as wide as that's embeddings
 *
 * What drafts/answer.bin says of tokens is compared by tini_draft_table_open. Two are compared elsewhere: bytes of weights.bin by tini_program_open, which takes both entries; and the bytes of
 * trie.bin's tokens by tini_trie_check, when the first constraint is made. A constraint.bin has no number of the others:
 * it names tokens by their bytes, control tokens by their ids as bytes, and what the tree lacks is never allowed. Errors:
 * FORMAT. */
tin_status tini_model_agrees(const tin_model *model, tin_error *error);

/* Whether a constraint of the file, its own or an adapter's, has best-first search. */
int tini_model_searches(const tin_model *model);

#endif
