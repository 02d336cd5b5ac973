/* Each step is a level. A level cuts its text and passes the parts to the next level; the last one
 * passes pieces on. Text is open if more may follow it: then a level leaves the part that is still
 * undecided, and its caller gets it again with more text. */
#include "data/pre_tokenizer.h"

#include "core/base/utf8.h"
#include "data/nfc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LEVELS = MAX_SPLITS + 3 };

typedef enum LevelKind { LEVEL_ADDED, LEVEL_NFC, LEVEL_SPLIT } LevelKind;

typedef struct Level {
    LevelKind kind;
    Pattern *pattern; /* not for LEVEL_NFC */
} Level;

struct PreTokenizer {
    PreTokenizerRules rules;
    Level levels[MAX_LEVELS];
    int n_levels;
    Pattern *added[2]; /* before and after normalization */
    NfcText normalized;
};

typedef struct Segmentation {
    PreTokenizer *p;
    PieceFn piece;
    void *context;
    TokenBuffer *out;
    bool is_normalized; /* text lies in p->normalized; the following fields are only valid then */
    size_t next_change;
    size_t safe_at, safe_count; /* the last boundary that the source has too, its tokens */
} Segmentation;

/* ---- creation -------------------------------------------------------------------------------- */

void pre_tokenizer_rules_free(PreTokenizerRules *rules) {
    for (size_t i = 0; i < rules->n_added; i++) free(rules->added[i].text);
    for (int i = 0; i < rules->n_splits; i++) pattern_destroy(&rules->splits[i]);
    free(rules->added);
    *rules = (PreTokenizerRules){0};
}

static int longest_first(const void *a, const void *b) {
    size_t x = strlen(((const AddedToken *)a)->text), y = strlen(((const AddedToken *)b)->text);
    return (x < y) - (x > y);
}

static bool is_read(const AddedToken *token, bool reads_special, bool is_normalized) {
    return token->is_normalized == is_normalized && (reads_special || !token->is_special);
}

/* The texts as alternatives. They are sorted, so that of two that match at one place the longer one
 * is taken. */
static char *alternatives(const PreTokenizerRules *rules, bool reads_special, bool is_normalized) {
    size_t room = 1;
    for (size_t i = 0; i < rules->n_added; i++) room += 2 * strlen(rules->added[i].text) + 1;
    char *text = malloc(room), *end = text;
    for (size_t i = 0; i < rules->n_added && text != NULL; i++) {
        if (!is_read(&rules->added[i], reads_special, is_normalized)) continue;
        if (end != text) *end++ = '|';
        for (const char *c = rules->added[i].text; *c != '\0'; c++) {
            if (ispunct((unsigned char)*c)) *end++ = '\\';
            *end++ = *c;
        }
    }
    if (text != NULL) *end = '\0';
    return text;
}

static Status added_create(PreTokenizer *p, bool reads_special, bool is_normalized) {
    Pattern **pattern = &p->added[is_normalized];
    pattern_destroy(pattern);
    char *text = alternatives(&p->rules, reads_special, is_normalized);
    if (text == NULL) return OUT_OF_MEMORY("the added tokens");
    Status status = text[0] == '\0' ? OK : pattern_create(text, PATTERN_FANCY_REGEX, pattern);
    free(text);
    if (!failed(status) && *pattern != NULL)
        p->levels[p->n_levels++] = (Level){LEVEL_ADDED, *pattern};
    return status;
}

static Status levels_create(PreTokenizer *p, bool reads_special) {
    p->n_levels = 0;
    TRY(added_create(p, reads_special, false));
    if (p->rules.has_nfc) p->levels[p->n_levels++].kind = LEVEL_NFC;
    TRY(added_create(p, reads_special, true));
    for (int i = 0; i < p->rules.n_splits; i++)
        p->levels[p->n_levels++] = (Level){LEVEL_SPLIT, p->rules.splits[i]};
    return OK;
}

Status pre_tokenizer_create(PreTokenizerRules *rules, bool reads_special, PreTokenizer **out) {
    PreTokenizer *p = *out = calloc(1, sizeof *p);
    if (p == NULL) return OUT_OF_MEMORY("the pattern of a tokenizer");
    p->rules = *rules;
    *rules = (PreTokenizerRules){0};
    if (p->rules.n_added > 0)
        qsort(p->rules.added, p->rules.n_added, sizeof *p->rules.added, longest_first);
    Status status = levels_create(p, reads_special);
    if (failed(status)) pre_tokenizer_destroy(out);
    return status;
}

void pre_tokenizer_destroy(PreTokenizer **pre_tokenizer) {
    if (pre_tokenizer == NULL || *pre_tokenizer == NULL) return;
    PreTokenizer *p = *pre_tokenizer;
    pattern_destroy(&p->added[0]);
    pattern_destroy(&p->added[1]);
    pre_tokenizer_rules_free(&p->rules);
    nfc_text_free(&p->normalized);
    free(p);
    *pre_tokenizer = NULL;
}

const PreTokenizerRules *pre_tokenizer_rules(const PreTokenizer *p) { return &p->rules; }
Status pre_tokenizer_read_special(PreTokenizer *p) { return levels_create(p, true); }

/* ---- running --------------------------------------------------------------------------------- */

/* Notes a boundary in normalized text, unless it is inside a change: no place of the source
 * corresponds to that. */
