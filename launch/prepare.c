/* prepare: converts text to token files for ./train. */
#include "core/base/clock.h"
#include "core/base/escape.h"
#include "core/base/file.h"
#include "data/corpus.h"
#include "data/directory.h"
#include "data/encodings.h"
#include "data/token_writer.h"
#include "data/tokenizer.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

typedef struct PrepareOptions {
    const char *out, *tokenizer;
    bool special_tokens;
    double val_fraction;
    int format; /* index into formats[] */
} PrepareOptions;

static const struct {
    const char *suffix;
    TokenFormat format;
} formats[] = {{"h5", TOKENS_HDF5}, {"bin", TOKENS_NANOGPT}};

static const Option options[] = {
    {"out", OPTION_TEXT, offsetof(PrepareOptions, out), "DIR", .required = true,
     .doc = "directory of the train and val files"},
    {"tokenizer", OPTION_TEXT, offsetof(PrepareOptions, tokenizer), "byte|gpt2|FILE", "byte",
     .doc = "FILE: see below"},
    {"special-tokens", OPTION_FLAG, offsetof(PrepareOptions, special_tokens),
     .doc = "read special tokens, such as <|endoftext|>, from the text"},
    {"val-fraction", OPTION_NUMBER, offsetof(PrepareOptions, val_fraction), "0.1", "0.1", .low = 0,
     .high = 0.9, .doc = "fraction of the text, at its end, for validation; 0: none"},
    {"format", OPTION_CHOICE, offsetof(PrepareOptions, format), "h5|bin", "h5",
     .doc = "bin: headerless uint16, as nanoGPT's"},
};

static void print_notes(FILE *file) {
    fputs(
        "FILE is tokenizer.json, or encoder.json or vocab.json with its merges, or a rank file, or "
        "their directory.\n"
        "Only tokenizer.json holds its pattern. Others have GPT-2's, or that of an encoding: "
        "FILE:NAME, where NAME is\n",
        file);
    fprintf(file, "%s.\n", encoding_names);
    fputs("INPUT is a text file, or - for standard input. Files are read in order, with an end of "
          "text between them.\n"
          "The split is at the start of a line. Memory does not grow with the text. An existing "
          "file that is not a\n"
          "token file of the format is never replaced.\n",
          file);
}

static const CommandLine program = {.name = "prepare",
                                    .purpose = "Makes token files from text.",
                                    .operands = "INPUT...",
                                    .least = 1,
                                    .most = -1,
                                    .options = options,
                                    .option_count = sizeof options / sizeof options[0],
                                    .more = print_notes};

typedef struct Split {
    char path[PATH_MAX];
    TokenWriter *writer; /* NULL: this split is not written */
} Split;

typedef struct Preparation {
    const PrepareOptions *values;
    Tokenizer *tokenizer;
    Corpus *corpus;
    int64_t cut; /* training text before it, validation text after it */
    Split train, val;
    int lock;     /* the directory's descriptor, or -1 */
    double start; /* seconds */
    bool is_terminal;
} Preparation;

/* Locks the directory, because two concurrent ./prepare could each write one file of the pair. If
 * directories cannot be locked, the last one wins. */
static Status out_lock(const char *path, int *fd) {
    *fd = file_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (*fd < 0 || file_lock(*fd, false) != EWOULDBLOCK) return OK;
    return ERROR(STATUS_DATA,
                 "%s: another ./prepare is writing there; wait for it or choose another --out",
                 path);
}

static Status split_name(const Preparation *p, const char *name, Split *out) {
    const char *suffix = formats[p->values->format].suffix;
    if (snprintf(out->path, PATH_MAX, "%s/%s.%s", p->values->out, name, suffix) < PATH_MAX)
        return OK;
    return ERROR(STATUS_USAGE, "%s: the path is too long", p->values->out);
}

static Status split_open(Preparation *p, const char *name, Split *out) {
    int format = p->values->format;
    TRY(split_name(p, name, out));
    return token_writer_create(out->path, formats[format].format, p->tokenizer, &out->writer);
}

