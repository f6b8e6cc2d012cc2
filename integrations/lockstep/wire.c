#define _POSIX_C_SOURCE 200809L
#include "wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t MAGIC[4] = {'T', 'A', 'G', '1'};

int wire_open(wire *w, const line *line) {
    struct sockaddr_in mine = {.sin_family = AF_INET}, theirs;
    mine.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    mine.sin_port = htons((uint16_t)(line->port + line->number));
    theirs = mine;
    theirs.sin_port = htons((uint16_t)(line->port + 1 - line->number));
    *w = (wire){.line = *line, .chance = 500u + (uint64_t)line->number};
    w->socket = socket(AF_INET, SOCK_DGRAM, 0);
    if (w->socket >= 0 && !bind(w->socket, (struct sockaddr *)&mine, sizeof mine) &&
        !connect(w->socket, (struct sockaddr *)&theirs, sizeof theirs))
        return 0;
    fprintf(stderr, "error: port %d of 127.0.0.1 can't be had; give another by --port\n",
            line->port + line->number);
    return -1;
}

void wire_close(wire *w) {
    if (w->socket >= 0)
        close(w->socket);
}

/* ---- Numbers in network order ---- */

static uint8_t *put(uint8_t *out, uint64_t value, int bytes) {
    for (int k = bytes; k-- > 0; value >>= 8)
        out[k] = (uint8_t)value;
    return out + bytes;
}

static uint64_t get(const uint8_t **in, int bytes) {
    uint64_t value = 0;
    for (int k = 0; k < bytes; k++)
        value = value << 8 | *(*in)++;
    return value;
}

static void write_packet(uint8_t *out, const packet *p) {
    memcpy(out, MAGIC, sizeof MAGIC);
    out = put(put(put(out + sizeof MAGIC, p->file, 8), p->seed, 8), p->digest, 8);
    out = put(put(put(out, (uint32_t)p->has, 4), (uint32_t)p->count, 4), (uint32_t)p->sure, 4);
    memcpy(out, p->inputs, SENT);
}

static void read_packet(const uint8_t *in, packet *p) {
    in += sizeof MAGIC;
    p->file = get(&in, 8);
    p->seed = get(&in, 8);
    p->digest = get(&in, 8);
    p->has = (int32_t)get(&in, 4);
    p->count = (int32_t)get(&in, 4);
    p->sure = (int32_t)get(&in, 4);
    memcpy(p->inputs, in, SENT);
}

/* ---- A bad network ---- */

uint64_t wire_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void wire_send(wire *w, const packet *p) {
    uint8_t bytes[BYTES];
    if ((int32_t)(wire_random(&w->chance) % 100) < w->line.loss) {
        w->lost++;
        return;
    }
    write_packet(bytes, p);
    (void)!send(w->socket, bytes, BYTES, 0);
}

static void hold(wire *w, const uint8_t *bytes) {
    int32_t k = 0;
    while (k < HELD && w->due[k])
        k++;
    if (k == HELD) {
        w->lost++;
        return;
    }
    w->due[k] = w->clock + wire_random(&w->chance) % ((uint32_t)w->line.late + 1);
    read_packet(bytes, &w->held[k]);
}

void wire_take(wire *w, int waits) {
    struct pollfd event = {.fd = w->socket, .events = POLLIN};
    uint8_t bytes[BYTES + 1];
    w->clock++;
    if (waits)
        poll(&event, 1, 1);
    while (recv(w->socket, bytes, sizeof bytes, MSG_DONTWAIT) == BYTES)
        if (!memcmp(bytes, MAGIC, sizeof MAGIC))
            hold(w, bytes);
}

int wire_read(wire *w, packet *p) {
    for (int32_t k = 0; k < HELD; k++)
        if (w->due[k] && w->due[k] <= w->clock) {
            *p = w->held[k];
            w->due[k] = 0;
            return 1;
        }
    return 0;
}
