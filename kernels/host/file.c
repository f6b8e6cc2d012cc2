#include "host.h"

#include <stdio.h>

#if defined(_WIN32)
#include <wchar.h>
#elif !defined(__wasm__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#endif

enum { MOST_SIGNATURE = 4096 };

tini_block tini_block_take(size_t size) {
    tini_block made = {calloc(size + TIN_ALIGNMENT, 1), NULL, size};
    if (made.start)
        made.data =
            (uint8_t *)made.start + (TIN_ALIGNMENT - (uintptr_t)made.start % TIN_ALIGNMENT) % TIN_ALIGNMENT;
    return made;
}

void tini_block_drop(tini_block *block) {
    free(block->start);
    *block = (tini_block){0};
}

char *tini_host_copied(const char *text) {
    size_t size = strlen(text) + 1;
    char *made = malloc(size);
    return made ? memcpy(made, text, size) : NULL;
}

/* ---- Files of the system ---- */

#ifdef _WIN32
static wchar_t *wide(const char *text) {
    int count = MultiByteToWideChar(CP_UTF8, 0, text, -1, NULL, 0);
    wchar_t *made = malloc(sizeof *made * (size_t)(count + 1));
    if (made)
        MultiByteToWideChar(CP_UTF8, 0, text, -1, made, count);
    return made;
}

static const void *map(const char *path, size_t *size) {
    wchar_t *name = wide(path);
    HANDLE file = name ? CreateFileW(name, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL)
                       : INVALID_HANDLE_VALUE;
    free(name);
    LARGE_INTEGER length = {0};
    if (file == INVALID_HANDLE_VALUE)
        return NULL;
    HANDLE view = GetFileSizeEx(file, &length) && length.QuadPart
                      ? CreateFileMappingW(file, NULL, PAGE_READONLY, 0, 0, NULL)
                      : NULL;
    CloseHandle(file);
    const void *mapped = view ? MapViewOfFile(view, FILE_MAP_READ, 0, 0, 0) : NULL;
    if (view)
        CloseHandle(view);
    *size = (size_t)length.QuadPart;
    return mapped;
}

static void unmap(const void *file, size_t size) {
    (void)size;
    UnmapViewOfFile(file);
}

static FILE *open_text(const char *path) {
    wchar_t *name = wide(path);
    FILE *file = name ? _wfopen(name, L"rb") : NULL;
    free(name);
    return file;
}
#elif defined(__wasm__) /* a page has none: it brings files in memory */
static const void *map(const char *path, size_t *size) {
    (void)path, (void)size;
    return NULL;
}

static void unmap(const void *file, size_t size) {
    (void)file, (void)size;
}

static FILE *open_text(const char *path) {
    (void)path;
    return NULL;
}
#else
static const void *map(const char *path, size_t *size) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    void *mapped = MAP_FAILED;
    if (descriptor >= 0 && !fstat(descriptor, &status) && S_ISREG(status.st_mode) && status.st_size > 0) {
        *size = (size_t)status.st_size;
        mapped = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    if (descriptor >= 0)
        close(descriptor);
    return mapped == MAP_FAILED ? NULL : mapped;
}

static void unmap(const void *file, size_t size) {
    munmap((void *)(uintptr_t)file, size);
}

static FILE *open_text(const char *path) {
    return fopen(path, "rb");
}
#endif

/* `path`.minisig into text[MOST_SIGNATURE]; 0 where it can't be read. */
static size_t read_signature(const char *path, char *text) {
    size_t length = strlen(path), got = 0;
    char *name = malloc(length + sizeof ".minisig");
    if (!name)
        return 0;
    memcpy(name, path, length);
    memcpy(name + length, ".minisig", sizeof ".minisig");
    FILE *file = open_text(name);
    free(name);
    if (file) {
        got = fread(text, 1, MOST_SIGNATURE, file);
        fclose(file);
    }
    return got;
}

/* ---- Models ---- */

static void fail(tinhost_model *model, int32_t status, const char *what, const char *text) {
    model->error.status = status;
    snprintf(model->error.text, sizeof model->error.text, "%s%s%s", what, *what ? ": " : "", text);
}

