#define _POSIX_C_SOURCE 200809L
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { HISTORY = 2 * SENT, SILENT_MS = 60000, LINGER = 200 };

/* inputs: by player and turn, the last HISTORY; known: how many of each. used: what the other was taken to do. acknowledged:
 * how many of our inputs the other has. sure: turns that are played with what is known. heard: the last turn whose digest
 * the other sent. lingering: calls since both are through; the other may still wait for a packet that was lost. */
struct peer {
    wire wire;
    int me, other, begun;
    int32_t turns, known[HUNTERS], acknowledged, sure, heard, lingering;
    uint64_t file, seeds[HUNTERS], quiet_since;
    uint8_t inputs[HUNTERS][HISTORY], used[HISTORY];
    world now, kept[KEPT];
    minds mind, kept_minds[KEPT];
    uint64_t digests[HISTORY + 1]; /* of each EVERY-th turn; of the last */
    tally tally;
};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

peer *peer_open(tinhost_model *model, int32_t context, const line *line, int32_t turns) {
    peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->me = line->number;
    p->other = 1 - line->number;
    p->turns = turns;
    p->file = (uint64_t)tinhost_fingerprint(model);
    p->seeds[p->me] = 1000u + (uint64_t)line->number;
    p->quiet_since = now_ms();
    p->tally.differs = -1;
    int bad = wire_open(&p->wire, line) || minds_open(&p->mind, model, context);
    for (int k = 0; k < KEPT && !bad; k++)
        bad = minds_open(&p->kept_minds[k], model, context);
    if (!bad)
        return p;
    peer_close(p);
    return NULL;
}

void peer_close(peer *p) {
    if (!p)
        return;
    wire_close(&p->wire);
    minds_close(&p->mind);
    for (int k = 0; k < KEPT; k++)
        minds_close(&p->kept_minds[k]);
    free(p);
}

/* ---- Packets ---- */

static uint64_t *digest_of(peer *p, int32_t turn) {
    return &p->digests[turn == p->turns ? HISTORY : turn / EVERY % HISTORY];
}

static void send_all(peer *p) {
    int32_t count = p->known[p->me], sure = p->sure == p->turns ? p->turns : p->sure / EVERY * EVERY;
    packet out = {
        .file = p->file, .seed = p->seeds[p->me], .has = p->known[p->other], .count = count, .sure = sure};
    for (int32_t k = 0; k < SENT && k < count; k++)
        out.inputs[k] = p->inputs[p->me][(count - 1 - k) % HISTORY];
    out.digest = *digest_of(p, sure);
    wire_send(&p->wire, &out);
}

/* The other's inputs that are new; where one was guessed wrong, `*back` is its turn. */
static void take_inputs(peer *p, const packet *in, int32_t *back) {
    if (in->count > p->now.turn + AHEAD + 1 || in->count > p->known[p->other] + SENT)
        return; /* nobody who plays by the rules sends this */
    while (p->known[p->other] < in->count) {
        int32_t turn = p->known[p->other]++;
        uint8_t input = in->inputs[in->count - 1 - turn] % HEADINGS;
        p->inputs[p->other][turn % HISTORY] = input;
        if (turn < p->now.turn && turn < *back && p->used[turn % HISTORY] != input)
            *back = turn;
    }
}

static void compare(peer *p, const packet *in) {
    int32_t at = in->sure;
    if (at <= p->heard || at > p->sure || (at % EVERY && at != p->turns))
        return;
    p->heard = at;
    if (*digest_of(p, at) == in->digest)
        p->tally.compared++;
    else if (p->tally.differs < 0)
        p->tally.differs = at;
}

/* 0, or -1 where the two can't play with each other. */
static int receive(peer *p, int32_t *back) {
    packet in;
    while (wire_read(&p->wire, &in)) {
        if (in.file != p->file)
            return fprintf(stderr, "error: the other peer plays with another file; give both the same\n"), -1;
        p->quiet_since = now_ms();
        p->seeds[p->other] = in.seed;
        if (in.has > p->acknowledged && in.has <= p->known[p->me])
            p->acknowledged = in.has;
        if (p->begun)
            take_inputs(p, &in, back);
        compare(p, &in);
    }
    return 0;
}

