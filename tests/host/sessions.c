/* sessions FILE.tin SEED ROUNDS: calls of tin_host.h by chance, of three sessions of a model. Each answer is computed again by a
 * fresh session that is given the conversation as it should be by now: it is the same, and so are all messages. Calls that are
 * refused change nothing. Prints how many answers were compared, and how many calls were refused. */
#include "tin_host.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAYERS = 3, MESSAGES = 20, TEXT = 8192, IMAGES = 3, ADAPTERS = 8, CALLS = 300 };

typedef struct image {
    int32_t width, height;
    uint32_t seed;
} image;

typedef struct message {
    int32_t role;
    char text[TEXT];
    image images[IMAGES];
    int32_t image_count;
} message;

/* What a session should be. */
typedef struct conversation {
    message messages[MESSAGES];
    int32_t count;
    struct {
        int32_t which;
        double scale;
    } adapters[ADAPTERS];
    int32_t adapter_count, constrained, think;
    double temperature, top_p, repetition;
    int64_t seed;
} conversation;

typedef enum way { BEGIN, ASK, CHOOSE, COMPLETE } way;

typedef struct player {
    tinhost_session *it;
    int32_t context, room; /* of tokens, of adapters */
    conversation is;
    message waiting; /* images for the next message */
    int under_way;
    way how;
    int32_t most;
    char given[TEXT];
} player;

static tinhost_model *model;
static const char *names[16];
static int32_t name_count;
static int has_vision;
static uint64_t chance;
static long compared, refused;

static uint32_t below(uint32_t bound) {
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(chance >> 33) % bound;
}

#define ONE_OF(list) (list)[below(sizeof(list) / sizeof *(list))]

static void must(int condition, const char *what, const player *p) {
    if (condition)
        return;
    fprintf(stderr, "sessions: %s; %s\n", what, tinhost_error(p->it));
    abort();
}

static void some_text(char *out, size_t most) {
    static const char *const WORDS[] = {"open", "the",  "hatch", " ",       "\n",      "port",
                                        "yes",  "42",   "\"",    "café",    "<think>", "<|im_end|>",
                                        "\xff", "left", "{",     "</think>"};
    *out = 0;
    for (uint32_t n = below(8); n; n--) {
        const char *word = ONE_OF(WORDS);
        if (strlen(out) + strlen(word) + 2 < most)
            strcat(strcat(out, word), below(3) ? " " : "");
    }
}

/* ---- Sessions as they should be ------------------------------------------------------------------ */

static int32_t show(tinhost_session *to, const image *one) {
    size_t size = (size_t)one->width * (size_t)one->height * 3;
    uint8_t *pixels = malloc(size);
    uint32_t value = one->seed * 2654435761u + 1;
    for (size_t k = 0; k < size; k++)
        pixels[k] = (uint8_t)((value = value * 1664525u + 1013904223u) >> 24);
    int32_t status = tinhost_pixels(to, pixels, (int64_t)size, one->width, one->height, 3);
    free(pixels);
    return status;
}

static int32_t begin(tinhost_session *of, const player *p) {
    switch (p->how) {
    case BEGIN:
        return tinhost_begin(of, p->most);
    case ASK:
        return tinhost_ask(of, p->given, p->most);
    case CHOOSE:
        return tinhost_choose(of, p->given);
    default:
        return tinhost_complete(of, p->given, p->most);
    }
}

static void open_player(player *p) {
    static const int32_t CONTEXTS[] = {0, 64, 128, 200};
    *p = (player){.context = ONE_OF(CONTEXTS), .room = (int32_t)below(9)};
    p->is = (conversation){.constrained = 1, .top_p = 1, .repetition = 1};
    p->it = tinhost_session_open(model, p->context, (int32_t)below(2), p->room, 0);
    must(!tinhost_status(p->it), "a session does not open", p);
}

