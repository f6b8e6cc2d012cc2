/* game.c: uses the addon as a game in Godot 4 would, through host.c.
 *
 *   game LIBRARY TINS OUT    the conformance cases to OUT, and what is the engine's own: signals, frames, files out
 *                            of a pack, saving with the scene, compiled scripts' calls */
#include "host.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 2 };

static variant nil(void) {
    return (variant){GDX_NIL, {0}, 0};
}
static variant of_real(double value) {
    return (variant){GDX_FLOAT, {.real = value}, 0};
}

/* Calls a method with up to two values, which it takes over. */
static variant call(thing *self, const char *method, variant a, variant b) {
    thing *name = thing_bytes(STRING_NAME, method, strlen(method));
    thing_hold(name);
    variant object = {GDX_OBJECT, {.it = self}, 0}, result = nil();
    const void *arguments[] = {&a, &b};
    gdx_call_error error;
    variant_call(&object, &name, arguments, (a.type != GDX_NIL) + (b.type != GDX_NIL), &result, &error);
    if (error.error)
        check(method, 0);
    thing_drop(name);
    drop(&a);
    drop(&b);
    return result;
}

static int64_t number(thing *self, const char *method, variant a) {
    variant it = call(self, method, a, nil());
    int64_t value = it.type == GDX_BOOL ? it.is.flag : it.is.number;
    drop(&it);
    return value;
}

/* The text that a method gives, until the next call of this. */
static const char *text(thing *self, const char *method) {
    static char last[4096];
    variant it = call(self, method, nil(), nil());
    snprintf(last, sizeof last, "%s", text_of(&it));
    drop(&it);
    return last;
}

static void set(thing *self, const char *property, variant value) {
    char name[64];
    snprintf(name, sizeof name, "set_%s", property);
    variant nothing = call(self, name, value, nil());
    drop(&nothing);
}

static const variant *at(const variant *dictionary, const char *key) {
    const thing *it = dictionary->is.it;
    for (size_t k = 0; dictionary->type == GDX_DICTIONARY && k + 1 < it->size; k += 2)
        if (!strcmp(text_of(&it->items[k]), key))
            return &it->items[k + 1];
    return NULL;
}

static double real_at(const variant *dictionary, const char *key, double otherwise) {
    const variant *it = at(dictionary, key);
    return it ? it->is.real : otherwise;
}

static const char *text_at(const variant *dictionary, const char *key) {
    const variant *it = at(dictionary, key);
    return it ? text_of(it) : "";
}

static const variant *messages_of(const variant *given) {
    return at(given, "messages");
}

/* ---- Nodes ------------------------------------------------------------------------------------ */

static thing *create(const char *class_name) {
    known_class *of = class_of(class_name);
    thing *it = of->it.create(of->it.data);
    thing_hold(it); /* the scene's, or the variable's */
    return it;
}

static thing *model_of(const char *file, const char *key) {
    thing *it = create("TinModel");
    set(it, "file", of_text(file));
    set(it, "key", of_text(key));
    return it;
}

static thing *session_of(thing *model, const variant *given) {
    thing *it = create("TinSession");
    if (model)
        set(it, "model", of_thing(GDX_OBJECT, model));
    set(it, "context", of_int(512));
    set(it, "max_tokens", of_int((int64_t)real_at(given, "max_tokens", 24)));
    const variant *off = at(given, "constrained"), *drawn = at(given, "sampling");
    if (off)
        set(it, "constrained", *off);
    set(it, "adapter", of_text(text_at(given, "adapter")));
    if (drawn) {
        set(it, "temperature", of_real(real_at(drawn, "temperature", 0)));
        set(it, "top_p", of_real(real_at(drawn, "top_p", 1)));
        set(it, "repetition", of_real(real_at(drawn, "repetition", 1)));
        set(it, "seed", of_int((int64_t)real_at(drawn, "seed", 0)));
    }
    if (messages_of(given))
        set(it, "system", of_text(text_at(&messages_of(given)->is.it->items[0], "content")));
    return it;
}