/* ---- Turns ---- */

/* What the other is taken to do in a turn: what is known, or what was known last. */
static uint8_t theirs(const peer *p, int32_t turn) {
    int32_t known = p->known[p->other];
    return known ? p->inputs[p->other][(turn < known ? turn : known - 1) % HISTORY] : STAY;
}

static int play(peer *p) {
    int32_t turn = p->now.turn, slot = turn % KEPT;
    uint8_t inputs[HUNTERS];
    if (world_copy(&p->kept[slot], &p->kept_minds[slot], &p->now, &p->mind))
        return -1;
    inputs[p->me] = p->inputs[p->me][turn % HISTORY];
    inputs[p->other] = p->used[turn % HISTORY] = theirs(p, turn);
    return world_turn(&p->now, &p->mind, inputs);
}

/* Plays the turns from `turn` on again. */
static int go_back(peer *p, int32_t turn) {
    int32_t end = p->now.turn;
    p->tally.rollbacks++;
    p->tally.again += end - turn;
    if (world_copy(&p->now, &p->mind, &p->kept[turn % KEPT], &p->kept_minds[turn % KEPT]) ||
        world_resume(&p->now, &p->mind))
        return -1;
    while (p->now.turn < end)
        if (play(p))
            return -1;
    return 0;
}

/* Notes the digests of worlds that no input can change any more. */
static void settle(peer *p) {
    int32_t known = p->known[p->other], end = known < p->now.turn ? known : p->now.turn;
    while (p->sure < end) {
        int32_t at = ++p->sure;
        if (at % EVERY && at != p->turns)
            continue;
        *digest_of(p, at) = p->tally.digest = world_digest(at == p->now.turn ? &p->now : &p->kept[at % KEPT]);
    }
    p->tally.turns = p->sure;
}

static int may_play(const peer *p) {
    int32_t turn = p->now.turn;
    return p->begun && turn < p->turns && turn < p->known[p->other] + AHEAD && turn < p->acknowledged + SENT;
}

/* As peer_turn, of what there is to do after packets were read. */
static int go_on(peer *p, uint8_t input, int32_t back) {
    if (!p->begun && p->seeds[p->other]) {
        world_begin(&p->now, p->seeds[0] * 31 + p->seeds[1]);
        p->begun = 1;
    }
    if (back < p->now.turn && go_back(p, back))
        return -1;
    if (may_play(p)) {
        p->inputs[p->me][p->known[p->me]++ % HISTORY] = input % HEADINGS;
        if (play(p))
            return -1;
    }
    settle(p);
    send_all(p);
    p->lingering += p->sure == p->turns && p->acknowledged == p->turns && p->heard == p->turns;
    return p->lingering > LINGER;
}

int peer_turn(peer *p, uint8_t input) {
    int32_t back = INT32_MAX;
    wire_take(&p->wire, !may_play(p));
    if (receive(p, &back))
        return -1;
    int state = go_on(p, input, back);
    p->tally.lost = p->wire.lost;
    if (p->tally.differs >= 0)
        return fprintf(stderr, "error: the worlds of the two peers differ in turn %d\n", p->tally.differs), -1;
    if (!state && now_ms() - p->quiet_since > SILENT_MS)
        return fprintf(stderr, "error: the other peer is silent since turn %d\n", p->now.turn), -1;
    return state;
}

int peer_think(peer *p, int64_t microseconds) {
    return world_think(&p->now, &p->mind, microseconds);
}

const world *peer_world(const peer *p) {
    return &p->now;
}

int64_t peer_session_bytes(const peer *p) {
    return tinhost_session_bytes(p->mind.of[0]);
}

const tally *peer_tally(const peer *p) {
    return &p->tally;
}
