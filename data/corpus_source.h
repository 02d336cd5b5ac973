/* CorpusSource: one file of a corpus. Private to corpus.c. */
#pragma once

#include "data/corpus_options.h"
#include "data/document_sink.h"
#include "data/input_list.h"
#include "data/text_notes.h"
#include "data/text_stream.h"

typedef enum SourceKind { SOURCE_EMPTY, SOURCE_TEXT, SOURCE_JSON, SOURCE_TABLE } SourceKind;

typedef struct CorpusSource {
    const char *path; /* what text_stream_open takes; borrowed */
    SourceKind kind;
    bool is_named;      /* by the user */
    bool is_plain;      /* neither compressed nor a pipe: its size is that of its text */
    int64_t bytes;      /* of the file; < 0: a pipe */
    int64_t text_bytes; /* set by corpus_source_measure */
    TextStream *stream; /* of a pipe from the start; of a file while it is read */
    double share;       /* of a table, read so far */
    int copy;           /* descriptor of the copy of a pipe, plain text; -1: none */
    const volatile sig_atomic_t *interrupted; /* text_stream_open */
} CorpusSource;

NODISCARD Status corpus_source_open(const InputPath *input, const CorpusOptions *options,
                                    CorpusSource *out);
void corpus_source_close(CorpusSource *source);
NODISCARD Status corpus_source_read(CorpusSource *source, const CorpusOptions *options,
                                    TextNotes *notes, const DocumentSink *sink);

/* Bytes of the file that have been read. */
int64_t corpus_source_position(const CorpusSource *source);

/* Sets text_bytes; copies a pipe to a file in the directory `scratch`. */
NODISCARD Status corpus_source_measure(CorpusSource *source, const char *scratch);

/* *back = the number of bytes from text position `at` back to the start of its line, or of its
 * character if no line starts within 64 KiB. */
NODISCARD Status corpus_source_line(const CorpusSource *source, int64_t at, int64_t *back);
