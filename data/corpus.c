#include "data/corpus.h"

#include "data/corpus_source.h"

#include <stdlib.h>

struct Corpus {
    CorpusOptions options;
    TextNotes notes;
    size_t count;
    CorpusSource sources[];
};

/* ---- opening --------------------------------------------------------------------------------- */

static Status sources_open(Corpus *corpus, const InputList *inputs) {
    for (size_t i = 0; i < inputs->count; i++) {
        CorpusSource *source = &corpus->sources[corpus->count++];
        TRY(corpus_source_open(&inputs->items[i], &corpus->options, source));
        if (source->kind == SOURCE_EMPTY) corpus->count--;
    }
    if (corpus->count > 0) return OK;
    return ERROR(STATUS_DATA, "%s: all files are empty; name files with text",
                 inputs->items[0].path);
}

Status corpus_open(const InputList *inputs, const CorpusOptions *options, Corpus **out) {
    Corpus *corpus = *out = calloc(1, sizeof *corpus + inputs->count * sizeof *corpus->sources);
    if (corpus == NULL) return OUT_OF_MEMORY("the list of files");
    corpus->options = *options;
    Status status = sources_open(corpus, inputs);
    if (failed(status)) corpus_destroy(out);
    return status;
}

void corpus_destroy(Corpus **corpus) {
    if (*corpus == NULL) return;
    for (size_t i = 0; i < (*corpus)->count; i++) corpus_source_close(&(*corpus)->sources[i]);
    free(*corpus);
    *corpus = NULL;
}

const char *corpus_first_path(const Corpus *corpus) { return corpus->sources[0].path; }
const TextNotes *corpus_notes(const Corpus *corpus) { return &corpus->notes; }

int64_t corpus_file_bytes(const Corpus *corpus, bool *is_known) {
    int64_t bytes = 0;
    *is_known = true;
    for (size_t i = 0; i < corpus->count; i++) {
        if (corpus->sources[i].bytes < 0)
            *is_known = false;
        else
            bytes += corpus->sources[i].bytes;
    }
    return bytes;
}

bool corpus_is_plain(const Corpus *corpus) {
    bool is_plain = corpus->options.field == NULL && corpus->options.separator_bytes == 0;
    for (size_t i = 0; i < corpus->count; i++) is_plain = is_plain && corpus->sources[i].is_named;
    return is_plain;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* A sink that reports progress and passes the documents on. */
typedef struct CorpusReading {
    const DocumentSink *sink;
    CorpusProgressFn progress;
    void *context;
    const CorpusSource *source;
    int64_t before; /* bytes of the files before it */
} CorpusReading;

static Status part_pass(void *context, const uint8_t *text, size_t bytes) {
    CorpusReading *reading = context;
    TRY(reading->sink->part(reading->sink->context, text, bytes));
    if (reading->progress == NULL) return OK;
    return reading->progress(reading->context,
                             reading->before + corpus_source_position(reading->source));
}

static Status end_pass(void *context) {
    CorpusReading *reading = context;
    return reading->sink->end(reading->sink->context);
}

Status corpus_read(Corpus *corpus, const DocumentSink *sink, CorpusProgressFn progress,
                   void *context) {
    CorpusReading reading = {.sink = sink, .progress = progress, .context = context};
    DocumentSink passing = {&reading, part_pass, end_pass};
    for (size_t i = 0; i < corpus->count; i++) {
        reading.source = &corpus->sources[i];
        TRY(corpus_source_read(&corpus->sources[i], &corpus->options, &corpus->notes, &passing));
        reading.before += reading.source->bytes > 0 ? reading.source->bytes : 0;
    }
    return OK;
}

/* ---- the cut --------------------------------------------------------------------------------- */

Status corpus_cut(Corpus *corpus, double fraction, const char *scratch, int64_t *cut,
                  int64_t *bytes) {
    int64_t start = 0, back = 0;
    *bytes = 0;
    for (size_t i = 0; i < corpus->count; i++) {
        TRY(corpus_source_measure(&corpus->sources[i], scratch));
        *bytes += corpus->sources[i].text_bytes;
    }
    *cut = *bytes - (int64_t)((double)*bytes * fraction);
    if (fraction == 0) return OK;
    const CorpusSource *source = corpus->sources;
    for (; start + source->text_bytes < *cut; source++) start += source->text_bytes;
    TRY(corpus_source_line(source, *cut - start, &back));
    *cut -= back;
    if (*cut > 0 && *cut < *bytes) return OK;
    return ERROR(
        STATUS_DATA,
        "%s: too little text to reserve %g of it for validation; use more text or --val-fraction=0",
        corpus->sources[0].path, fraction);
}
