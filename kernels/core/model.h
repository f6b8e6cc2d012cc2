#ifndef TINI_MODEL_H
#define TINI_MODEL_H

#include "kernel.h"
#include "program.h"
#include "tokenizer.h"
#include "trie.h"
#include "turns.h"
#include "zip.h"

struct tin_model {
    tini_zip zip;
    tini_program program;
    tini_tokenizer tokenizer;
    tini_turns turns;
    tini_trie trie; /* header NULL: the file has none */
    const tini_kernels *kernels;
};

/* What tin_model_size says, whatever a pointer's size. */
#define TINI_MODEL_ROOM 512u
_Static_assert(sizeof(tin_model) <= TINI_MODEL_ROOM, "room of a model");

#endif
