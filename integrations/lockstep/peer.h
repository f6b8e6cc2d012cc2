/* A peer of a game between two machines: it sends its own inputs, guesses the other's, and goes back to play turns again
 * where it guessed wrong. */
#ifndef PEER_H
#define PEER_H

#include "game.h"
#include "wire.h"

/* AHEAD: most turns beyond the last input that is known. KEPT: turns that can be gone back to. EVERY: turns from one digest
 * that is compared to the next. */
enum { AHEAD = 6, KEPT = AHEAD + 2, EVERY = 50 };

typedef struct peer peer;

/* turns: that no input can change any more. compared: digests that were equal; differs: the first turn where they were not,
 * or -1. again: turns that were played again. digest: of the last world that is sure. */
typedef struct tally {
    int32_t turns, compared, differs, rollbacks, again, lost;
    uint64_t digest;
} tally;

/* NULL with a line on stderr where it fails. context: tokens of a conversation. */
peer *peer_open(tinhost_model *model, int32_t context, const line *line, int32_t turns);
void peer_close(peer *p);

/* The world as it is taken to be now. */
const world *peer_world(const peer *p);

/* Reads what came, goes back where it must, and plays a turn with the player's input where it may, or waits a millisecond.
 * 1 when the game is over for both, 0 while it goes on, -1 with a line on stderr. */
int peer_turn(peer *p, uint8_t input);

/* Lets the foxes think meanwhile. */
int peer_think(peer *p, int64_t microseconds);

/* Bytes of a conversation; a peer has FOXES times KEPT + 1 of them. */
int64_t peer_session_bytes(const peer *p);

const tally *peer_tally(const peer *p);

#endif
