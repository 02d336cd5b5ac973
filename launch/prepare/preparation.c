#include "launch/prepare/preparation.h"

#include "core/base/clock.h"
#include "core/base/escape.h"
#include "core/base/file.h"
#include "data/corpus.h"
#include "data/directory.h"
#include "data/document_encoder.h"
#include "data/document_split.h"
#include "launch/prepare/progress.h"
#include "launch/prepare/separator.h"
#include "launch/prepare/token_sides.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *suffix;
    TokenFormat format;
} formats[] = {[PREPARE_H5] = {"h5", TOKENS_HDF5},
               [PREPARE_BIN] = {"bin", TOKENS_NANOGPT},
               [PREPARE_LLMC] = {"bin", TOKENS_LLMC}};

/* Patterns of the files in directories. */
static const char all_files[] = "*";
static const char record_files[] =
    "*.jsonl,*.ndjson,*.jsonl.gz,*.ndjson.gz,*.jsonl.zst,*.ndjson.zst,*.parquet,*.arrow";

typedef struct Preparation {
    const PrepareOptions *options;
    const volatile sig_atomic_t *interrupted;
    Tokenizer *tokenizer;
    InputList inputs;
    Separator separator;
    Corpus *corpus;
    DocumentEncoder *encoder;
    TokenSides sides;
    PrepareProgress progress;
    bool splits_at_end;
    int64_t cut;        /* splits_at_end: training text before it, validation text after it */
    int64_t text_bytes; /* so far */
    bool is_open;       /* a document has begun */
    int lock;           /* the directory's descriptor, or -1 */
} Preparation;

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Locks the directory, because two concurrent ./prepare could each write one file of the pair. If
 * directories cannot be locked, the last one wins. */
static Status out_lock(const char *path, int *fd) {
    *fd = file_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0 || file_lock(*fd, false) != EWOULDBLOCK) return OK;
    return ERROR(STATUS_DATA,
                 "%s: another ./prepare is writing there; wait for it or choose another --out",
                 path);
}

static Status inputs_find(Preparation *p, char *const *inputs, int count) {
    const PrepareOptions *o = p->options;
    const char *include = o->include;
    if (include == NULL) include = o->field == NULL ? all_files : record_files;
    if (o->files_from != NULL) TRY(input_list_add_from(&p->inputs, o->files_from, include));
    for (int i = 0; i < count; i++) TRY(input_list_add(&p->inputs, inputs[i], include));
    if (p->inputs.count > 0) return OK;
    return ERROR(STATUS_USAGE, "INPUT... is missing; name files or directories, or --files-from");
}

static Status corpus_take(Preparation *p) {
    const PrepareOptions *o = p->options;
    if (o->field != NULL && o->separator != NULL)
        return ERROR(STATUS_USAGE, "--separator is for plain text; with --field each record is a "
                                   "document");
    if (o->field != NULL && o->input == INPUT_TEXT)
        return ERROR(STATUS_USAGE, "--input=text takes files as plain text, which has no --field");
    TRY(separator_parse(o->separator, &p->separator));
    CorpusOptions how = {.field = o->field,
                         .separator = p->separator.bytes,
                         .separator_bytes = p->separator.length,
                         .takes_anything = o->input == INPUT_TEXT,
                         .interrupted = p->interrupted};
    return corpus_open(&p->inputs, &how, &p->corpus);
}

/* ---- the split ------------------------------------------------------------------------------- */

static Status split_choose(Preparation *p) {
    const PrepareOptions *o = p->options;
    bool has_documents = o->field != NULL || o->separator != NULL;
    if (o->split == SPLIT_END && (has_documents || o->shuffle)) {
        return ERROR(STATUS_USAGE,
                     "--split=end cuts plain text as it is; with --field, --separator or --shuffle "
                     "use --split=documents");
    }
    p->splits_at_end = o->split == SPLIT_END ||
                       (o->split == SPLIT_AUTO && !o->shuffle && corpus_is_plain(p->corpus));
    return OK;
}