static void run(thing *session, int64_t budget_us, int64_t most_tokens) {
    while (number(session, "tokens", nil()) < most_tokens) {
        int64_t got = number(session, "step", of_int(budget_us));
        if (got < 0 || got >= DONE)
            break;
    }
}

static int64_t ask(thing *session, const char *question) {
    return number(session, "ask", of_text(question));
}

static const char *question_of(const variant *given) {
    return text_at(&messages_of(given)->is.it->items[1], "content");
}

/* ---- The cases --------------------------------------------------------------------------------- */

static char found_wrong[512];

static int same(thing *session, const variant *wanted) {
    char digest[32];
    snprintf(digest, sizeof digest, "%lld", (long long)number(session, "digest", nil()));
    int good = !strcmp(text(session, "answer"), text_at(wanted, "text")) &&
               !strcmp(digest, text_at(wanted, "digest")) &&
               number(session, "tokens", nil()) == (int64_t)real_at(wanted, "tokens", -1) &&
               number(session, "finish", nil()) == (int64_t)real_at(wanted, "finish", -1) &&
               number(session, "chosen", nil()) == (int64_t)real_at(wanted, "chosen", -1);
    if (!good)
        snprintf(found_wrong, sizeof found_wrong, "%.200s, digest %s", text(session, "answer"), digest);
    return good;
}

static char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file)
        exit(2);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *all = calloc(*size + 1, 1);
    if (fread(all, 1, *size, file) != *size)
        exit(2);
    fclose(file);
    return all;
}

/* Shows a session of the case's own file the case's image. The session is the caller's. */
static thing *shown(const char *tins, const variant *given, int64_t *status) {
    char path[512];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", tins, text_at(given, "file"));
    thing *model = model_of(path, ""), *session = session_of(model, given);
    snprintf(path, sizeof path, "%s/%s", tins, text_at(given, "image"));
    char *file = read_all(path, &size);
    *status = number(session, "image", of_thing(GDX_BYTES, thing_bytes(GDX_BYTES, file, size)));
    free(file);
    thing_drop(model);
    return session;
}

static int refused(const char *tins, thing *model, const variant *given, const variant *keys) {
    const char *name = text_at(given, "name");
    const variant *wanted = at(given, "expect");
    char path[512], right[64], other[64];
    int64_t status;
    if (!strcmp(name, "memory")) {
        thing *session = session_of(model, given);
        set(session, "most_bytes", of_int((int64_t)real_at(given, "most_bytes", 0)));
        status = ask(session, "?");
        snprintf(found_wrong, sizeof found_wrong, "%.500s", text(session, "error"));
        thing_drop(session);
    } else if (at(given, "image")) {
        thing *session = shown(tins, given, &status);
        snprintf(found_wrong, sizeof found_wrong, "%.500s", text(session, "error"));
        thing_drop(session);
    } else {
        int is_key = !strcmp(name, "key");
        snprintf(path, sizeof path, "%s/%s", tins, is_key ? "plain.tin" : text_at(given, "file"));
        snprintf(right, sizeof right, "%s", text_at(keys, "maker"));
        snprintf(other, sizeof other, "%s", text_at(keys, "other"));
        thing *signed_model = model_of(path, is_key ? right : "");
        status = number(signed_model, "open", nil());
        if (is_key && status)
            return 0;
        if (is_key)
            set(signed_model, "key", of_text(other));
        status = number(signed_model, "open", nil());
        snprintf(found_wrong, sizeof found_wrong, "%.500s", text(signed_model, "error"));
        thing_drop(signed_model);
    }
    return status == (int64_t)real_at(wanted, "status", 0) && strstr(found_wrong, text_at(wanted, "says"));
}

static int show_image(const char *tins, const variant *given) {
    int64_t status;
    thing *session = shown(tins, given, &status);
    ask(session, text_at(given, "text"));
    run(session, 0, 1 << 20);
    int good = same(session, at(given, "expect")) && !status;
    thing_drop(session);
    return good;
}

