/* Generator: a trained model, its tokenizer and a decoder. One rank; nothing is collective.
 *
 *   TRY(generator_open(path, &g));
 *   TRY(generator_prepare(g, &options));
 *   ... generator_decoder(g): see nn/decoder.h ... */
#pragma once

#include "data/tokenizer.h"
#include "launch/run/experiment.h"
#include "nn/decoder.h"

typedef struct Generator Generator;

typedef enum GeneratorDtype {
    GENERATOR_AUTO, /* on a GPU that of the run; float32 on the CPU, and for a run in float64 */
    GENERATOR_FLOAT32,
    GENERATOR_BFLOAT16,
    GENERATOR_FLOAT16
} GeneratorDtype;

typedef struct GeneratorOptions {
    GeneratorDtype dtype;
    int64_t rows;   /* wanted */
    int64_t tokens; /* a row's prompt and new tokens; limits the cache */
} GeneratorOptions;

/* Memory in bytes, as planned. */
typedef struct GeneratorMemory {
    size_t weights, cache, activations;
} GeneratorMemory;

/* Reads the config and the tokenizer of a model that model_source_open takes. `path` outlives the
 * generator. Errors: STATUS_DATA naming the missing part. Destroy `out` after a failure, too. */
NODISCARD Status generator_open(const char *path, Generator **out);

/* Opens the device, records and plans the programs, allocates their memory and loads the weights.
 * Errors: STATUS_USAGE for a dtype that the device lacks; STATUS_OUT_OF_MEMORY. */
NODISCARD Status generator_prepare(Generator *generator, const GeneratorOptions *options);
void generator_destroy(Generator **generator);

/* Rows of at most block_size tokens. */
Decoder *generator_decoder(const Generator *generator);

Tokenizer *generator_tokenizer(const Generator *generator);
int64_t generator_vocab_size(const Generator *generator);
GeneratorMemory generator_memory(const Generator *generator);

/* Rows of a batch: at most options.rows and 64, and so few that their cache fits into half of the
 * memory that the weights leave. Batches of so many rows are about equal in size. */
int64_t generator_rows(const Generator *generator);