/* A session that never was another. */
static tinhost_session *fresh(const player *p) {
    const conversation *is = &p->is;
    tinhost_session *made = tinhost_session_open(model, p->context, 1, p->room, 0);
    int good = !tinhost_status(made) && !tinhost_constrained(made, is->constrained) &&
               !tinhost_think(made, is->think) &&
               !tinhost_sampling(made, is->temperature, is->top_p, is->repetition, is->seed);
    for (int32_t k = 0; k < is->adapter_count; k++)
        good = good && !tinhost_adapter(made, names[is->adapters[k].which], is->adapters[k].scale);
    for (int32_t k = 0; k < is->count; k++) {
        for (int32_t n = 0; n < is->messages[k].image_count; n++)
            good = good && !show(made, &is->messages[k].images[n]);
        good = good && !tinhost_say(made, is->messages[k].role, is->messages[k].text);
    }
    for (int32_t n = 0; n < p->waiting.image_count; n++)
        good = good && !show(made, &p->waiting.images[n]);
    must(good, "a fresh session can't be what this one is", p);
    return made;
}

static void same_messages(const tinhost_session *other, const player *p) {
    const conversation *is = &p->is;
    must(tinhost_messages(other) == is->count, "the number of messages", p);
    for (int32_t k = 0; k < is->count; k++)
        must(!strcmp(tinhost_message(other, k), is->messages[k].text) &&
                 tinhost_message_role(other, k) == is->messages[k].role,
             "a message", p);
}

static void add(player *p, int32_t role, const char *text) {
    message *one = &p->is.messages[p->is.count++];
    *one = role == TIN_ROLE_USER ? p->waiting : (message){0};
    one->role = role;
    must(strlen(text) < sizeof one->text, "a text is longer than this program has room for", p);
    snprintf(one->text, sizeof one->text, "%s", text);
    if (role == TIN_ROLE_USER)
        p->waiting = (message){0};
}

/* At the end of an answer: the same by a session that begins with what this one began with. */
static void compare(player *p, tinhost_session *other, int32_t event) {
    int32_t end = event;
    for (end = TINHOST_PENDING; end == TINHOST_PENDING || end == TINHOST_PIECE;)
        end = tinhost_step(other, 0);
    must(end == event, "a fresh session ends differently", p);
    compared++;
    p->under_way = 0;
    if (event < 0)
        return;
    must(!strcmp(tinhost_answer(other), tinhost_answer(p->it)) &&
             tinhost_digest(other) == tinhost_digest(p->it) && tinhost_tokens(other) == tinhost_tokens(p->it) &&
             tinhost_finish(other) == tinhost_finish(p->it) && tinhost_chosen(other) == tinhost_chosen(p->it),
         "another answer", p);
    if (p->how != COMPLETE)
        add(p, TIN_ROLE_ASSISTANT, tinhost_message(p->it, p->is.count));
    same_messages(other, p);
    same_messages(p->it, p);
}

static void step(player *p) {
    static const int64_t BUDGETS[] = {0, 0, 1, 50, 2000, -1, INT64_MIN, INT64_MAX};
    for (uint32_t n = below(2) ? 0 : below(6); n && p->under_way; n--) {
        int32_t event = tinhost_step(p->it, ONE_OF(BUDGETS));
        must(event != TINHOST_IDLE && strlen(tinhost_piece(p->it)) <= strlen(tinhost_answer(p->it)), "a step",
             p);
        if (event != TINHOST_DONE && event >= 0)
            continue;
        player as = *p; /* an answer that was asked for has its question among the messages by now */
        if (as.how == ASK)
            as.how = BEGIN;
        tinhost_session *other = fresh(&as);
        must(!begin(other, &as), "a fresh session begins no answer", p);
        compare(p, other, event);
        tinhost_session_close(other);
    }
}

/* ---- Calls ------------------------------------------------------------------------------------------ */

/* A call that must be refused, with a line that says why. */
static void refuse(int32_t status, const player *p, const char *what) {
    must(status < 0 && status == tinhost_status(p->it) && *tinhost_error(p->it), what, p);
    refused++;
}

