/* Text files as one stream of bytes, read in pieces of a few megabytes whatever their size. */
#pragma once

#include "core/status.h"
#include "data/token_writer.h"
#include "data/tokenizer.h"

#include <stdint.h>

typedef struct Corpus Corpus;

/* Called now and then while a corpus is encoded, with how many bytes of it are done. */
typedef void (*CorpusProgressFn)(void *context, int64_t done);

/* corpus_open: looks at every file; what is not a regular file (a pipe, or `-` for the standard
 * input) is copied into an unnamed file in the directory `scratch`, because the split below needs
 * to know where the text ends. Errors: STATUS_DATA for a file that is missing, not readable, empty
 * or a directory. Not collective. */
NODISCARD Status corpus_open(char *const *paths, int count, const char *scratch, Corpus **out);
void corpus_destroy(Corpus **corpus);

/* The bytes of all files together. */
int64_t corpus_bytes(const Corpus *corpus);

/* corpus_split: *cut: where the last `fraction` of the bytes begins, moved back to the start of its
 * line where that is within 64 KiB and in the same file, and to the start of a UTF-8 character
 * otherwise. 0 <= fraction < 1.
 *   Errors: STATUS_DATA where either side would be empty. Not collective. */
NODISCARD Status corpus_split(const Corpus *corpus, double fraction, int64_t *cut);

/* corpus_encode: writes the tokens of bytes [from, to), with one end of text between the text of
 * two files. Memory does not grow with the text: a piece of over 2 MiB that the tokenizer would
 * take as a whole (no space in megabytes) is cut. `progress` may be NULL. Not collective.
 *   Errors: STATUS_DATA where a file changed or cannot be read, and those of the tokenizer and the
 *   writer. */
NODISCARD Status corpus_encode(const Corpus *corpus, int64_t from, int64_t to, Tokenizer *tokenizer,
                               TokenWriter *writer, CorpusProgressFn progress, void *context);
