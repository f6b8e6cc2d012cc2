#include "unigram.h"
#include "../base/utf8.h"

#include <string.h>

/* The best way to a place: the sum of its scores, the token that ends there and where that one begins. */
typedef struct path {
    double score;
    uint32_t token, start; /* start is NOWHERE before any way is known */
} path;

#define NOWHERE 0xFFFFFFFFu

enum { SPELLED = 6 };

/* The working memory is aligned to 4 bytes only. */
static inline path read_path(const uint32_t *words, size_t place) {
    path p;
    memcpy(&p, words + 4 * place, sizeof p);
    return p;
}

static inline double score_of(const tini_tokenizer *view, uint32_t token) {
    double score;
    memcpy(&score, view->scores + sizeof score * token, sizeof score);
    return score;
}

static inline void offer(uint32_t *words, size_t place, path way) {
    path known = read_path(words, place);
    if (known.start == NOWHERE || way.score > known.score)
        memcpy(words + 4 * place, &way, sizeof way);
}

/* The token of the byte that text spells out, such as <0x0A>: Hugging Face finds it as any other token. -1: none. */
static int32_t spelled_byte(const tini_tokenizer *view, const uint8_t *text, size_t length) {
    static const char digits[] = "0123456789ABCDEF", form[SPELLED + 1] = "<0x  >";
    uint32_t byte = 0;
    if (length < SPELLED)
        return -1;
    for (uint32_t k = 0; k < SPELLED; k++) {
        if (form[k] != ' ' && text[k] != (uint8_t)form[k])
            return -1;
        if (form[k] != ' ')
            continue;
        uint32_t digit = 0;
        while (digit < 16 && text[k] != (uint8_t)digits[digit])
            digit++;
        if (digit == 16)
            return -1;
        byte = 16 * byte + digit;
    }
    return view->byte_ids[byte];
}

/* Viterbi's search from left to right, as Hugging Face's Unigram does it: sums in double, and of equal ways the first
 * found, the one whose last token is the longest. Turns the paths round: the token that begins at a place, and where
 * it ends. */
void tini_unigram_piece(const tini_tokenizer *view, const uint8_t *text, size_t length, tini_token_sink *out,
                        uint32_t *words) {
    const uint32_t unknown = view->header->vocab;
    for (size_t place = 0; place <= length; place++)
        words[4 * place + 3] = place ? NOWHERE : 0;
    memset(words, 0, sizeof(double));
    for (size_t at = 0; at < length;) {
        uint32_t code, bytes = tini_utf8_read(text + at, length - at, &code), hash = TINI_TEXT_HASH;
        double score = read_path(words, at).score;
        size_t most = length - at < view->header->longest ? length - at : view->header->longest;
        int alone = 0;
        for (size_t n = 1; n <= most; n++) {
            hash = tini_text_hash_byte(hash, text[at + n - 1]);
            int32_t token = tini_text_token(view, text + at, n, hash);
            if (token < 0)
                continue;
            offer(words, at + n,
                  (path){score + score_of(view, (uint32_t)token), (uint32_t)token, (uint32_t)at});
            alone |= n == bytes;
        }
        int32_t spelled = text[at] == '<' ? spelled_byte(view, text + at, length - at) : -1;
        if (spelled >= 0)
            offer(words, at + SPELLED,
                  (path){score + score_of(view, (uint32_t)spelled), (uint32_t)spelled, (uint32_t)at});
        if (!alone)
            offer(words, at + bytes, (path){score + score_of(view, unknown), unknown, (uint32_t)at});
        at += bytes;
    }
    for (size_t end = length; end;) {
        path p = read_path(words, end);
        words[4 * p.start] = p.token;
        words[4 * p.start + 1] = (uint32_t)end;
        end = p.start;
    }
    for (size_t at = 0; at < length;) {
        uint32_t token = words[4 * at], end = words[4 * at + 1];
        if (token == unknown)
            tini_put_unknown(view, text + at, end - at, out);
        else
            tini_put(out, (int32_t)token);
        at = end;
    }
}