/* Numbers at their extremes, at each argument; other calls that are refused whatever the session is. */
static void odd_calls(player *p) {
    static const int32_t INTS[] = {INT32_MAX, INT32_MIN, INT32_MIN + 1, 65536, 1 << 30, -1, -2};
    static const double REALS[] = {NAN, INFINITY, -INFINITY, DBL_MAX, -DBL_MAX, 3.5e38, -65536, 1e10};
    tinhost_session *it = p->it;
    const int32_t odd = ONE_OF(INTS);
    const double real = ONE_OF(REALS);
    const uint8_t bytes[16] = {'T', 'N', 'H', 'S', 1};
    refuse(tinhost_forget(it, odd), p, "forget");
    refuse(tinhost_say(it, odd, "text"), p, "a role");
    refuse(tinhost_say(it, TIN_ROLE_USER, NULL), p, "no text");
    refuse(tinhost_duty_cycle(it, odd), p, "a duty cycle");
    refuse(tinhost_think(it, odd), p, "a mode");
    refuse(tinhost_begin(it, odd < 0 ? odd : 0), p, "no tokens");
    refuse(tinhost_ask(it, "text", odd < 0 ? odd : 0), p, "no tokens of a question");
    p->waiting = (message){0}; /* images go with the question */
    refuse(tinhost_complete(it, "text", odd < 0 ? odd : 0), p, "no tokens of a text");
    refuse(tinhost_complete(it, NULL, 4), p, "nothing to complete");
    refuse(tinhost_sampling(it, real == 1e10 ? -1 : real, 1, 1, 0), p, "a temperature");
    refuse(tinhost_sampling(it, 0, real, 1, 0), p, "a share");
    refuse(tinhost_sampling(it, 0, 1, real == 1e10 ? 0 : real, 0), p, "a penalty");
    if (name_count)
        refuse(tinhost_adapter(it, names[0], real), p, "a scale");
    refuse(tinhost_adapter(it, "nowhere", 1), p, "an unknown adapter");
    refuse(tinhost_pixels(it, bytes, 16, odd, 2, 4), p, "a width");
    refuse(tinhost_pixels(it, bytes, 16, 2, odd, 4), p, "a height");
    refuse(tinhost_pixels(it, bytes, 16, 2, 2, odd), p, "channels");
    refuse(tinhost_pixels(it, bytes, odd < 0 ? odd : INT64_MAX, 2, 2, 4), p, "a size");
    refuse(tinhost_image(it, bytes, odd < 0 ? INT64_MIN : 16), p, "no image");
    refuse(tinhost_restore(it, bytes, odd < 0 ? odd : 16), p, "no session");
    refuse(tinhost_restore(it, NULL, INT64_MAX), p, "nowhere");
    refuse(tinhost_save(it, (void *)(uintptr_t)bytes, odd < 0 ? odd : 16), p, "a room");
    refuse(tinhost_copy(it, it), p, "itself");
    static const char *const LISTS[] = {"", "\n", "a\n\n", "\na", "a\n\nb", "a\na", "a\nb\na\n"};
    refuse(tinhost_choose(it, ONE_OF(LISTS)), p, "options");
    must(!tinhost_message(it, odd) && tinhost_message_role(it, odd) == -1, "a message that is not there", p);
    must(!tinhost_adapter_name(model, odd), "an adapter that is not there", p);
    tinhost_session *other = tinhost_session_open(model, 64, odd == 1 << 30 ? odd : 1, odd, odd < 0 ? odd : 0);
    must(tinhost_status(other) == TIN_ERR_ARGUMENT, "a session of odd numbers", p);
    tinhost_session_close(other);
    same_messages(it, p);
}