static int passes(const char *tins, thing *model, const variant *given, const variant *keys) {
    const char *name = text_at(given, "name");
    if (at(at(given, "expect"), "status"))
        return refused(tins, model, given, keys);
    if (!strcmp(name, "image"))
        return show_image(tins, given);
    thing *session = session_of(model, given);
    if (!strcmp(name, "choose")) {
        variant nothing = call(session, "choose", of_text(question_of(given)), copy(at(given, "options")));
        drop(&nothing);
    } else {
        ask(session, question_of(given));
    }
    if (!strcmp(name, "cancel")) {
        run(session, 0, (int64_t)real_at(given, "after_tokens", 3));
        variant nothing = call(session, "cancel", nil(), nil());
        drop(&nothing);
        ask(session, question_of(given));
    }
    run(session, (int64_t)real_at(given, "budget_us", 0), 1 << 20);
    int good = same(session, at(given, "expect"));
    if (!strcmp(name, "adapter")) {
        number(session, "forget", of_int(1));
        set(session, "adapter", of_text(""));
        ask(session, question_of(given));
        run(session, 0, 1 << 20);
    } else if (!strcmp(name, "restore")) {
        variant saved = call(session, "save", nil(), nil());
        thing_drop(session);
        session = session_of(model, given);
        number(session, "restore", saved);
        ask(session, text_at(given, "next"));
        run(session, 0, 1 << 20);
    }
    if (good && at(given, "then"))
        good = same(session, at(given, "then"));
    thing_drop(session);
    return good;
}

static void conformance(const char *tins, thing *model, const variant *all, const char *out) {
    FILE *file = fopen(out, "w");
    thing *cases = at(all, "cases")->is.it;
    fprintf(file, "{\"host\": \"gdextension\", \"version\": \"interface 4.2, host.c\", \"cases\": {");
    for (size_t k = 0; k < cases->size; k++) {
        const variant *given = &cases->items[k];
        const char *name = text_at(given, "name");
        int good = passes(tins, model, given, at(all, "keys"));
        check(name, good);
        if (!good)
            fprintf(stderr, "%s: %s\n", name, found_wrong);
        fprintf(file, "%s\"%s\": \"%s\"", k ? ", " : "", name, good ? "passed" : "another answer");
    }
    fprintf(file, "}}\n");
    fclose(file);
}

/* ---- What is the engine's own ------------------------------------------------------------------- */

static void forget_signals(void) {
    for (size_t k = 0; k < signals->size; k++)
        drop(&signals->items[k]);
    signals->size = 0;
}

/* The k-th signal from the end, and its n-th argument. */
static const char *emitted(size_t k, size_t n) {
    thing *list = signals->items[signals->size - 1 - k].is.it;
    return n < list->size ? text_of(&list->items[n]) : "";
}

/* Frames by the virtual method, until the answer is there. */
static int frames(thing *session) {
    known_class *of = class_of("TinSession");
    thing *name = thing_bytes(STRING_NAME, "_process", 8);
    thing_hold(name);
    gdx_virtual process = of->it.virtual_of(of->it.data, &name);
    thing_drop(name);
    const double delta = 0.016;
    const void *arguments[] = {&delta};
    int count = 0;
    for (; process && number(session, "busy", nil()) && count < 100000; count++)
        process(session->self, arguments, NULL);
    return count;
}