static Status sides_open(Preparation *p) {
    const PrepareOptions *o = p->options;
    bool has_val = o->val_fraction > 0, is_known;
    int64_t bytes = 0;
    if (p->splits_at_end) TRY(corpus_cut(p->corpus, o->val_fraction, o->out, &p->cut, &bytes));
    if (p->splits_at_end) has_val = p->cut < bytes;
    bytes = corpus_file_bytes(p->corpus, &is_known);
    p->progress.bytes = is_known ? bytes : 0;
    ShardOptions shards = {o->out, formats[o->format].suffix, formats[o->format].format,
                           o->shard_tokens};
    TRY(token_sides_create(&shards, p->tokenizer, has_val, &p->sides));
    return o->shuffle ? token_sides_shuffle(&p->sides, o->out, (uint64_t)o->seed) : OK;
}

static int side_choose(const Preparation *p) {
    const PrepareOptions *o = p->options;
    int64_t index = p->sides.documents[SIDE_TRAIN] + p->sides.documents[SIDE_VAL];
    bool is_val = p->splits_at_end
                      ? p->text_bytes >= p->cut
                      : document_split_is_val((uint64_t)o->seed, o->val_fraction, index);
    return is_val ? SIDE_VAL : SIDE_TRAIN;
}

/* ---- documents ------------------------------------------------------------------------------- */

static Status tokens_take(void *context, const TokenBuffer *tokens) {
    Preparation *p = context;
    return token_sides_append(&p->sides, tokens);
}

/* An empty document has not begun. */
static Status document_end(void *context) {
    Preparation *p = context;
    if (!p->is_open) return OK;
    p->is_open = false;
    return document_encoder_end(p->encoder);
}

static Status text_take(Preparation *p, const uint8_t *text, size_t bytes) {
    if (p->splits_at_end && p->text_bytes == p->cut) TRY(document_end(p));
    if (!p->is_open) TRY(token_sides_begin(&p->sides, side_choose(p)));
    p->is_open = true;
    p->text_bytes += (int64_t)bytes;
    return document_encoder_part(p->encoder, text, bytes);
}

static Status part_take(void *context, const uint8_t *text, size_t bytes) {
    Preparation *p = context;
    int64_t before_cut = p->cut - p->text_bytes;
    size_t first = 0;
    if (p->splits_at_end && before_cut > 0 && before_cut < (int64_t)bytes)
        first = (size_t)before_cut;
    if (first > 0) TRY(text_take(p, text, first));
    return text_take(p, text + first, bytes - first);
}

static Status interruption_check(const Preparation *p) {
    if (*p->interrupted == 0) return OK;
    return ERROR(STATUS_FAILURE, "interrupted by %s; nothing was written",
                 strsignal(*p->interrupted));
}

static Status progress_take(void *context, int64_t done) {
    Preparation *p = context;
    progress_show(&p->progress, done);
    return interruption_check(p);
}

static Status documents_check(const Preparation *p) {
    const int64_t *n = p->sides.documents;
    long long all = (long long)(n[SIDE_TRAIN] + n[SIDE_VAL]);
    bool has_val = p->sides.writers[SIDE_VAL] != NULL;
    if (n[SIDE_TRAIN] > 0 && (!has_val || n[SIDE_VAL] > 0)) return OK;
    if (all == 0) {
        return ERROR(STATUS_DATA, "%s: no document has any text; name files with text",
                     corpus_first_path(p->corpus));
    }
    return ERROR(STATUS_DATA,
                 "%s: %lld document%s too few to reserve %g of them for validation; use more, "
                 "another --val-fraction, or --val-fraction=0%s",
                 corpus_first_path(p->corpus), all, all == 1 ? " is" : "s are",
                 p->options->val_fraction,
                 p->options->field == NULL ? "; --split=end cuts the text of plain files" : "");
}