/* Refuses an old val file beside a new train file, because it would be of another text. */
static Status no_old_val(Preparation *p) {
    bool is_there;
    TRY(split_name(p, "val", &p->val));
    TRY(file_look(p->val.path, NULL, &is_there));
    if (!is_there) return OK;
    return ERROR(STATUS_DATA,
                 "%s: already exists, and does not belong to the new train file; remove it first",
                 p->val.path);
}

static Status splits_open(Preparation *p) {
    TRY(split_open(p, "train", &p->train));
    if (p->cut == corpus_bytes(p->corpus)) return no_old_val(p);
    return split_open(p, "val", &p->val);
}

static void show_progress(void *context, int64_t done) {
    const Preparation *p = context;
    double total = (double)corpus_bytes(p->corpus), seconds = clock_seconds() - p->start;
    if (!p->is_terminal) return;
    fprintf(stderr, "\r%5.1f%% of %.1f MB, %.1f MB/s ", 100 * (double)done / total, total * 1e-6,
            (double)done * 1e-6 / seconds);
}

static Status splits_write(Preparation *p) {
    int64_t bytes = corpus_bytes(p->corpus);
    TRY(corpus_encode(p->corpus, 0, p->cut, p->tokenizer, p->train.writer, show_progress, p));
    if (p->val.writer == NULL) return token_writer_finish(p->train.writer);
    TRY(corpus_encode(p->corpus, p->cut, bytes, p->tokenizer, p->val.writer, show_progress, p));
    TRY(token_writer_finish(p->train.writer));
    return token_writer_finish(p->val.writer);
}

static Status splits_publish(Preparation *p) {
    TokenWriter *const writers[] = {p->train.writer, p->val.writer};
    return token_writers_publish(writers, p->val.writer == NULL ? 1 : 2);
}

static void report(const Preparation *p) {
    int64_t train = token_writer_count(p->train.writer);
    int64_t val = p->val.writer == NULL ? 0 : token_writer_count(p->val.writer);
    double seconds = clock_seconds() - p->start, megabytes = (double)corpus_bytes(p->corpus) * 1e-6;
    if (p->is_terminal) fputs("\r\033[K", stderr);
    escape_say(stdout,
               "%lld train and %lld val tokens (%s) of %.1f MB in %.2f s, %.1f MB/s, %.2f M "
               "tokens/s; in the config: "
               "data: {train: %s%s%s}, model: {vocab_size: %lld}",
               (long long)train, (long long)val, tokenizer_name(p->tokenizer), megabytes, seconds,
               megabytes / seconds, (double)(train + val) * 1e-6 / seconds, p->train.path,
               val > 0 ? ", val: " : "", val > 0 ? p->val.path : "",
               (long long)tokenizer_vocab_size(p->tokenizer));
}

static Status run(Preparation *p, const Arguments *arguments) {
    TRY(out_lock(p->values->out, &p->lock));
    TRY(tokenizer_open(p->values->tokenizer, &p->tokenizer));
    if (p->values->special_tokens) TRY(tokenizer_read_special(p->tokenizer));
    TRY(corpus_open(arguments->operands, arguments->operand_count, p->values->out, &p->corpus));
    TRY(corpus_split(p->corpus, p->values->val_fraction, &p->cut));
    TRY(splits_open(p));
    TRY(splits_write(p));
    TRY(splits_publish(p));
    report(p);
    return OK;
}

static Status prepare(const PrepareOptions *values, const Arguments *arguments) {
    size_t made;
    Preparation p = {.values = values,
                     .lock = -1,
                     .start = clock_seconds(),
                     .is_terminal = isatty(STDERR_FILENO)};
    TRY(directory_create(values->out, &made));
    Status status = run(&p, arguments);
    if (failed(status) && p.is_terminal) fputs("\r\033[K", stderr);
    token_writer_destroy(&p.train.writer);
    token_writer_destroy(&p.val.writer);
    corpus_destroy(&p.corpus);
    tokenizer_destroy(&p.tokenizer);
    file_close(p.lock);
    if (failed(status)) directory_undo(values->out, made);
    return status;
}

int main(int argc, char **argv) {
    at_load_restore();
    streams_open();
    PrepareOptions values = {0};
    Arguments arguments;
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size becomes a write error */
    Status status = options_parse(&program, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&program, &arguments, stdout))
        status = prepare(&values, &arguments);
    arguments_destroy(&arguments);
    return streams_report(program.name, status);
}