/* The names of a checked file's adapters, as `each` is given them: a ZIP's directory, whose record ends the file. */
static uint32_t adapters(const tinhost_model *model, void (*each)(tini_skill *, const char *, size_t),
                         tini_skill *skills) {
    static const char folder[] = "adapter/", suffix[] = ".bin";
    const size_t head = sizeof folder - 1, tail = sizeof suffix - 1;
    const uint8_t *file = model->file, *end = file + model->file_size - 22;
    uint32_t found = 0, at = end[16] | end[17] << 8 | end[18] << 16 | (uint32_t)end[19] << 24;
    for (const uint8_t *one = file + at; one + 46 <= end;) {
        size_t length = one[28] | (size_t)one[29] << 8;
        const char *name = (const char *)one + 46;
        if (length > head + tail && !memcmp(name, folder, head) &&
            !memcmp(name + length - tail, suffix, tail) && !memchr(name + head, '/', length - head)) {
            if (each)
                each(&skills[found], name + head, length - head - tail);
            found++;
        }
        one += 46 + length + (one[30] | (size_t)one[31] << 8) + (one[32] | (size_t)one[33] << 8);
    }
    return found;
}

static void take_name(tini_skill *skill, const char *name, size_t length) {
    skill->name = malloc(length + 1);
    if (skill->name) {
        memcpy(skill->name, name, length);
        skill->name[length] = 0;
    }
}

/* Finds what a skill brings, and opens its adapter. */
static int open_skill(tinhost_model *model, tini_skill *skill) {
    size_t room = (skill->name ? strlen(skill->name) : 0) + 32;
    char *name = malloc(room);
    const char *folder = skill->name ? "adapter/" : "", *own = skill->name ? skill->name : "",
               *slash = skill->name ? "/" : "";
    if (!name)
        return 0;
    snprintf(name, room, "%s%s%sturns.bin", folder, own, slash);
    if (tin_model_entry(model->core, name, &skill->turns, &skill->turns_size))
        skill->turns = NULL;
    snprintf(name, room, "%s%s%sgrammar/answer.bin", folder, own, slash);
    if (tin_model_entry(model->core, name, &skill->answer, &skill->answer_size))
        skill->answer = NULL;
    snprintf(name, room, "%s%s%sdrafts/answer.bin", folder, own, slash);
    if (tin_model_entry(model->core, name, &skill->draft, &skill->draft_size))
        skill->draft = NULL;
    model->drafts |= skill->draft != NULL;
    int good = 1;
    if (skill->name) {
        const void *data;
        size_t size;
        snprintf(name, room, "adapter/%s.bin", skill->name);
        good = !tin_model_entry(model->core, name, &data, &size);
        size_t need = good ? tin_adapter_size(model->core, data, size, &model->error) : 0;
        skill->memory = tini_block_take(need);
        good = need && skill->memory.data &&
               !tin_adapter_open(model->core, data, size, skill->memory.data, need, &skill->adapter,
                                 &model->error);
        if (good) {
            tin_adapter_info info;
            tin_adapter_describe(skill->adapter, &info);
            if (info.rank > model->rank)
                model->rank = info.rank;
        }
    }
    free(name);
    return good;
}

static int open_skills(tinhost_model *model) {
    model->skill_count = 1 + adapters(model, NULL, NULL);
    model->skills = calloc(model->skill_count, sizeof *model->skills);
    if (!model->skills)
        return 0;
    adapters(model, take_name, model->skills + 1);
    for (uint32_t k = 0; k < model->skill_count; k++)
        if ((k && !model->skills[k].name) || !open_skill(model, &model->skills[k]))
            return 0;
    return 1;
}

static int open_image(tinhost_model *model) {
    size_t need = tin_model_size(model->file, model->file_size, &model->error);
    const char *isa = getenv("TIN_FORCE_ISA");
    model->memory = tini_block_take(need);
    if (!need || !model->memory.data ||
        tin_model_create(model->file, model->file_size, isa && *isa ? isa : NULL, model->memory.data, need,
                         &model->core, &model->error))
        return 0;
    tin_model_describe(model->core, &model->info);
    for (uint32_t k = 0; k < model->info.vocab; k++) {
        uint32_t length;
        int control;
        if (tin_token_text(model->core, (int32_t)k, &length, &control) && length > model->longest)
            model->longest = length;
    }
    return open_skills(model);
}

