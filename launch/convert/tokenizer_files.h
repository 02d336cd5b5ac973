/* The tokenizer of a model as files of Hugging Face. Not collective. */
#pragma once

#include "launch/convert/created_files.h"
#include "launch/convert/formats.h"

/* The name of the model's tokenizer for tokenizer_open: that of its run, otherwise the one that
 * commonly has a vocabulary of this size; TOKENIZER_UNKNOWN if there is none. */
const char *tokenizer_name_of(const ModelWeights *model);

/* Sets the model's tokenizer from the tokenizer.json or the pair of files in the directory of
 * `path`; TOKENIZER_UNKNOWN, with a warning, if that cannot be used. */
NODISCARD Status tokenizer_files_read(const char *path, const ModelReading *reading,
                                      ModelWeights *model);

/* The token that ends a text; -1 if the tokenizer is unknown. */
int64_t tokenizer_files_end_of_text(const ModelWeights *model);

/* Refuses a directory of `path` with another tokenizer than the model's: STATUS_DATA. */
NODISCARD Status tokenizer_files_check(const ModelWeights *model, const char *path);

/* Writes the files for AutoTokenizer into the directory of `path`, unless they are there; none if
 * the tokenizer is unknown, or, with a warning, lost or in no form of Hugging Face's. */
NODISCARD Status tokenizer_files_write(const ModelWeights *model, const char *path,
                                       CreatedFiles *created);
