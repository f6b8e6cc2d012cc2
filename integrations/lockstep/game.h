/* A game of tag: two hunters, who are players, after three foxes, whose minds are conversations with a model. Its turns
 * are a function of seed and inputs alone, to the bit. */
#ifndef GAME_H
#define GAME_H

#include "tin_host.h"

enum { WIDE = 24, HIGH = 10, HUNTERS = 2, FOXES = 3 };

/* A player's input in a turn. */
enum { STAY = 0, NORTH = 1, EAST = 2, SOUTH = 3, WEST = 4, HEADINGS = 5 };

/* What a fox's answer is to be. */
enum { NOTHING = 0, HEADING = 1, REMARK = 2 };

typedef struct hunter {
    int32_t x, y, caught;
} hunter;

/* asked: NOTHING, or what its model is working at; due: the turn in which it is heard; seed: what it is drawn by;
 * told: how many messages its mind had when it was asked */
typedef struct fox {
    int32_t x, y, heading, answers, asked, due, told;
    uint64_t seed;
    char said[64]; /* zeros behind the text */
} fox;

/* turn: how many are over; answers: digest of all tokens that foxes answered, and of their logits */
typedef struct world {
    uint64_t random, answers;
    int32_t turn;
    hunter hunters[HUNTERS];
    fox foxes[FOXES];
} world;

/* The foxes' minds. They belong to one world: copied with it, and rolled back with it. */
typedef struct minds {
    tinhost_session *of[FOXES];
} minds;

/* 0, or -1 with a line on stderr, as all here that can fail. context: tokens of each conversation. */
int minds_open(minds *m, tinhost_model *model, int32_t context);
void minds_close(minds *m);

/* Makes one world and its minds what others are, but for answers under way. */
int world_copy(world *to, minds *to_minds, const world *from, const minds *from_minds);

/* Begins the answers again that were under way in a copy: they come to the same. */
int world_resume(const world *w, minds *m);

void world_begin(world *w, uint64_t seed);

/* One turn. */
int world_turn(world *w, minds *m, const uint8_t inputs[HUNTERS]);

/* Lets the foxes think for about so long between turns: how much they do is nobody's matter. */
int world_think(const world *w, minds *m, int64_t microseconds);

/* FNV-1a over all there is, the same on every machine. */
uint64_t world_digest(const world *w);

/* Draws the field, [HIGH] rows, where a terminal understands ANSI. */
void world_draw(const world *w);

#endif