static Status documents_write(Preparation *p) {
    DocumentSink sink = {p, part_take, document_end};
    TRY(document_encoder_create(p->tokenizer, tokens_take, p, &p->encoder));
    TRY(corpus_read(p->corpus, &sink, progress_take, p));
    TRY(documents_check(p));
    TRY(token_sides_finish(&p->sides));
    TRY(interruption_check(p));
    return token_sides_publish(&p->sides);
}

/* ---- the report ------------------------------------------------------------------------------ */

static void notes_print(const Preparation *p) {
    char note[PATH_MAX + 256];
    for (int kind = 0; kind < TEXT_NOTE_KINDS; kind++) {
        if (!text_notes_write(corpus_notes(p->corpus), kind, note, sizeof note)) continue;
        escape_say(stderr, "prepare: note: %s", note);
    }
}

static void report(const Preparation *p) {
    const ShardWriter *const *w = (const ShardWriter *const *)p->sides.writers;
    long long train = (long long)shard_writer_count(w[SIDE_TRAIN]), val = 0;
    if (w[SIDE_VAL] != NULL) val = (long long)shard_writer_count(w[SIDE_VAL]);
    double seconds = clock_seconds() - p->progress.start, megabytes = (double)p->text_bytes * 1e-6;
    char documents[64] = "";
    if (!p->splits_at_end) {
        snprintf(documents, sizeof documents, "%lld + %lld documents, ",
                 (long long)p->sides.documents[SIDE_TRAIN],
                 (long long)p->sides.documents[SIDE_VAL]);
    }
    progress_clear(&p->progress);
    notes_print(p);
    escape_say(stdout,
               "%lld train and %lld val tokens (%s) of %s%.1f MB in %.2f s, %.1f MB/s, %.2f M "
               "tokens/s; in the config: "
               "data: {train: %s%s%s}, model: {vocab_size: %lld}",
               train, val, tokenizer_name(p->tokenizer), documents, megabytes, seconds,
               megabytes / seconds, (double)(train + val) * 1e-6 / seconds,
               shard_writer_path(w[SIDE_TRAIN]), val > 0 ? ", val: " : "",
               val > 0 ? shard_writer_path(w[SIDE_VAL]) : "",
               (long long)tokenizer_vocab_size(p->tokenizer));
}

/* ---- the run --------------------------------------------------------------------------------- */

static Status run(Preparation *p, char *const *inputs, int count) {
    TRY(out_lock(p->options->out, &p->lock));
    TRY(tokenizer_open(p->options->tokenizer, &p->tokenizer));
    if (p->options->special_tokens) TRY(tokenizer_read_special(p->tokenizer));
    TRY(inputs_find(p, inputs, count));
    TRY(corpus_take(p));
    TRY(split_choose(p));
    TRY(sides_open(p));
    TRY(documents_write(p));
    report(p);
    return OK;
}

static void preparation_close(Preparation *p) {
    document_encoder_destroy(&p->encoder);
    token_sides_destroy(&p->sides);
    corpus_destroy(&p->corpus);
    input_list_free(&p->inputs);
    tokenizer_destroy(&p->tokenizer);
    file_close(p->lock);
}

Status prepare_run(const PrepareOptions *options, char *const *inputs, int count,
                   const volatile sig_atomic_t *interrupted) {
    size_t made;
    Preparation *p = calloc(1, sizeof *p);
    if (p == NULL) return OUT_OF_MEMORY("%s", options->out);
    *p = (Preparation){
        .options = options, .interrupted = interrupted, .lock = -1, .progress = progress_begin()};
    Status status = directory_create(options->out, &made);
    if (!failed(status)) {
        status = run(p, inputs, count);
        if (failed(status)) progress_clear(&p->progress);
        if (failed(status) && *interrupted != 0) status = interruption_check(p);
        preparation_close(p);
        if (failed(status)) directory_undo(options->out, made);
    }
    free(p);
    return status;
}