static void put_adapter(player *p) {
    static const double SCALES[] = {1, 1, 0.5, -0.25, 2, 0, 1e-60, -5e-324, 1e-45, 65535.99};
    conversation *is = &p->is;
    if (!name_count)
        return;
    int32_t which = (int32_t)below((uint32_t)name_count), at = 0;
    double scale = ONE_OF(SCALES);
    int32_t status = below(8) ? tinhost_adapter(p->it, names[which], scale)
                              : (which = -1, tinhost_adapter(p->it, NULL, scale));
    must(!p->under_way || status == TIN_ERR_STATE, "an adapter during an answer", p);
    if (status) {
        refused++;
        return;
    }
    while (at < is->adapter_count && is->adapters[at].which != which)
        at++;
    if (which < 0) {
        is->adapter_count = 0;
    } else if ((float)scale != 0) {
        must(at < ADAPTERS, "a ninth adapter", p);
        is->adapters[at].which = which;
        is->adapters[at].scale = scale;
        is->adapter_count += at == is->adapter_count;
    } else if (at < is->adapter_count) {
        for (is->adapter_count--; at < is->adapter_count; at++)
            is->adapters[at] = is->adapters[at + 1];
    }
}

static void settings(player *p) {
    static const double TEMPERATURES[] = {0, 0.8, 8, 1e-40, 1e-45, 3e38}, SHARES[] = {1, 0.9, 0, 1e-45},
                        PENALTIES[] = {1, 1, 1.2, 0.5, 3e38, 1.2e-38};
    conversation *is = &p->is;
    if (p->under_way) {
        refuse(tinhost_sampling(p->it, 0, 1, 1, 0), p, "sampling during an answer");
        refuse(tinhost_constrained(p->it, 1), p, "a constraint during an answer");
        return;
    }
    is->temperature = ONE_OF(TEMPERATURES);
    is->top_p = ONE_OF(SHARES);
    is->repetition = ONE_OF(PENALTIES);
    is->seed = below(2) ? (int64_t)below(5) : INT64_MIN;
    is->constrained = (int32_t)below(2);
    is->think = below(4) ? 0 : (int32_t)below(3);
    must(!tinhost_sampling(p->it, is->temperature, is->top_p, is->repetition, is->seed) &&
             !tinhost_constrained(p->it, is->constrained) && !tinhost_think(p->it, is->think),
         "settings", p);
}

static void begin_answer(player *p) {
    static const char *const LISTS[] = {"left\nright",
                                        "yes\nno\nyesterday\n",
                                        "a",
                                        "\xff\xfe\nb",
                                        "open the hatch\nclose the hatch\nwait",
                                        "<|im_end|>\n<|im_start|>x"};
    if (p->under_way) {
        refuse(tinhost_ask(p->it, "and?", 4), p, "a question during an answer");
        return;
    }
    if (p->is.count > MESSAGES - 3)
        return;
    p->how = (way)below(4);
    p->most = below(8) ? 1 + (int32_t)below(30) : INT32_MAX;
    if (p->how == CHOOSE)
        snprintf(p->given, sizeof p->given, "%s", ONE_OF(LISTS));
    else
        some_text(p->given, 120);
    tinhost_session *other = fresh(p);
    int32_t wanted = begin(other, p), status = begin(p->it, p);
    tinhost_session_close(other);
    must(status == wanted, "a fresh session is refused otherwise", p);
    p->under_way = !status;
    if (p->how == ASK && !status)
        add(p, TIN_ROLE_USER, p->given);
    else if (p->how == ASK)
        p->waiting = (message){0}; /* they went with the question */
    refused += status != 0;
    same_messages(p->it, p);
}

static void forget(player *p) {
    p->is.count = below(3) ? (int32_t)below((uint32_t)p->is.count + 1) : 0;
    must(!tinhost_forget(p->it, p->is.count), "forget", p);
    p->waiting = (message){0};
    p->under_way = 0;
}

static void talk(player *p) {
    char text[TEXT];
    if (p->under_way || p->is.count > MESSAGES - 3)
        return;
    if (has_vision && below(2) && p->waiting.image_count < IMAGES) {
        image one = {1 + (int32_t)below(90), 1 + (int32_t)below(90), below(3)};
        if (!show(p->it, &one))
            p->waiting.images[p->waiting.image_count++] = one;
        return;
    }
    int32_t role = (int32_t)below(4);
    some_text(text, 200);
    must(!tinhost_say(p->it, role, text), "say", p);
    add(p, role, text);
}

