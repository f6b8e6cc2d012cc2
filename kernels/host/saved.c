#include "host.h"

/* Sessions as bytes, little-endian:
 *
 *   "TNHS", version u32, fingerprint of the file u64, messages u32, adapters u32
 *   adapters  scale f64, length u32, name
 *   messages  role u32, length u32, text; in version 2, which is written where there are such, images u32, of
 *             each: width u32, height u32, RGB
 *   zeros up to a multiple of TIN_ALIGNMENT, then what tin_session_save writes */

enum { VERSION = 1, WITH_IMAGES = 2, HEAD = 24, ADAPTER = 12, MESSAGE = 8, IMAGE = 8 };

static const char MAGIC[4] = {'T', 'N', 'H', 'S'};

static size_t aligned(size_t size) {
    return (size + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
}

static size_t head_size(const tinhost_session *s) {
    size_t size = HEAD;
    for (uint32_t k = 0; k < s->applied_count; k++)
        size += ADAPTER + strlen(s->applied[k]->name);
    const size_t count = tini_host_images(s) ? sizeof(uint32_t) : 0;
    for (int32_t k = 0; k < s->message_count; k++) {
        size += MESSAGE + strlen(s->messages[k].text) + count;
        for (int32_t n = 0; n < s->messages[k].image_count; n++)
            size += IMAGE + s->messages[k].images[n].stride * s->messages[k].images[n].height;
    }
    return aligned(size);
}

int64_t tinhost_save_size(const tinhost_session *s) {
    return s && s->core ? (int64_t)(head_size(s) + tin_session_save_size(s->core)) : 0;
}

static uint8_t *write_number(uint8_t *out, uint64_t value, uint32_t bytes) {
    for (uint32_t k = 0; k < bytes; k++, value >>= 8)
        *out++ = (uint8_t)value;
    return out;
}

static uint8_t *write_text(uint8_t *out, const char *text) {
    size_t length = strlen(text);
    out = write_number(out, length, 4);
    memcpy(out, text, length);
    return out + length;
}

static uint8_t *write_images(uint8_t *out, const tini_host_message *message) {
    out = write_number(out, (uint64_t)message->image_count, 4);
    for (int32_t k = 0; k < message->image_count; k++) {
        const tin_image *one = &message->images[k];
        out = write_number(write_number(out, one->width, 4), one->height, 4);
        memcpy(out, one->rgb, one->stride * one->height);
        out += one->stride * one->height;
    }
    return out;
}

int32_t tinhost_save(tinhost_session *s, void *out, int64_t size) {
    if (!s || !s->core)
        return tinhost_status(s);
    if (!out || size < tinhost_save_size(s))
        return tini_host_fail(s, TIN_ERR_MEMORY, "less room than tinhost_save_size says");
    size_t head = head_size(s);
    uint8_t *to = out;
    memset(to, 0, head);
    memcpy(to, MAGIC, sizeof MAGIC);
    const int with_image = tini_host_images(s) != 0;
    to = write_number(to + sizeof MAGIC, with_image ? WITH_IMAGES : VERSION, 4);
    to = write_number(to, s->model->info.fingerprint, 8);
    to = write_number(to, (uint64_t)s->message_count, 4);
    to = write_number(to, s->applied_count, 4);
    for (uint32_t k = 0; k < s->applied_count; k++) {
        const double scale = s->scales[k];
        uint64_t bits;
        memcpy(&bits, &scale, sizeof bits);
        to = write_text(write_number(to, bits, 8), s->applied[k]->name);
    }
    for (int32_t k = 0; k < s->message_count; k++) {
        to = write_text(write_number(to, (uint64_t)s->messages[k].role, 4), s->messages[k].text);
        to = with_image ? write_images(to, &s->messages[k]) : to;
    }
    return tin_session_save(s->core, (uint8_t *)out + head, (size_t)size - head, &s->error);
}

/* ---- Reading ---- */

typedef struct reader {
    const uint8_t *at, *end;
    int good;
} reader;

static uint64_t read_number(reader *r, uint32_t bytes) {
    uint64_t value = 0;
    if ((size_t)(r->end - r->at) < bytes)
        r->good = 0;
    for (uint32_t k = 0; k < bytes && r->good; k++)
        value |= (uint64_t)*r->at++ << 8 * k;
    return value;
}

/* A text of its own, or NULL. */
static char *read_text(reader *r) {
    size_t length = (size_t)read_number(r, 4);
    if (!r->good || length > (size_t)(r->end - r->at) || memchr(r->at, 0, length)) {
        r->good = 0;
        return NULL;
    }
    char *made = malloc(length + 1);
    if (made) {
        memcpy(made, r->at, length);
        made[length] = 0;
        r->at += length;
    }
    r->good = made != NULL;
    return made;
}

/* What a session is besides its caches. */
typedef struct state {
    tini_host_message *messages;
    int32_t message_count;
    const tini_skill *applied[TINI_HOST_ADAPTERS];
    float scales[TINI_HOST_ADAPTERS];
    uint32_t applied_count;
} state;

static void drop_state(state *it) {
    for (int32_t k = 0; k < it->message_count; k++) {
        free(it->messages[k].text);
        tini_host_drop_images(&it->messages[k]);
    }
    free(it->messages);
}

static void read_adapters(const tinhost_session *s, reader *r, state *it) {
    for (uint32_t k = 0; k < it->applied_count && r->good; k++) {
        uint64_t bits = read_number(r, 8);
        double scale;
        memcpy(&scale, &bits, sizeof bits);
        it->scales[k] = tini_host_float(scale);
        char *name = read_text(r);
        it->applied[k] = name ? tini_host_skill(s->model, name) : NULL;
        r->good = r->good && it->applied[k];
        free(name);
    }
}

static void read_images(reader *r, tini_host_message *message) {
    uint32_t count = (uint32_t)read_number(r, 4);
    for (uint32_t k = 0; k < count && r->good; k++) {
        uint32_t width = (uint32_t)read_number(r, 4), height = (uint32_t)read_number(r, 4);
        uint64_t bytes = (uint64_t)width * 3 * height;
        r->good = r->good && width && height && width <= UINT16_MAX && height <= UINT16_MAX &&
                  bytes <= (size_t)(r->end - r->at);
        if (!r->good)
            return;
        const tin_image one = {r->at, (size_t)width * 3, width, height, 0};
        r->good = tini_host_copy_images(
            message, &(tini_host_message){.images = (tin_image *)(uintptr_t)&one, .image_count = 1});
        r->at += bytes;
    }
}

static void read_messages(reader *r, state *it, uint32_t count, int with_image) {
    r->good = r->good && count <= (size_t)(r->end - r->at) / MESSAGE;
    it->messages = r->good ? malloc((count + 1) * sizeof *it->messages) : NULL;
    r->good = it->messages != NULL;
    for (uint32_t k = 0; k < count && r->good; k++) {
        int32_t role = (int32_t)read_number(r, 4);
        char *text = read_text(r);
        if (!text)
            break;
        tini_host_message *message = &it->messages[it->message_count++];
        *message = (tini_host_message){.role = role, .text = text};
        r->good = role >= TIN_ROLE_SYSTEM && role <= TIN_ROLE_TOOL;
        if (with_image && r->good)
            read_images(r, message);
    }
}

/* Puts the adapters of `it` to work in place of those that are, unless they are the same: what was computed stays then. */
static int32_t apply(tinhost_session *s, const state *it) {
    size_t count = it->applied_count;
    if (count == s->applied_count && !memcmp(it->applied, s->applied, count * sizeof *s->applied) &&
        !memcmp(it->scales, s->scales, count * sizeof *s->scales))
        return TIN_OK;
    tini_host_bare(s);
    int32_t status = TIN_OK;
    for (uint32_t k = 0; k < it->applied_count && !status; k++)
        status = tini_host_apply(s, it->applied[k], it->scales[k]);
    return status;
}

static state applied_now(const tinhost_session *s) {
    state it = {.applied_count = s->applied_count};
    memcpy(it.applied, s->applied, sizeof it.applied);
    memcpy(it.scales, s->scales, sizeof it.scales);
    return it;
}

/* The session's messages become those of `it`, which it then owns. */
static void take_messages(tinhost_session *s, state *it) {
    tini_host_drop_answer(s);
    state old = {.messages = s->messages, .message_count = s->message_count};
    s->messages = it->messages;
    s->message_count = it->message_count;
    s->message_capacity = it->message_count;
    drop_state(&old);
}

int32_t tinhost_restore(tinhost_session *s, const void *data, int64_t size) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    if (!data || size < HEAD || memcmp(data, MAGIC, sizeof MAGIC))
        return tini_host_fail(s, TIN_ERR_FORMAT, "these bytes are no saved session");
    reader r = {data, (const uint8_t *)data + size, 1};
    r.at += sizeof MAGIC;
    const uint32_t version = (uint32_t)read_number(&r, 4);
    if (version != VERSION && version != WITH_IMAGES)
        return tini_host_fail(s, TIN_ERR_VERSION, "the session was saved by another version");
    if (read_number(&r, 8) != s->model->info.fingerprint)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "the session was saved with another file");
    state it = {0}, was = applied_now(s);
    uint32_t count = (uint32_t)read_number(&r, 4);
    it.applied_count = (uint32_t)read_number(&r, 4);
    r.good = r.good && it.applied_count <= TINI_HOST_ADAPTERS;
    if (r.good)
        read_adapters(s, &r, &it);
    if (r.good)
        read_messages(&r, &it, count, version == WITH_IMAGES);
    size_t head = aligned((size_t)(r.at - (const uint8_t *)data));
    if (!r.good || head > (size_t)size) {
        drop_state(&it);
        return tini_host_fail(s, TIN_ERR_FORMAT, "the saved session is damaged, or cut short");
    }
    status = apply(s, &it);
    if (!status)
        status = tin_session_restore(s->core, (const uint8_t *)data + head, (size_t)size - head, &s->error);
    if (status) {
        apply(s, &was);
        drop_state(&it);
        return status;
    }
    take_messages(s, &it);
    return TIN_OK;
}

