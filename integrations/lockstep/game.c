#include "game.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A fox is asked each PERIOD turns and heard THINK turns later, whether its model was quick or slow: what arrives when is
 * the rules' matter and not the machine's. */
enum { PERIOD = 10, THINK = 5, MOST_MESSAGES = 7, REMARK_EACH = 4, REMARK_TOKENS = 16 };

static const char *const OPTIONS = "stay\nnorth\neast\nsouth\nwest"; /* by their numbers */
static const int32_t DX[HEADINGS] = {0, 0, 1, 0, -1}, DY[HEADINGS] = {0, -1, 0, 1, 0};

/* ---- Minds ---- */

static int failed(const tinhost_session *s, const char *what) {
    fprintf(stderr, "error: %s: %s\n", what, tinhost_error(s));
    return -1;
}

int minds_open(minds *m, tinhost_model *model, int32_t context) {
    for (int32_t k = 0; k < FOXES; k++) {
        m->of[k] = tinhost_session_open(model, context, 1, 1, 0);
        if (tinhost_status(m->of[k]))
            return failed(m->of[k], "a fox's mind");
        tinhost_constrained(m->of[k], 0);
    }
    return 0;
}

void minds_close(minds *m) {
    for (int32_t k = 0; k < FOXES; k++)
        tinhost_session_close(m->of[k]);
}

/* Begins what the fox was asked for, by its conversation as it stands. */
static int begin(const fox *f, tinhost_session *s) {
    int32_t status = TIN_OK;
    if (f->asked == HEADING) {
        status = tinhost_sampling(s, 0, 1, 1, 0);
        status = status ? status : tinhost_choose(s, OPTIONS);
    } else if (f->asked == REMARK) {
        status = tinhost_sampling(s, 0.8, 0.95, 1.1, (int64_t)(f->seed >> 1));
        status = status ? status : tinhost_begin(s, REMARK_TOKENS);
    }
    return status ? failed(s, "a fox that is asked") : 0;
}

int world_copy(world *to, minds *to_minds, const world *from, const minds *from_minds) {
    *to = *from;
    for (int32_t k = 0; k < FOXES; k++) {
        tinhost_cancel(to_minds->of[k]);
        if (tinhost_copy(to_minds->of[k], from_minds->of[k]))
            return failed(to_minds->of[k], "the copy of a mind");
    }
    return 0;
}

int world_resume(const world *w, minds *m) {
    for (int32_t k = 0; k < FOXES; k++) {
        const fox *f = &w->foxes[k];
        /* One that was quick has its answer in the conversation already, before it is heard. */
        if (f->asked && (tinhost_forget(m->of[k], f->told) || begin(f, m->of[k])))
            return failed(m->of[k], "a fox that is asked again");
    }
    return 0;
}

int world_think(const world *w, minds *m, int64_t microseconds) {
    const int64_t each = microseconds < 0 ? -1 : microseconds / FOXES + 1;
    for (int32_t k = 0; k < FOXES; k++)
        if (w->foxes[k].asked && tinhost_step(m->of[k], each) < 0)
            return failed(m->of[k], "a fox that thinks");
    return 0;
}

static int ask(world *w, int32_t k, tinhost_session *s) {
    static const char *const RULES = "You are a fox in a field. Hunters chase you: keep away from them.";
    fox *f = &w->foxes[k];
    const hunter *h = w->hunters;
    char text[160];
    f->asked = ++f->answers % REMARK_EACH ? HEADING : REMARK;
    f->due = w->turn + THINK;
    f->seed = wire_random(&w->random);
    snprintf(text, sizeof text, "You: %d,%d. Hunters: %d,%d %d,%d. %s", f->x, f->y, h[0].x, h[0].y, h[1].x,
             h[1].y, f->asked == HEADING ? "Where?" : "Tease them.");
    if (tinhost_messages(s) > MOST_MESSAGES)
        tinhost_forget(s, 0);
    if ((!tinhost_messages(s) && tinhost_say(s, TIN_ROLE_SYSTEM, RULES)) || tinhost_say(s, TIN_ROLE_USER, text))
        return failed(s, "a fox that is told");
    f->told = tinhost_messages(s);
    return begin(f, s);
}