static void by_frames(thing *model, const variant *given) {
    const char *wanted = text_at(at(given, "expect"), "text");
    thing *session = session_of(model, given);
    set(session, "budget_us", of_int(500));
    forget_signals();
    check("asked", ask(session, question_of(given)) == 0);
    check("took frames", frames(session) > 3);
    check("finished with the answer", !strcmp(emitted(0, 0), "finished") && !strcmp(emitted(0, 1), wanted));
    char pieces[512] = "";
    for (size_t k = signals->size - 1; k > 0; k--)
        if (!strcmp(emitted(k, 0), "piece"))
            strncat(pieces, emitted(k, 1), sizeof pieces - strlen(pieces) - 1);
    check("its pieces are the answer", !strcmp(pieces, wanted));

    /* As the engine saves a scene and loads it: by the property. */
    variant conversation = call(session, "get_conversation", nil(), nil());
    thing *again = session_of(model, given);
    set(again, "conversation", conversation);
    ask(again, "Now open it.");
    frames(again);
    ask(session, "Now open it.");
    frames(session);
    check("goes on from what was saved", number(session, "digest", nil()) == number(again, "digest", nil()));

    forget_signals();
    number(session, "call_tools", of_text("?"));
    frames(session);
    check("what is no call fails", !strcmp(emitted(0, 0), "failed") && strstr(emitted(0, 1), "no calls"));
    thing_drop(again);
    thing_drop(session);
}

/* What compiled scripts do: values in place of Variants. */
static void by_pointers(thing *model, const variant *given) {
    thing *session = session_of(model, given);
    thing *question = thing_bytes(GDX_STRING, question_of(given), strlen(question_of(given)));
    thing_hold(question);
    int64_t status = -1;
    const void *arguments[] = {&question};
    known_method *it = method_of("TinSession", "ask");
    it->it.pointer_call(it->it.data, session->self, arguments, &status);
    check("asked by pointers", status == 0);
    frames(session);
    thing *answer = thing_bytes(GDX_STRING, "", 0);
    thing_hold(answer);
    it = method_of("TinSession", "answer");
    it->it.pointer_call(it->it.data, session->self, NULL, &answer);
    check("answered by pointers", !strcmp(answer->bytes, text_at(at(given, "expect"), "text")));
    thing *got = NULL;
    it = method_of("TinSession", "get_model");
    it->it.pointer_call(it->it.data, session->self, NULL, &got);
    check("the model by pointers, with a hold of its own", got == model);
    thing_drop(got);
    double heat = 0.5;
    const void *heats[] = {&heat};
    it = method_of("TinSession", "set_temperature");
    it->it.pointer_call(it->it.data, session->self, heats, NULL);
    heat = 0;
    it = method_of("TinSession", "get_temperature");
    it->it.pointer_call(it->it.data, session->self, NULL, &heat);
    check("a property by pointers", heat == 0.5);
    thing_drop(answer);
    thing_drop(question);
    thing_drop(session);
}

static void by_resources(const variant *all, const variant *given) {
    thing *model = model_of("res://plain.tin", "");
    check("res:// with a real path is mapped", number(model, "open", nil()) == 0);
    variant names = call(model, "adapters", nil(), nil());
    check("adapters by name",
          names.type == GDX_STRINGS && names.is.it->size == 2 && !strcmp(text_of(&names.is.it->items[1]), "b"));
    drop(&names);
    thing_drop(model);
    model = model_of("res://pack/plain.tin", text_at(at(all, "keys"), "maker"));
    check("opens out of a pack, and is signed", number(model, "open", nil()) == 0);
    thing *session = session_of(model, given);
    thing_drop(model); /* the session holds it */
    ask(session, question_of(given));
    frames(session);
    check("answers out of a pack", same(session, at(given, "expect")));
    thing_drop(session);
    model = model_of("res://pack/nowhere.tin", "");
    check("no such file in a pack",
          number(model, "open", nil()) < 0 && strstr(text(model, "error"), "nowhere.tin"));
    thing_drop(model);
    session = session_of(NULL, given);
    check("no model", ask(session, "?") == -1 && strstr(text(session, "error"), "set the property model"));
    thing_drop(session);
}

/* Steps of a budget to the end, which has the same digest by all; -1 where it has not. */
static int64_t steps_of(thing *session, int64_t budget_us, int64_t digest) {
    number(session, "forget", of_int(0));
    ask(session, "hello");
    int64_t steps = 1, got;
    while ((got = number(session, "step", of_int(budget_us))) >= 0 && got < DONE)
        steps++;
    return got == DONE && (!digest || number(session, "digest", nil()) == digest) ? steps : -1;
}