int32_t tinhost_copy(tinhost_session *to, const tinhost_session *from) {
    int32_t status = tini_host_ready(to);
    if (status)
        return status;
    if (!from || !from->core || from->model != to->model || from == to)
        return tini_host_fail(to, TIN_ERR_ARGUMENT, "a copy is of another open session of the same model");
    state it = {.messages = malloc(((size_t)from->message_count + 1) * sizeof *it.messages)},
          was = applied_now(to), now = applied_now(from);
    int whole = 1;
    for (; it.messages && it.message_count < from->message_count; it.message_count++) {
        const tini_host_message *one = &from->messages[it.message_count];
        char *text = tini_host_copied(one->text);
        if (!text)
            break;
        it.messages[it.message_count] = (tini_host_message){.role = one->role, .text = text};
        whole = whole && tini_host_copy_images(&it.messages[it.message_count], one);
    }
    if (!it.messages || !whole || it.message_count < from->message_count) {
        drop_state(&it);
        return tini_host_fail(to, TIN_ERR_MEMORY, "there is no memory for the messages");
    }
    status = apply(to, &now);
    if (!status)
        status = tin_session_copy(to->core, from->core, UINT32_MAX, &to->error);
    if (status) {
        apply(to, &was);
        drop_state(&it);
        return status;
    }
    take_messages(to, &it);
    to->sampling = from->sampling;
    to->constrained = from->constrained;
    to->think = from->think;
    return TIN_OK;
}
