/* lockstep FILE.tin NUMBER [--turns N] [--loss PERCENT] [--late N] [--port P] [--context N] [--play]
 *
 * One of two peers, NUMBER 0 or 1, that play tag over the loopback; see README.md. Prints JSON when it is over. */
#define _DEFAULT_SOURCE
#include "peer.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

typedef struct options {
    const char *file;
    line line;
    int32_t turns, context, play;
} options;

static int read_options(int argc, char **argv, options *o) {
    const char *const names[] = {"--turns", "--loss", "--late", "--port", "--context"};
    int32_t *const values[] = {&o->turns, &o->line.loss, &o->line.late, &o->line.port, &o->context};
    *o = (options){.turns = 1000, .context = 640, .line = {.loss = 10, .late = 4, .port = 47100}};
    o->file = argc > 1 ? argv[1] : NULL;
    o->line.number = argc > 2 ? atoi(argv[2]) : -1;
    for (int k = 3; k < argc; k++) {
        uint32_t n = 0;
        while (n < 5 && strcmp(argv[k], names[n]))
            n++;
        if (n < 5 && k + 1 < argc)
            *values[n] = atoi(argv[++k]);
        else if (!strcmp(argv[k], "--play"))
            o->play = 1;
        else
            return 0;
    }
    return argc > 2 && (o->line.number == 0 || o->line.number == 1) && o->turns > 0 && o->line.loss >= 0 &&
           o->line.loss < 90 && o->line.late >= 0 && o->line.late < HELD && o->line.port > 0 &&
           o->line.port < 65535;
}

/* A player who keeps a heading for some turns. The other peer does not know how it is drawn. */
static uint8_t wander(uint64_t *chance, uint8_t heading) {
    return wire_random(chance) % 6 ? heading : (uint8_t)(wire_random(chance) % HEADINGS);
}

/* ---- A player at a terminal ---- */

static struct termios before;

static void restore_terminal(void) {
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

static void take_terminal(void) {
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &before))
        return;
    atexit(restore_terminal);
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    printf("\033[2J");
}

/* The last key that was pressed: w, a, s, d; else the heading as it is. */
static uint8_t read_key(uint8_t heading) {
    char keys[16];
    ssize_t count = read(STDIN_FILENO, keys, sizeof keys);
    const char *const known = " wdsa", *found = count > 0 ? strchr(known, keys[count - 1]) : NULL;
    return found && *found ? (uint8_t)(found - known) : heading;
}

/* Thinks for what is left of the hundredth of a second that a turn takes at a terminal. */
static int pause_turn(peer *p) {
    world_draw(peer_world(p));
    for (int k = 0; k < 10; k++) {
        if (peer_think(p, 2000))
            return -1;
        usleep(8000);
    }
    return 0;
}

/* ---- ---- */

static int run(tinhost_model *model, const options *o) {
    peer *p = peer_open(model, o->context, &o->line, o->turns);
    if (!p)
        return 1;
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    uint64_t chance = 77u + (uint64_t)o->line.number;
    uint8_t heading = STAY;
    int state = 0;
    if (o->play)
        take_terminal();
    for (int32_t turn = -1; !state;) {
        if (turn != peer_world(p)->turn) { /* an input a turn, however often it is offered */
            turn = peer_world(p)->turn;
            heading = o->play ? read_key(heading) : wander(&chance, heading);
        }
        state = peer_turn(p, heading);
        if (!state)
            state = o->play ? pause_turn(p) : peer_think(p, 100);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    const tally *t = peer_tally(p);
    const world *w = peer_world(p);
    printf("{\"peer\": %d, \"isa\": \"%s\", \"turns\": %d, \"compared\": %d, \"digest\": \"%016" PRIx64
           "\", \"rollbacks\": %d, \"played_again\": %d, \"packets_lost\": %d, \"caught\": [%d, %d], "
           "\"answers\": %d, "
           "\"session_bytes\": %" PRId64 ", \"seconds\": %.1f}\n",
           o->line.number, tinhost_isa(model), t->turns, t->compared, t->digest, t->rollbacks, t->again,
           t->lost, w->hunters[0].caught, w->hunters[1].caught,
           w->foxes[0].answers + w->foxes[1].answers + w->foxes[2].answers, peer_session_bytes(p),
           (double)(ended.tv_sec - begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec) / 1e9);
    peer_close(p);
    return state < 0;
}

int main(int argc, char **argv) {
    options o;
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: lockstep FILE.tin 0|1 [--turns N] [--loss PERCENT] [--late N] [--port P] "
                        "[--context TOKENS] [--play]\n");
        return 2;
    }
    tinhost_model *model = tinhost_open(o.file, NULL);
    int code = 1;
    if (tinhost_model_status(model))
        fprintf(stderr, "error: %s\n", tinhost_model_error(model));
    else
        code = run(model, &o);
    tinhost_close(model);
    return code;
}