/* Another session becomes what this one is, by a copy, or by bytes; or nothing changes, by damaged bytes. */
static void fork_to(player *p, player *other) {
    const conversation was = other->is;
    if (other->under_way || p == other)
        return;
    int32_t status;
    if (below(2)) {
        status = tinhost_copy(other->it, p->it);
        if (!status)
            other->is = p->is;
    } else {
        int64_t size = tinhost_save_size(p->it), cut = size;
        uint8_t *saved = malloc((size_t)size);
        must(!tinhost_save(p->it, saved, size), "save", p);
        int damaged = below(3) == 0;
        for (int n = 0; n < 3 && damaged; n++)
            saved[below((uint32_t)size)] ^= (uint8_t)(1u << below(8));
        if (damaged && below(2))
            cut = below((uint32_t)size);
        uint8_t *exact = malloc((size_t)cut + !cut); /* whose end a sanitizer knows */
        memcpy(exact, saved, (size_t)cut);
        status = tinhost_restore(other->it, exact, cut);
        free(exact);
        free(saved);
        if (!status && damaged) { /* anything may have been read: it need only go on */
            while (!tinhost_begin(other->it, 4) && tinhost_step(other->it, INT64_MAX) == TINHOST_PENDING) {
            }
            tinhost_session_close(other->it);
            open_player(other);
            return;
        }
        if (!status) { /* how tokens are chosen is no part of it */
            memcpy(other->is.messages, p->is.messages, sizeof was.messages);
            memcpy(other->is.adapters, p->is.adapters, sizeof was.adapters);
            other->is.count = p->is.count;
            other->is.adapter_count = p->is.adapter_count;
        }
    }
    refused += status != 0;
    same_messages(other->it, other);
}

static void call(player *players) {
    player *p = &players[below(PLAYERS)];
    switch (below(12)) {
    case 0:
        if (p->under_way)
            refuse(tinhost_forget(p->it, -1), p, "forget during an answer");
        else
            odd_calls(p);
        break;
    case 1:
        forget(p);
        break;
    case 2:
        put_adapter(p);
        break;
    case 3:
        settings(p);
        break;
    case 4:
    case 5:
        talk(p);
        break;
    case 6:
        fork_to(p, &players[below(PLAYERS)]);
        break;
    case 7:
        if (p->under_way && below(4) == 0) {
            tinhost_cancel(p->it);
            p->under_way = 0;
            same_messages(p->it, p);
        }
        break;
    case 8:
        if (below(12) == 0) {
            tinhost_session_close(p->it);
            open_player(p);
        }
        break;
    default:
        begin_answer(p);
    }
    for (int k = 0; k < PLAYERS; k++)
        if (players[k].under_way)
            step(&players[k]);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    model = tinhost_open(argv[1], NULL);
    if (tinhost_model_status(model))
        return fprintf(stderr, "%s\n", tinhost_model_error(model)), 2;
    while (name_count < 16 && (names[name_count] = tinhost_adapter_name(model, name_count)))
        name_count++;
    player *players = calloc(PLAYERS, sizeof *players);
    open_player(players);
    has_vision = !show(players[0].it, &(image){1, 1, 0});
    tinhost_session_close(players[0].it);
    for (long round = 0; round < atol(argv[3]); round++) {
        chance = (strtoull(argv[2], NULL, 10) + (uint64_t)round) * 0x9E3779B97F4A7C15u;
        for (int k = 0; k < PLAYERS; k++)
            open_player(&players[k]);
        for (int k = 0; k < CALLS; k++)
            call(players);
        for (int k = 0; k < PLAYERS; k++)
            tinhost_session_close(players[k].it);
    }
    free(players);
    tinhost_close(model);
    printf("%ld %ld\n", compared, refused);
    return 0;
}
