/* Text files as one stream of bytes, read in blocks of a few megabytes, whatever the size of the
 * files. */
#pragma once

#include "core/status.h"
#include "data/token_writer.h"
#include "data/tokenizer.h"

#include <stdint.h>

typedef struct Corpus Corpus;

/* Called periodically during corpus_encode; `done` is the number of bytes encoded. */
typedef void (*CorpusProgressFn)(void *context, int64_t done);

/* corpus_open: inspects every file. Input that is not a regular file (a pipe, or `-` for standard
 * input) is copied to an unnamed file in the directory `scratch`, because corpus_split needs the
 * end of the text. Errors: STATUS_DATA for a file that is missing, not readable, empty or a
 * directory. Not collective. */
NODISCARD Status corpus_open(char *const *paths, int count, const char *scratch, Corpus **out);
void corpus_destroy(Corpus **corpus);

/* The total number of bytes in all files. */
int64_t corpus_bytes(const Corpus *corpus);

/* corpus_split: *cut = the start of the last `fraction` of the bytes, moved back to the start of
 * its line if that is within 64 KiB and in the same file, otherwise to the start of a UTF-8
 * character. 0 <= fraction < 1.
 *   Errors: STATUS_DATA if either side would be empty. Not collective. */
NODISCARD Status corpus_split(const Corpus *corpus, double fraction, int64_t *cut);

/* corpus_encode: writes the tokens of bytes [from, to), with one end of text between the texts of
 * two files. Memory does not grow with the text: a piece of more than 2 MiB (megabytes without a
 * space) is cut. `progress` may be NULL. Not collective.
 *   Errors: STATUS_DATA if a file has changed or cannot be read; those of the tokenizer and the
 *   writer. */
NODISCARD Status corpus_encode(const Corpus *corpus, int64_t from, int64_t to, Tokenizer *tokenizer,
                               TokenWriter *writer, CorpusProgressFn progress, void *context);