/* `what`: the file, as messages name it. */
static void open_checked(tinhost_model *model, const char *what, const char *signature, size_t signature_size,
                         const char *key) {
    int keyed = key && *key;
    if ((!keyed ||
         !tin_file_verify(model->file, model->file_size, signature, signature_size, key, &model->error)) &&
        open_image(model))
        return;
    char text[sizeof model->error.text];
    memcpy(text, model->error.text, sizeof text);
    if (model->error.status)
        fail(model, model->error.status, what, text);
    else
        fail(model, TIN_ERR_MEMORY, what, "there is no memory to open it");
    model->core = NULL;
}

static tinhost_model *new_model(void) {
    tinhost_model *model = calloc(1, sizeof *model);
    if (model)
        tini_store64(&model->holders, 1);
    return model;
}

tinhost_model *tinhost_open(const char *path, const char *key) {
    tinhost_model *model = new_model();
    if (!model)
        return NULL;
    char signature[MOST_SIGNATURE];
    model->file = path ? map(path, &model->file_size) : NULL;
    model->mapped = model->file != NULL;
    if (!model->mapped)
        fail(model, TIN_ERR_ARGUMENT, path ? path : "",
             "no such file, or it can't be read; give the path of a .tin");
    else if (key && *key) {
        size_t size = read_signature(path, signature);
        open_checked(model, path, size ? signature : NULL, size, key);
    } else
        open_checked(model, path, NULL, 0, NULL);
    return model;
}

tinhost_model *tinhost_open_memory(const void *file, int64_t size, const char *signature, const char *key) {
    tinhost_model *model = new_model();
    if (!model)
        return NULL;
    static const char what[] = "the file in memory";
    if (!file || size <= 0 || (uint64_t)size > SIZE_MAX) {
        fail(model, TIN_ERR_ARGUMENT, what, "it is empty; give the bytes of a .tin");
        return model;
    }
    model->file = file;
    model->file_size = (size_t)size;
    if ((uintptr_t)file % TIN_ALIGNMENT) {
        model->copy = tini_block_take((size_t)size);
        if (!model->copy.data) {
            fail(model, TIN_ERR_MEMORY, what, "there is no memory to copy it to; give it aligned to 64 bytes");
            return model;
        }
        model->file = memcpy(model->copy.data, file, (size_t)size);
    }
    open_checked(model, what, signature, signature ? strlen(signature) : 0, key);
    return model;
}

void tini_host_hold(tinhost_model *model) {
    uint64_t was = tini_load64(&model->holders);
    while (!tini_replace64(&model->holders, &was, was + 1)) {
    }
}

void tinhost_close(tinhost_model *model) {
    if (!model)
        return;
    uint64_t was = tini_load64(&model->holders);
    while (!tini_replace64(&model->holders, &was, was - 1)) {
    }
    if (was > 1)
        return;
    for (uint32_t k = 0; k < model->skill_count && model->skills; k++) {
        free(model->skills[k].name);
        tini_block_drop(&model->skills[k].memory);
    }
    free(model->skills);
    free(model->entry);
    tini_block_drop(&model->memory);
    if (model->mapped)
        unmap(model->file, model->file_size);
    tini_block_drop(&model->copy);
    free(model);
}

const char *tinhost_model_error(const tinhost_model *model) {
    return model ? model->error.text : "there is no memory for a handle";
}

int32_t tinhost_model_status(const tinhost_model *model) {
    return model ? model->error.status : TIN_ERR_MEMORY;
}

tini_skill *tini_host_skill(const tinhost_model *model, const char *name) {
    for (uint32_t k = 1; k < model->skill_count; k++)
        if (!strcmp(model->skills[k].name, name))
            return &model->skills[k];
    return NULL;
}

const char *tinhost_adapter_name(tinhost_model *model, int32_t k) {
    return model && model->core && k >= 0 && (uint32_t)k + 1 < model->skill_count ? model->skills[k + 1].name
                                                                                  : NULL;
}

const char *tinhost_entry(tinhost_model *model, const char *name) {
    const void *data;
    size_t size;
    if (!model || !model->core || !name || tin_model_entry(model->core, name, &data, &size))
        return NULL;
    char *text = malloc(size + 1);
    if (text) {
        memcpy(text, data, size);
        text[size] = 0;
    }
    free(model->entry);
    return model->entry = text;
}

const char *tinhost_isa(const tinhost_model *model) {
    return model && model->core ? model->info.isa : "";
}

int64_t tinhost_fingerprint(const tinhost_model *model) {
    return model && model->core ? (int64_t)model->info.fingerprint : 0;
}
