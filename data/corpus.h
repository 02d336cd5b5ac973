/* Corpus: the text of many files as documents, one after another. Files are read in order, whatever
 * their number and size; memory does not grow with them. */
#pragma once

#include "data/corpus_options.h"
#include "data/document_sink.h"
#include "data/input_list.h"
#include "data/text_notes.h"

#include <stdbool.h>

typedef struct Corpus Corpus;

/* Called periodically; `bytes`: of the files, read so far. A failure ends the reading. */
typedef Status (*CorpusProgressFn)(void *context, int64_t bytes);

/* corpus_open: looks at the first bytes of every file. `inputs` and `options` are borrowed.
 *   Errors: STATUS_DATA for a file that is missing, not readable, empty (if the user names it), of
 *   another kind than the options say, or not text; the message says what to do. Not collective. */
NODISCARD Status corpus_open(const InputList *inputs, const CorpusOptions *options, Corpus **out);
void corpus_destroy(Corpus **corpus);

/* The path of the first file. */
const char *corpus_first_path(const Corpus *corpus);

/* The number of bytes in all files; pipes count 0. *is_known: there are no pipes. */
int64_t corpus_file_bytes(const Corpus *corpus, bool *is_known);

/* Whether every file was named by the user and is plain text, not compressed, without a separator:
 * then a file is rather a long text than a document. */
bool corpus_is_plain(const Corpus *corpus);

/* corpus_read: passes all documents to a sink. A pipe can be read once.
 *   Errors: STATUS_DATA if a file has changed or is damaged; those of the sink. Not collective. */
NODISCARD Status corpus_read(Corpus *corpus, const DocumentSink *sink, CorpusProgressFn progress,
                             void *context);

/* corpus_cut: *cut = the start of the last `fraction` of the text of all files, in bytes, moved
 * back to the start of its line if that is within 64 KiB and in the same file, otherwise to the
 * start of a UTF-8 character. *bytes: the size of the text. 0 <= fraction < 1. Compressed files are
 * read for this; a pipe is copied to an unnamed file in the directory `scratch`. Errors:
 * STATUS_DATA if either side would be empty; those of corpus_read. Not collective. */
NODISCARD Status corpus_cut(Corpus *corpus, double fraction, const char *scratch, int64_t *cut,
                            int64_t *bytes);

/* What is unusual about the text that has been read. */
const TextNotes *corpus_notes(const Corpus *corpus);
