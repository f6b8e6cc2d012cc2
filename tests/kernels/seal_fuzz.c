/* libFuzzer: a damaged image, signature or key before tin_file_verify, which may take the sound ones alone. TIN_BASE is a
 * signed tin: its signature and the public key's line stand beside it as .minisig and .key. */
#include "fuzz.h"

static char *read_text(const char *suffix, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s", getenv("TIN_BASE"), suffix);
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1024);
    if (!file || !text)
        abort();
    *size = fread(text, 1, 1023, file);
    fclose(file);
    return text;
}

/* Behind the untrusted comment, which nobody signs. */
static size_t signed_from(const char *text, size_t size) {
    const char *end = memchr(text, '\n', size);
    return end ? (size_t)(end - text) : 0;
}

/* Is what was made of the signature more than another way to end its lines? */
static int differs(const uint8_t *a, size_t a_size, const char *b, size_t b_size) {
    size_t from = signed_from((const char *)a, a_size), i = from, j = signed_from(b, b_size);
    for (; i < a_size && j < b_size; i++) {
        if (a[i] == '\r')
            continue;
        if (a[i] != (uint8_t)b[j++])
            return 1;
    }
    while (i < a_size && (a[i] == '\r' || a[i] == '\n'))
        i++;
    return i != a_size || b_size - j > 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char *signature, *key;
    static size_t signature_size, key_size;
    if (!signature) {
        signature = read_text(".minisig", &signature_size);
        key = read_text(".key", &key_size);
        if (tin_file_verify(base.data, base.size, signature, signature_size, key, NULL))
            abort();
    }
    script s = {data, size};
    uint32_t bits = next_byte(&s), what = bits & 3;
    size_t cut = bits & 128 ? next_word(&s) % base.size : 0;
    size_t text_cut = bits & 64 ? next_byte(&s) % signature_size : 0;
    uint8_t *image = exact_copy(base.data, base.size - cut);
    uint8_t *text = exact_copy((uint8_t *)signature, signature_size - text_cut);
    char *owner = (char *)exact_copy((uint8_t *)key, key_size + 1);
    if (what == 0)
        patch_all(&s, image, base.size - cut);
    if (what == 1)
        patch_all(&s, text, signature_size - text_cut);
    if (what == 2)
        patch_all(&s, (uint8_t *)owner, key_size);
    size_t text_size = signature_size - text_cut;
    if (what == 3) { /* all of the text is the fuzzer's */
        free(text);
        text = exact_copy(s.data, s.size);
        text_size = s.size;
    }
    tin_error error = {0};
    /* Where the image is damaged, mostly without a key: the digests alone must tell, and take less time. */
    const char *asked = what || (bits & 0x38) == 0x38 ? owner : NULL;
    tin_status status = tin_file_verify(image, base.size - cut, (char *)text, text_size, asked, &error);
    int changed = cut || memcmp(image, base.data, base.size) ||
                  (asked && differs(text, text_size, signature, signature_size));
    if (!status && changed)
        abort();
    if (status && (error.status != status || !*error.text))
        abort();
    free(image);
    free(text);
    free(owner);
    return 0;
}
