#include "launch/generate/samples.h"

#include "core/base/clock.h"
#include "launch/base/streams.h"

#include <stdio.h>
#include <stdlib.h>

enum { DRAW_BITS = 32 }; /* of the token's number in a draw; the sample's is above them */

typedef struct SampledText {
    TokenBuffer tokens;
    size_t printed; /* of the tokens */
    bool is_begun, is_complete;
} SampledText;

/* Tokens per row and their time; the first new token counts with the prompt. */
typedef struct TokenSpeed {
    int64_t tokens;
    double seconds;
} TokenSpeed;

typedef struct Samples {
    Generator *generator;
    const SampleOptions *options;
    const TokenBuffer *prompt;
    const char *start;
    size_t start_bytes;
    int64_t B, V;      /* rows of a batch; tokens that model and tokenizer know */
    int64_t first;     /* the number of the batch's first sample */
    int64_t seen;      /* tokens of the prompt that each sample sees */
    int64_t count;     /* of the batch's samples */
    int64_t shown;     /* of these are printed and complete */
    SampledText *rows; /* (B) */
    int32_t *next;     /* (B) */
    float *scratch;    /* (V) */
    TokenSpeed prompts, news;
} Samples;

static Status samples_create(Samples *s) {
    int64_t V = generator_vocab_size(s->generator),
            known = tokenizer_vocab_size(generator_tokenizer(s->generator));
    s->B = generator_rows(s->generator);
    s->V = V < known ? V : known;
    s->rows = calloc((size_t)s->B, sizeof *s->rows);
    s->next = calloc((size_t)s->B, sizeof *s->next);
    s->scratch = malloc((size_t)V * sizeof *s->scratch);
    return s->rows == NULL || s->next == NULL || s->scratch == NULL ? OUT_OF_MEMORY("samples") : OK;
}

static void samples_destroy(Samples *s) {
    for (int64_t b = 0; b < s->B && s->rows != NULL; b++) token_buffer_free(&s->rows[b].tokens);
    free(s->rows);
    free(s->next);
    free(s->scratch);
}

static Status sample_print(const Samples *s, SampledText *sample) {
    if (!sample->is_begun) {
        if (s->first + s->shown > 0) fputs("---------------\n", stdout);
        fwrite(s->start, 1, s->start_bytes, stdout);
        sample->is_begun = true;
    }
    for (; sample->printed < sample->tokens.count; sample->printed++) {
        const uint8_t *bytes;
        size_t length;
        TRY(tokenizer_decode(generator_tokenizer(s->generator),
                             sample->tokens.tokens[sample->printed], &bytes, &length));
        fwrite(bytes, 1, length, stdout);
    }
    if (sample->is_complete) fputs("\n", stdout);
    return OK;
}

/* Prints complete samples and what is new of the next one. */
static Status batch_print(Samples *s) {
    bool goes_on = true;
    while (goes_on && s->shown < s->count) {
        SampledText *sample = &s->rows[s->shown];
        TRY(sample_print(s, sample));
        goes_on = sample->is_complete;
        s->shown += goes_on;
    }
    return streams_flush(OK);
}

/* Draws token `i` of each sample that is not complete. */
static Status tokens_draw(Samples *s, int64_t i, float *logits) {
    int64_t most = s->options->max_new_tokens, stride = generator_vocab_size(s->generator);
    int32_t end_of_text = tokenizer_end_of_text(generator_tokenizer(s->generator));
    for (int64_t b = 0; b < s->count; b++) {
        SampledText *sample = &s->rows[b];
        uint64_t draw = (uint64_t)(s->first + b) << DRAW_BITS | (uint64_t)i;
        if (sample->is_complete) continue;
        TRY(sampling_draw(&s->options->sampling, draw, logits + b * stride, s->V, s->scratch,
                          &s->next[b]));
        TRY(token_buffer_append(&sample->tokens, &s->next[b], 1));
        sample->is_complete = s->next[b] == end_of_text || i + 1 == most;
    }
    return OK;
}

static void batch_begin(Samples *s) {
    int64_t left = s->options->num_samples - s->first;
    s->count = left < s->B ? left : s->B;
    s->shown = 0;
    for (int64_t b = 0; b < s->B; b++) {
        TokenBuffer tokens = s->rows[b].tokens;
        tokens.count = 0;
        s->rows[b] = (SampledText){.tokens = tokens};
        s->next[b] = 0;
    }
    s->seen = decoder_begin(generator_decoder(s->generator), s->prompt->tokens,
                            (int64_t)s->prompt->count);
}

static void speed_add(TokenSpeed *speed, int64_t tokens, double seconds) {
    speed->tokens += tokens;
    speed->seconds += seconds;
}

static int64_t incomplete_count(const Samples *s) {
    int64_t count = 0;
    for (int64_t b = 0; b < s->count; b++) count += !s->rows[b].is_complete;
    return count;
}

static Status batch_generate(Samples *s) {
    batch_begin(s);
    TRY(batch_print(s));
    double before = clock_seconds();
    for (int64_t i = 0; s->shown < s->count; i++) {
        int64_t drawn = incomplete_count(s);
        float *logits;
        if (i > 0) decoder_append(generator_decoder(s->generator), s->next);
        TRY(decoder_logits(generator_decoder(s->generator), &logits));
        TRY(tokens_draw(s, i, logits));
        TRY(batch_print(s));
        double now = clock_seconds();
        if (i == 0)
            speed_add(&s->prompts, s->count * s->seen, now - before);
        else
            speed_add(&s->news, drawn, now - before);
        before = now;
    }
    return OK;
}

static double mebibytes(size_t bytes) { return (double)bytes / (1 << 20); }

static void report(const Samples *s) {
    GeneratorMemory memory = generator_memory(s->generator);
    fprintf(stderr, "generate: %lld prompt tokens at %.4g tokens/s", (long long)s->prompts.tokens,
            (double)s->prompts.tokens / s->prompts.seconds);
    if (s->news.tokens > 0) {
        fprintf(stderr, ", %lld new ones at %.4g tokens/s", (long long)s->news.tokens,
                (double)s->news.tokens / s->news.seconds);
    }
    fprintf(stderr, "; weights %.1f MiB, cache %.1f MiB, activations %.1f MiB\n",
            mebibytes(memory.weights), mebibytes(memory.cache), mebibytes(memory.activations));
}

Status samples_print(Generator *generator, const SampleOptions *options, const TokenBuffer *prompt,
                     const char *start, size_t start_bytes) {
    Samples s = {.generator = generator,
                 .options = options,
                 .prompt = prompt,
                 .start = start,
                 .start_bytes = start_bytes};
    Status status = samples_create(&s);
    while (!failed(status) && s.first < options->num_samples) {
        status = batch_generate(&s);
        s.first += s.count;
    }
    if (!failed(status)) report(&s);
    samples_destroy(&s);
    return status;
}
