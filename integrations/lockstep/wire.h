/* What two peers say to each other: one kind of packet over UDP, on 127.0.0.1. A bad network is made of a good one. */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

/* SENT: inputs in a packet. HELD: packets that are late at once, at most. BYTES: of a packet. */
enum { SENT = 32, HELD = 64, BYTES = 4 + 3 * 8 + 3 * 4 + SENT };

/* file: its fingerprint. seed: of the sender. has: how many of the reader's inputs it has. count: how many of its own there
 * are. inputs: the newest of them first. sure: a turn whose world no input can change any more. digest: of that world */
typedef struct packet {
    uint64_t file, seed, digest;
    int32_t has, count, sure;
    uint8_t inputs[SENT];
} packet;

/* number: 0 or 1; the ports are `port` and `port` + 1. loss: percent of packets that are not sent. late: most calls of
 * wire_read's loop by which a packet is read later. */
typedef struct line {
    int32_t number, port, loss, late;
} line;

typedef struct wire {
    line line;
    int socket;
    int32_t lost;
    uint64_t chance, clock, due[HELD]; /* due 0: the place is free */
    packet held[HELD];
} wire;

/* 0, or -1 with a line on stderr. */
int wire_open(wire *w, const line *line);
void wire_close(wire *w);

/* What can't be sent is lost, as on any network. */
void wire_send(wire *w, const packet *p);

/* Takes what has come, and lets a moment of the made network pass; waits a millisecond where `waits`. */
void wire_take(wire *w, int waits);

/* The next packet that is due: 1, or 0 where there is none. */
int wire_read(wire *w, packet *p);

/* splitmix64 (Vigna, public domain). */
uint64_t wire_random(uint64_t *state);

#endif