static void boundary_note(Segmentation *s, const uint8_t *at) {
    const NfcText *text = &s->p->normalized;
    size_t offset = (size_t)(at - text->bytes);
    while (s->next_change < text->n_changes && text->changes[s->next_change].end <= offset)
        s->next_change++;
    if (s->next_change < text->n_changes && text->changes[s->next_change].begin < offset) return;
    s->safe_at = offset;
    s->safe_count = s->out->count;
}

/* The place in the source of the last boundary; next_change may be further by one. */
static size_t source_of(const Segmentation *s) {
    const NfcChange *changes = s->p->normalized.changes;
    size_t i = s->next_change;
    while (i > 0 && changes[i - 1].end > s->safe_at) i--;
    return i == 0 ? s->safe_at : changes[i - 1].source_end + (s->safe_at - changes[i - 1].end);
}

static Status piece_run(Segmentation *s, const uint8_t *text, size_t length) {
    TRY(s->piece(s->context, text, length, s->out));
    if (s->is_normalized) boundary_note(s, text + length);
    return OK;
}

static int32_t added_find(const PreTokenizerRules *rules, const uint8_t *text, size_t length) {
    size_t i = 0;
    while (strlen(rules->added[i].text) != length ||
           memcmp(rules->added[i].text, text, length) != 0)
        i++;
    return rules->added[i].token;
}

static Status added_run(Segmentation *s, const uint8_t *text, size_t length) {
    int32_t token = added_find(&s->p->rules, text, length);
    TRY(token_buffer_append(s->out, &token, 1));
    if (s->is_normalized) boundary_note(s, text + length);
    return OK;
}

/* *used = the bytes of text whose tokens are appended: all, unless it is open. */
static Status level_run(Segmentation *s, int level, const uint8_t *text, size_t length,
                        bool is_open, size_t *used);

static Status match_run(Segmentation *s, int level, const uint8_t *text, size_t length) {
    size_t used;
    if (s->p->levels[level].kind == LEVEL_ADDED) return added_run(s, text, length);
    return level_run(s, level + 1, text, length, false, &used);
}

static Status matches_run(Segmentation *s, int level, const uint8_t *text, size_t length,
                          bool is_open, size_t *used) {
    PatternMatch match = {.result = PATTERN_FOUND};
    for (*used = 0; *used < length && match.result == PATTERN_FOUND;) {
        size_t gap_used, at = *used;
        TRY(pattern_find(s->p->levels[level].pattern, text, length, at, is_open, &match));
        if (match.begin > at) {
            bool is_gap_open = is_open && match.result != PATTERN_FOUND;
            TRY(level_run(s, level + 1, text + at, match.begin - at, is_gap_open, &gap_used));
            *used = at + gap_used;
        }
        if (match.result != PATTERN_FOUND) return OK;
        TRY(match_run(s, level, text + match.begin, match.end - match.begin));
        *used = match.end;
    }
    return OK;
}

static Status nfc_run(Segmentation *s, int level, const uint8_t *text, size_t length, bool is_open,
                      size_t *used) {
    NfcText *normalized = &s->p->normalized;
    if (is_open) length = nfc_settled(text, length);
    if (!nfc_may_change(text, length)) return level_run(s, level + 1, text, length, is_open, used);
    TRY(nfc_compose(text, length, normalized));
    s->is_normalized = true;
    s->next_change = s->safe_at = 0;
    s->safe_count = s->out->count;
    TRY(level_run(s, level + 1, normalized->bytes, normalized->length, is_open, used));
    s->is_normalized = false;
    *used = is_open ? source_of(s) : length;
    if (is_open) s->out->count = s->safe_count;
    return OK;
}

static Status level_run(Segmentation *s, int level, const uint8_t *text, size_t length,
                        bool is_open, size_t *used) {
    *used = 0;
    if (level < s->p->n_levels) {
        bool is_nfc = s->p->levels[level].kind == LEVEL_NFC;
        return (is_nfc ? nfc_run : matches_run)(s, level, text, length, is_open, used);
    }
    if (is_open || length == 0) return OK;
    *used = length;
    return piece_run(s, text, length);
}

/* The number of bytes from text[0] on that are not valid UTF-8. */
static size_t invalid_run(const uint8_t *text, size_t bytes) {
    size_t run = 0;
    while (run < bytes && utf8_character(text + run, bytes - run) == 0) run++;
    return run;
}

Status pre_tokenizer_run(PreTokenizer *p, const uint8_t *text, size_t bytes, bool is_last,
                         PieceFn piece, void *context, TokenBuffer *out, size_t *used) {
    enum { LONGEST_CHARACTER = 4 }; /* so many bytes decide whether they start a valid one */
    Segmentation s = {.p = p, .piece = piece, .context = context, .out = out};
    for (*used = 0; *used < bytes;) {
        size_t left = bytes - *used, valid = utf8_valid_prefix(text + *used, left), done;
        bool is_open = !is_last && left - valid < LONGEST_CHARACTER;
        TRY(level_run(&s, 0, text + *used, valid, is_open, &done));
        *used += done;
        if (is_open || *used == bytes) return OK;
        left = bytes - *used;
        size_t run = invalid_run(text + *used, left);
        if (!is_last && run + LONGEST_CHARACTER - 1 > left) return OK;
        TRY(piece(context, text + *used, run, out));
        *used += run;
    }
    return OK;
}