/* Scripts' numbers have 64 bits, at each argument. */
static void extremes(const char *tins) {
    char path[512];
    snprintf(path, sizeof path, "%s/tiny.tin", tins);
    thing *model = model_of(path, ""), *session = create("TinSession");
    set(session, "model", of_thing(GDX_OBJECT, model));
    set(session, "context", of_int(256));
    set(session, "max_tokens", of_int(24));
    set(session, "constrained", (variant){GDX_BOOL, {.flag = 0}, 0});
    check("a first answer", steps_of(session, 0, 0) > 0);
    const int64_t digest = number(session, "digest", nil());
    check("the largest budget is enough",
          steps_of(session, INT64_MAX, digest) > 0 && steps_of(session, (int64_t)1 << 60, digest) > 0);
    check("a budget below 0 is a bound",
          steps_of(session, -1, digest) > 24 && steps_of(session, INT64_MIN, digest) > 24);
    const int64_t odd[] = {INT64_MAX, (int64_t)1 << 32,    ((int64_t)1 << 32) + 1,
                           -1,        -((int64_t)1 << 32), INT64_MIN};
    for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
        check("forgets no other message", number(session, "forget", of_int(odd[k])) < 0);
        check("forgot none", number(session, "messages", nil()) == 2);
        set(session, "max_tokens", of_int(odd[k] > 0 ? -odd[k] : odd[k]));
        check("no tokens", ask(session, "again") < 0);
        thing *other = create("TinSession");
        set(other, "model", of_thing(GDX_OBJECT, model));
        set(other, "threads", of_int(odd[k]));
        check("no such threads", ask(other, "hello") < 0);
        set(other, "threads", of_int(1));
        set(other, "context", of_int(odd[k] > 0 ? -odd[k] : odd[k]));
        check("no such context", ask(other, "hello") < 0);
        thing_drop(other);
    }
    set(session, "max_tokens", of_int(INT64_MAX));
    check("as many tokens as there is room for", ask(session, "again") == 0);
    set(session, "max_tokens", of_int(24));
    thing_drop(session);
    thing_drop(model);
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fprintf(stderr, "%s\n", dlerror()), 1;
    uint8_t (*entry)(gdx_get, void *, gdx_initialization *) =
        (uint8_t (*)(gdx_get, void *, gdx_initialization *))dlsym(library, "tinsmith_init");
    gdx_initialization it;
    signals = thing_new(GDX_ARRAY);
    singleton_time = object_new("Time");
    singleton_settings = object_new("ProjectSettings");
    thing_hold(signals), thing_hold(singleton_time), thing_hold(singleton_settings);
    game_folder = argv[2];
    if (!entry || !entry(function_of, &it, &it))
        return fprintf(stderr, "tinsmith_init failed\n"), 1;
    for (int level = 0; level <= it.level; level++)
        it.begin(it.data, level);
    check("both classes", class_of("TinModel") && class_of("TinSession"));

    char path[512];
    snprintf(path, sizeof path, "%s/cases.json", argv[2]);
    size_t size;
    char *cases = read_all(path, &size);
    variant all;
    if (!json(cases, &all))
        return 1;
    free(cases);
    const variant *given = &at(&all, "cases")->is.it->items[0];
    snprintf(path, sizeof path, "%s/plain.tin", argv[2]);
    thing *model = model_of(path, "");
    conformance(argv[2], model, &all, argv[3]);
    by_frames(model, given);
    by_pointers(model, given);
    by_resources(&all, given);
    extremes(argv[2]);
    thing_drop(model);
    drop(&all);
    for (int level = it.level; level >= 0; level--)
        it.end(it.data, level);
    check("both classes are gone", !class_of("TinModel") && !class_of("TinSession"));
    forget_signals();
    thing_drop(signals), thing_drop(singleton_time), thing_drop(singleton_settings);
    printf("values that are left: %d\n", live);
    dlclose(library);
    return wrong || live;
}
