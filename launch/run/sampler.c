#include "launch/run/sampler.h"

#include "core/base/escape.h"
#include "data/token_text.h"
#include "launch/base/signals.h"
#include "nn/sampling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Sampler {
    const Experiment *e;
    Tokenizer *tokenizer; /* NULL: unknown */
    TokenBuffer prompt;
    float *scratch; /* (V) */
    char note[512];
};

static Status tokenizer_settle(Sampler *s) {
    const TokenSet *tokens = s->e->val_tokens;
    Status status = tokenizer_open_of(token_set_tokenizer_id(tokens), token_set_path(tokens),
                                      s->e->resolved.vocab_size, &s->tokenizer);
    if (status.code == STATUS_DATA) {
        snprintf(s->note, sizeof s->note, "no samples: %.480s", status_message());
        return OK;
    }
    TRY(status);
    return tokenizer_encode(s->tokenizer, "\n", 1, &s->prompt);
}

Status sampler_create(const Experiment *e, Sampler **out) {
    Sampler *s = *out = calloc(1, sizeof **out);
    if (s == NULL) return OUT_OF_MEMORY("samples");
    s->e = e;
    s->scratch = malloc((size_t)e->recorded.model->config.V * sizeof *s->scratch);
    if (s->scratch == NULL) return OUT_OF_MEMORY("samples");
    return tokenizer_settle(s);
}

void sampler_destroy(Sampler **sampler) {
    if (sampler == NULL || *sampler == NULL) return;
    tokenizer_destroy(&(*sampler)->tokenizer);
    token_buffer_free(&(*sampler)->prompt);
    free((*sampler)->scratch);
    free(*sampler);
    *sampler = NULL;
}

const char *sampler_note(const Sampler *s) { return s->note[0] == '\0' ? NULL : s->note; }

/* The next token; draw `index`. */
static Status token_draw(Sampler *s, int64_t index, int32_t *token) {
    int64_t V = s->e->recorded.model->config.V, known = tokenizer_vocab_size(s->tokenizer);
    Sampling sampling = {SAMPLING_TEMPERATURE, SAMPLING_TOP_K, SAMPLING_TOP_P, s->e->config->seed};
    float *logits;
    watchdog_progress(s->e->watchdog, "sample");
    TRY(decoder_logits(s->e->recorded.decoder, &logits));
    return sampling_draw(&sampling, (uint64_t)index, logits, V < known ? V : known, s->scratch,
                         token);
}

static Status tokens_write(Sampler *s, FILE *file) {
    decoder_begin(s->e->recorded.decoder, s->prompt.tokens, (int64_t)s->prompt.count);
    for (int64_t i = 0; i < s->e->config->evaluation.sample && signals_number() == 0; i++) {
        const uint8_t *bytes;
        size_t n;
        int32_t token;
        TRY(token_draw(s, i, &token));
        if (token == tokenizer_end_of_text(s->tokenizer)) break;
        TRY(tokenizer_decode(s->tokenizer, token, &bytes, &n));
        fwrite(bytes, 1, n, file);
        decoder_append(s->e->recorded.decoder, &token);
    }
    return OK;
}

/* A text cannot hold zero bytes. */
static void zeros_replace(char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\0') text[i] = '?';
    }
}

Status sampler_run(Sampler *s, char **text) {
    size_t bytes;
    *text = NULL;
    FILE *file = open_memstream(text, &bytes);
    if (file == NULL) return OUT_OF_MEMORY("a sample");
    Status status = tokens_write(s, file);
    if (fclose(file) != 0 && !failed(status)) status = OUT_OF_MEMORY("a sample");
    if (failed(status) || signals_number() != 0) {
        free(*text);
        *text = NULL;
        return status;
    }
    zeros_replace(*text, bytes);
    escape_mask(*text);
    return OK;
}
