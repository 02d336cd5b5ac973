#include "data/shard_writer.h"

#include "core/base/file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ShardWriter {
    ShardOptions options;
    char name[32], path[PATH_MAX];
    const Tokenizer *tokenizer;
    int64_t count; /* tokens */
    int n;         /* shards; the last one is being written */
    TokenWriter *shards[MOST_SHARDS];
};

/* ---- names ----------------------------------------------------------------------------------- */

static Status path_write(const ShardOptions *o, const char *name, const char *ending, char *out) {
    int n = snprintf(out, PATH_MAX, "%s/%s%s.%s", o->directory, name, ending, o->suffix);
    if (n < PATH_MAX) return OK;
    return ERROR(STATUS_USAGE, "%s: the path is too long", o->directory);
}

static Status shard_path(const ShardWriter *w, int index, char *out) {
    char ending[16] = "";
    if (w->options.shard_tokens > 0) snprintf(ending, sizeof ending, "_%06d", index);
    return path_write(&w->options, w->name, ending, out);
}

/* Finds a file NAME_NUMBER.SUFFIX with a number that is not below `least`. */
typedef struct OldShard {
    const char *name, *suffix;
    int least;
    char found[NAME_MAX + 1];
} OldShard;

static bool old_look(void *context, const char *entry) {
    OldShard *old = context;
    size_t length = strlen(old->name);
    if (strncmp(entry, old->name, length) != 0 || entry[length] != '_') return true;
    char *end;
    long index = strtol(entry + length + 1, &end, 10);
    bool is_shard = end == entry + length + 7 && *end == '.' && strcmp(end + 1, old->suffix) == 0;
    if (!is_shard || index < old->least) return true;
    snprintf(old->found, sizeof old->found, "%s", entry);
    return false;
}

static Status old_refuse(const ShardOptions *o, const char *name, int least) {
    OldShard old = {.name = name, .suffix = o->suffix, .least = least};
    TRY(file_list(o->directory, old_look, &old));
    if (old.found[0] == '\0') return OK;
    return ERROR(STATUS_DATA,
                 "%s/%s: already exists, and does not belong to the new files; remove it first",
                 o->directory, old.found);
}

Status shards_refuse_old(const ShardOptions *options, const char *name) {
    char path[PATH_MAX];
    bool is_there;
    TRY(path_write(options, name, "", path));
    TRY(file_look(path, NULL, &is_there));
    if (!is_there) return old_refuse(options, name, 0);
    return ERROR(STATUS_DATA,
                 "%s: already exists, and does not belong to the new train file; remove it first",
                 path);
}

/* ---- writing --------------------------------------------------------------------------------- */

static Status shard_begin(ShardWriter *w) {
    char path[PATH_MAX];
    if (w->n == MOST_SHARDS) {
        return ERROR(STATUS_USAGE, "more than %d shards; set a larger --shard-tokens than %lld",
                     MOST_SHARDS, (long long)w->options.shard_tokens);
    }
    TRY(shard_path(w, w->n, path));
    TRY(token_writer_create(path, w->options.format, w->tokenizer, &w->shards[w->n]));
    w->n++;
    return OK;
}

Status shard_writer_create(const ShardOptions *options, const char *name,
                           const Tokenizer *tokenizer, ShardWriter **out) {
    ShardWriter *w = *out = calloc(1, sizeof *w);
    if (w == NULL) return OUT_OF_MEMORY("shards in %s", options->directory);
    w->options = *options;
    w->tokenizer = tokenizer;
    snprintf(w->name, sizeof w->name, "%s", name);
    Status status = path_write(options, name, options->shard_tokens > 0 ? "_*" : "", w->path);
    if (!failed(status)) status = shard_begin(w);
    if (failed(status)) shard_writer_destroy(out);
    return status;
}

void shard_writer_destroy(ShardWriter **writer) {
    if (*writer == NULL) return;
    for (int i = 0; i < (*writer)->n; i++) token_writer_destroy(&(*writer)->shards[i]);
    free(*writer);
    *writer = NULL;
}

/* A full shard stays until more tokens come, because an empty one must not follow. */
Status shard_writer_append(ShardWriter *w, const TokenBuffer *tokens) {
    for (size_t at = 0; at < tokens->count;) {
        TokenWriter *shard = w->shards[w->n - 1];
        int64_t space = w->options.shard_tokens - token_writer_count(shard);
        size_t left = tokens->count - at, some = left;
        if (w->options.shard_tokens > 0 && space < (int64_t)left) some = (size_t)space;
        TokenBuffer part = {.tokens = tokens->tokens + at, .count = some};
        TRY(token_writer_append(shard, &part));
        at += some;
        if (at == tokens->count) break;
        TRY(token_writer_finish(shard));
        TRY(shard_begin(w));
    }
    w->count += (int64_t)tokens->count;
    return OK;
}

int64_t shard_writer_count(const ShardWriter *w) { return w->count; }
const char *shard_writer_path(const ShardWriter *w) { return w->path; }

Status shard_writer_finish(ShardWriter *w) {
    TRY(token_writer_finish(w->shards[w->n - 1]));
    return w->options.shard_tokens > 0 ? old_refuse(&w->options, w->name, w->n) : OK;
}

Status shard_writers_publish(ShardWriter *const *writers, size_t n) {
    TokenWriter *all[2 * MOST_SHARDS];
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; writers[i] != NULL && k < writers[i]->n; k++) {
            if (count == sizeof all / sizeof *all)
                return ERROR(STATUS_FAILURE, "too many files to publish together");
            all[count++] = writers[i]->shards[k];
        }
    }
    return token_writers_publish(all, count);
}
