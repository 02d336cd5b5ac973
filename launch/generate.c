/* generate: samples text from a trained model. */
#include "core/base/input_file.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"
#include "launch/base/thread_wait.h"
#include "launch/generate/samples.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_START_BYTES = 64 << 20 };

typedef struct GenerateOptions {
    const char *start;
    int64_t num_samples, max_new_tokens, top_k, seed;
    double temperature, top_p;
    int dtype;
    bool special_tokens;
} GenerateOptions;

static const Option options[] = {
    {"start", OPTION_TEXT, offsetof(GenerateOptions, start), "TEXT|FILE:path", NULL,
     .doc = "start of the text (default: a newline); empty: after an end of text",
     .may_be_empty = true},
    {"special-tokens", OPTION_FLAG, offsetof(GenerateOptions, special_tokens),
     .doc = "read special tokens, such as <|endoftext|>, from the start"},
    {"num-samples", OPTION_INT, offsetof(GenerateOptions, num_samples), "N", "1", 1, 1e6,
     .doc = "number of texts"},
    {"max-new-tokens", OPTION_INT, offsetof(GenerateOptions, max_new_tokens), "N", "200", 1, 1e9,
     .doc = "tokens per text"},
    {"temperature", OPTION_NUMBER, offsetof(GenerateOptions, temperature), "X",
     OPTION_DEFAULT(SAMPLING_TEMPERATURE), 0, 100,
     .doc = "divides the logits; below 1 is more conservative, 0 takes the most likely token"},
    {"top-k", OPTION_INT, offsetof(GenerateOptions, top_k), "K", OPTION_DEFAULT(SAMPLING_TOP_K), 0,
     1e9, .doc = "sample from the K most likely tokens; 0: all"},
    {"top-p", OPTION_NUMBER, offsetof(GenerateOptions, top_p), "P", OPTION_DEFAULT(SAMPLING_TOP_P),
     1e-9, 1,
     .doc = "of these, sample from the most likely ones with probability P in total; 1: all"},
    {"seed", OPTION_INT, offsetof(GenerateOptions, seed), "N", "1337",
     .doc = "the same seed gives the same text"},
    {"dtype", OPTION_CHOICE, offsetof(GenerateOptions, dtype), "auto|float32|bfloat16|float16",
     "auto", .doc = "of weights and cache; auto: on a GPU the run's, on the CPU float32"},
};

static void more(FILE *file) {
    fputs("MODEL is a run directory, of which the newest good checkpoint is used, a checkpoint, or "
          "weights of Hugging\n"
          "Face (a directory, or *.safetensors with config.json beside it) or llm.c.\n",
          file);
}

static const CommandLine command = {
    .name = "generate",
    .purpose = "Samples text from a trained model.",
    .operands = "MODEL",
    .least = 1,
    .most = 1,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .more = more,
};

/* The text of --start, from the command line or from a file; the caller frees it. */
static Status start_read(const char *start, char **text, size_t *bytes) {
    if (strncmp(start, "FILE:", 5) != 0) {
        *text = strdup(start);
        *bytes = strlen(start);
        return *text == NULL ? OUT_OF_MEMORY("--start") : OK;
    }
    return input_read_whole(start + 5, MOST_START_BYTES, text, bytes);
}

/* The tokens of the start. If it is empty, the context is an end of text, with a message, because
 * that token is invisible. */
static Status context_begin(const Generator *g, const char *text, size_t bytes, TokenBuffer *out) {
    Tokenizer *tokenizer = generator_tokenizer(g);
    int32_t end_of_text = tokenizer_end_of_text(tokenizer);
    TRY(tokenizer_encode(tokenizer, text, bytes, out));
    if (out->count > 0) return OK;
    fprintf(stderr,
            "generate: the start is empty; the text starts after an end of text (token %d)\n",
            (int)end_of_text);
    return token_buffer_append(out, &end_of_text, 1);
}

static Status samples(Generator *g, const GenerateOptions *values, TokenBuffer *prompt,
                      const char *text, size_t bytes) {
    if (values->special_tokens) TRY(tokenizer_read_special(generator_tokenizer(g)));
    TRY(context_begin(g, text, bytes, prompt));
    GeneratorOptions wanted = {.dtype = (GeneratorDtype)values->dtype,
                               .rows = values->num_samples,
                               .tokens = (int64_t)prompt->count + values->max_new_tokens};
    TRY(generator_prepare(g, &wanted));
    SampleOptions options = {
        values->num_samples,
        values->max_new_tokens,
        {values->temperature, values->top_k, values->top_p, (uint64_t)values->seed}};
    return samples_print(g, &options, prompt, text, bytes);
}

static Status generate(const char *model, const GenerateOptions *values) {
    Generator *generator = NULL;
    TokenBuffer context = {0};
    char *text = NULL;
    size_t bytes = 0;
    Status status = start_read(values->start == NULL ? "\n" : values->start, &text, &bytes);
    if (!failed(status)) status = generator_open(model, &generator);
    if (!failed(status)) status = samples(generator, values, &context, text, bytes);
    generator_destroy(&generator);
    token_buffer_free(&context);
    free(text);
    return status;
}

int main(int argc, char **argv) {
    at_load_restore();
    thread_wait_choose(argv);
    streams_open();
    GenerateOptions values = {0};
    Arguments arguments;
    Status status = options_parse(&command, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&command, &arguments, &build_info, stdout)) {
        status = generate(arguments.operands[0], &values);
    }
    arguments_destroy(&arguments);
    return streams_report("generate", status);
}
