#include "data/tokenizer.h"

#include "core/base/program_file.h"
#include "data/bpe_files.h"
#include "data/tokenizer_kind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Status gpt2_find(char path[PROGRAM_PATH_BYTES]) {
    static const char *const places[] = {"build/vocab", "../../share/hourglass/vocab", NULL};
    const char *named = getenv("HOURGLASS_VOCAB");
    if (named != NULL && snprintf(path, PROGRAM_PATH_BYTES, "%s", named) < PROGRAM_PATH_BYTES)
        return OK;
    strcpy(path, "build/vocab");
    if (access(path, R_OK) == 0) return OK;
    if (program_file_find(places, path)) return OK;
    return ERROR(
        STATUS_DATA,
        "build/vocab: GPT-2's vocabulary is missing; run scripts/fetch_gpt2_vocab.sh, or set "
        "HOURGLASS_VOCAB to its path");
}

static Status gpt2_open(Tokenizer **out) {
    char path[PROGRAM_PATH_BYTES];
    TRY(gpt2_find(path));
    Status status = bpe_tokenizer_open(path, out);
    if (failed(status)) {
        return ERROR(status.code, "%s; to download GPT-2's, run scripts/fetch_gpt2_vocab.sh",
                     status_message());
    }
    if ((*out)->hash == GPT2_VOCABULARY_HASH) return OK;
    (*out)->kind->destroy(*out);
    return ERROR(STATUS_DATA, "%s: not GPT-2's vocabulary; to use it, set --tokenizer=%s", path,
                 path);
}

static char *name_of(const Tokenizer *t, const char *which) {
    if (t->hash == GPT2_VOCABULARY_HASH) return strdup("gpt2");
    return strcmp(which, "byte") == 0 ? strdup(which) : bpe_files_name(which);
}

Status tokenizer_open(const char *which, Tokenizer **out) {
    Tokenizer *t = NULL;
    *out = NULL;
    if (strcmp(which, "byte") == 0) {
        TRY(byte_tokenizer_create(&t));
    } else if (strcmp(which, "gpt2") == 0) {
        TRY(gpt2_open(&t));
    } else {
        TRY(bpe_tokenizer_open(which, &t));
    }
    t->name = name_of(t, which);
    if (t->name == NULL) {
        t->kind->destroy(t);
        return OUT_OF_MEMORY("the tokenizer %s", which);
    }
    *out = t;
    return OK;
}

void tokenizer_destroy(Tokenizer **tokenizer) {
    if (tokenizer == NULL || *tokenizer == NULL) return;
    free((*tokenizer)->name);
    (*tokenizer)->kind->destroy(*tokenizer);
    *tokenizer = NULL;
}

const char *tokenizer_name(const Tokenizer *t) { return t->name; }
int64_t tokenizer_vocab_size(const Tokenizer *t) { return t->vocab_size; }
int32_t tokenizer_end_of_text(const Tokenizer *t) { return t->end_of_text; }
uint64_t tokenizer_hash(const Tokenizer *t) { return t->hash; }

Status tokenizer_read_special(Tokenizer *t) {
    if (t->kind->read_special != NULL) return t->kind->read_special(t);
    return ERROR(STATUS_USAGE, "the tokenizer '%s' reads no special tokens from text", t->name);
}

Status tokenizer_encode(Tokenizer *t, const void *text, size_t bytes, TokenBuffer *out) {
    size_t used;
    return t->kind->encode(t, text, bytes, true, out, &used);
}

Status tokenizer_encode_part(Tokenizer *t, const void *text, size_t bytes, TokenBuffer *out,
                             size_t *used) {
    return t->kind->encode(t, text, bytes, false, out, used);
}

Status tokenizer_decode(const Tokenizer *t, int64_t token, const uint8_t **bytes, size_t *length) {
    if (token < 0 || token >= t->vocab_size) {
        return ERROR(STATUS_DATA, "token %lld is not in the vocabulary '%s' of %lld tokens",
                     (long long)token, t->name, (long long)t->vocab_size);
    }
    *bytes = t->kind->decode(t, token, length);
    return OK;
}