static int hear(world *w, int32_t k, tinhost_session *s) {
    fox *f = &w->foxes[k];
    int32_t event = TINHOST_PIECE;
    while (event == TINHOST_PIECE || event == TINHOST_PENDING)
        event = tinhost_step(s, 0);
    if (event < 0)
        return failed(s, "a fox that answers");
    if (f->asked == HEADING)
        f->heading = tinhost_chosen(s);
    memset(f->said, 0, sizeof f->said);
    snprintf(f->said, sizeof f->said, "%s", tinhost_answer(s));
    memset(f->said + strlen(f->said), 0, sizeof f->said - strlen(f->said));
    w->answers = (w->answers ^ (uint64_t)tinhost_digest(s)) * 0x100000001B3u;
    f->asked = NOTHING;
    return 0;
}

/* ---- Rules ---- */

static int32_t within(int32_t at, int32_t size) {
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

static void place(world *w, fox *f) {
    f->x = (int32_t)(wire_random(&w->random) % WIDE);
    f->y = (int32_t)(wire_random(&w->random) % HIGH);
}

void world_begin(world *w, uint64_t seed) {
    memset(w, 0, sizeof *w);
    w->random = seed;
    for (int32_t k = 0; k < HUNTERS; k++)
        w->hunters[k] = (hunter){k ? WIDE - 2 : 1, HIGH / 2, 0};
    for (int32_t k = 0; k < FOXES; k++)
        place(w, &w->foxes[k]);
}

static void move_fox(world *w, fox *f) {
    if (w->turn % 2)
        return;
    f->x = within(f->x + DX[f->heading], WIDE);
    f->y = within(f->y + DY[f->heading], HIGH);
}

int world_turn(world *w, minds *m, const uint8_t inputs[HUNTERS]) {
    for (int32_t k = 0; k < HUNTERS; k++) {
        w->hunters[k].x = within(w->hunters[k].x + DX[inputs[k]], WIDE);
        w->hunters[k].y = within(w->hunters[k].y + DY[inputs[k]], HIGH);
    }
    for (int32_t k = 0; k < FOXES; k++) {
        fox *f = &w->foxes[k];
        if (f->asked && w->turn == f->due && hear(w, k, m->of[k]))
            return -1;
        if (!f->asked && w->turn % PERIOD == k * 2 && ask(w, k, m->of[k]))
            return -1;
        move_fox(w, f);
        for (int32_t j = 0; j < HUNTERS; j++)
            if (w->hunters[j].x == f->x && w->hunters[j].y == f->y) {
                w->hunters[j].caught++;
                place(w, f);
            }
    }
    w->turn++;
    return 0;
}

static uint64_t mix(uint64_t digest, uint64_t value) {
    for (int32_t k = 0; k < 8; k++, value >>= 8)
        digest = (digest ^ (value & 0xFF)) * 0x100000001B3u;
    return digest;
}

uint64_t world_digest(const world *w) {
    uint64_t digest = mix(mix(mix(0xCBF29CE484222325u, w->random), w->answers), (uint64_t)w->turn);
    for (int32_t k = 0; k < HUNTERS; k++) {
        const hunter *h = &w->hunters[k];
        digest = mix(mix(mix(digest, (uint64_t)h->x), (uint64_t)h->y), (uint64_t)h->caught);
    }
    for (int32_t k = 0; k < FOXES; k++) {
        const fox *f = &w->foxes[k];
        const int32_t numbers[] = {f->x, f->y, f->heading, f->answers, f->asked, f->due, f->told};
        for (uint32_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
            digest = mix(digest, (uint64_t)numbers[n]);
        digest = mix(digest, f->seed);
        for (uint32_t n = 0; n < sizeof f->said; n++)
            digest = mix(digest, (unsigned char)f->said[n]);
    }
    return digest;
}

void world_draw(const world *w) {
    char field[HIGH][WIDE];
    memset(field, '.', sizeof field);
    for (int32_t k = 0; k < FOXES; k++)
        field[w->foxes[k].y][w->foxes[k].x] = (char)('a' + k);
    for (int32_t k = 0; k < HUNTERS; k++)
        field[w->hunters[k].y][w->hunters[k].x] = (char)('1' + k);
    printf("\033[H");
    for (int32_t y = 0; y < HIGH; y++)
        printf("  %.*s\033[K\n", WIDE, field[y]);
    printf("  caught %d : %d, turn %d\033[K\n", w->hunters[0].caught, w->hunters[1].caught, w->turn);
    for (int32_t k = 0; k < FOXES; k++) {
        printf("  %c: ", 'a' + k);
        for (const char *c = w->foxes[k].said; *c; c++)
            putchar((unsigned char)*c < ' ' || *c == 0x7F ? ' ' : *c);
        printf("\033[K\n");
    }
    fflush(stdout);
}
