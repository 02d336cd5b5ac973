#include "data/token_set.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SCANNED_MIB = 256, MANY_FILES = 256 };

struct TokenSet {
    char *path;
    int n_files, n_parts, capacity;
    TokenFile **files;
    int64_t *starts; /* (n_files + 1): the first token of each file; then the number of all */
    TokenPart parts[TOKEN_PARTS_MAX];
    char *part_paths[TOKEN_PARTS_MAX];
    int naming; /* the file whose tokenizer is that of all */
};

/* ---- the names of the files ------------------------------------------------------------------ */

/* Each file stays open, and a process may have few descriptors. */
static void descriptors_allow(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* MiB to scan of each of `files` files. */
static int scanned_of(int64_t files) {
    return files > SCANNED_MIB / 2 ? 2 : (int)(SCANNED_MIB / files);
}

static Status file_add(TokenSet *set, const char *path, int64_t of_files) {
    if (set->n_files == MANY_FILES) descriptors_allow();
    if (set->n_files == set->capacity) {
        int capacity = 2 * set->capacity + 8;
        TokenFile **files = realloc(set->files, (size_t)capacity * sizeof *files);
        if (files != NULL) set->files = files;
        int64_t *starts = realloc(set->starts, ((size_t)capacity + 1) * sizeof *starts);
        if (starts != NULL) set->starts = starts;
        if (files == NULL || starts == NULL) return OUT_OF_MEMORY("token files");
        set->capacity = capacity;
    }
    TRY(token_file_open_part(path, scanned_of(of_files), &set->files[set->n_files]));
    set->n_files++;
    return OK;
}

static Status matches_add(TokenSet *set, const char *pattern, int of_items) {
    glob_t found;
    int result = glob(pattern, GLOB_ERR, NULL, &found);
    Status status = OK;
    if (result == GLOB_NOSPACE) return OUT_OF_MEMORY("token files");
    if (result == GLOB_NOMATCH) {
        status = ERROR(STATUS_DATA,
                       "%s: no file matches this pattern; make files with ./prepare INPUT... "
                       "--out=DIR --shard-tokens=100M",
                       pattern);
    } else if (result != 0) {
        status = ERROR(STATUS_DATA, "%s: cannot list the directory: %s", pattern, strerror(errno));
    }
    for (size_t i = 0; !failed(status) && i < found.gl_pathc; i++)
        status = file_add(set, found.gl_pathv[i], (int64_t)found.gl_pathc * of_items);
    globfree(&found);
    return status;
}

/* A path that exists is no pattern, whatever its characters. */
static Status item_add(TokenSet *set, const TokenPaths *paths, int item) {
    const char *path = paths->items[item];
    bool is_pattern = strpbrk(path, "*?[") != NULL && access(path, F_OK) != 0;
    return is_pattern ? matches_add(set, path, paths->count) : file_add(set, path, paths->count);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int64_t tokens_count(TokenSet *set, int first) {
    int64_t count = 0;
    for (int i = first; i < set->n_files; i++) {
        set->starts[i] = (i == 0 ? 0 : set->starts[i - 1] + token_file_count(set->files[i - 1]));
        count += token_file_count(set->files[i]);
    }
    set->starts[set->n_files] = set->starts[first] + count;
    return count;
}

static Status part_end(TokenSet *set, int first, const char *path, double weight) {
    int64_t count = tokens_count(set, first);
    char *copy = set->part_paths[set->n_parts] = strdup(path);
    if (copy == NULL) return OUT_OF_MEMORY("token files");
    set->parts[set->n_parts++] = (TokenPart){set->starts[first], count, weight, copy};
    return OK;
}

static Status parts_open(TokenSet *set, const TokenPaths *paths) {
    int first = 0;
    if (paths->weights != NULL && paths->count > TOKEN_PARTS_MAX)
        return ERROR(STATUS_DATA, "more than %d weighted parts; name patterns of files",
                     TOKEN_PARTS_MAX);
    for (int i = 0; i < paths->count; i++) {
        TRY(item_add(set, paths, i));
        if (paths->weights == NULL) continue;
        TRY(part_end(set, first, paths->items[i], paths->weights[i]));
        first = set->n_files;
    }
    return paths->weights == NULL ? part_end(set, 0, paths->items[0], 1) : OK;
}

static bool is_named(const TokenFile *file) {
    return token_file_vocab(file) > 0 || tokenizer_is_named(token_file_tokenizer(file));
}

/* The first file that names its tokenizer, or one whose tokenizer is unknown, or the first. */
static int naming_find(const TokenSet *set) {
    int unknown = 0;
    for (int i = 0; i < set->n_files; i++) {
        if (is_named(set->files[i])) return i;
        if (token_file_tokenizer(set->files[i])[0] != '\0') unknown = i;
    }
    return unknown;
}

/* Tokens of another tokenizer would be wrong without any sign of it. */
static Status tokenizers_check(TokenSet *set) {
    set->naming = naming_find(set);
    const TokenFile *first = set->files[set->naming];
    for (int i = 0; i < set->n_files; i++) {
        const TokenFile *file = set->files[i];
        if (!is_named(file)) continue;
        bool agrees =
            tokenizer_ids_agree(token_file_tokenizer_id(first), token_file_tokenizer_id(file)) &&
            token_file_vocab(first) == token_file_vocab(file) &&
            token_file_end_of_text(first) == token_file_end_of_text(file);
        if (agrees) continue;
        return ERROR(STATUS_DATA,
                     "%s: made with the tokenizer %s, but %s with %s; make both with one ./prepare",
                     token_file_path(file), token_file_tokenizer(file), token_file_path(first),
                     token_file_tokenizer(first));
    }
    return OK;
}

static Status path_write(TokenSet *set) {
    int n, others = set->n_files - 1;
    const char *first = token_file_path(set->files[0]);
    n = others == 0
            ? asprintf(&set->path, "%s", first)
            : asprintf(&set->path, "%s and %d more file%s", first, others, others == 1 ? "" : "s");
    if (n < 0) set->path = NULL;
    return n < 0 ? OUT_OF_MEMORY("token files") : OK;
}

Status token_set_open(const TokenPaths *paths, TokenSet **out) {
    TokenSet *set = *out = calloc(1, sizeof *set);
    if (set == NULL) return OUT_OF_MEMORY("token files");
    Status status = parts_open(set, paths);
    if (!failed(status)) status = tokenizers_check(set);
    if (!failed(status)) status = path_write(set);
    if (failed(status)) token_set_destroy(out);
    return status;
}

Status token_set_open_path(const char *path, TokenSet **out) {
    return token_set_open(&(TokenPaths){.count = 1, .items = &path}, out);
}

void token_set_destroy(TokenSet **set) {
    if (set == NULL || *set == NULL) return;
    for (int i = 0; i < (*set)->n_files; i++) token_file_destroy(&(*set)->files[i]);
    for (int i = 0; i < TOKEN_PARTS_MAX; i++) free((*set)->part_paths[i]);
    free((*set)->files);
    free((*set)->starts);
    free((*set)->path);
    free(*set);
    *set = NULL;
}

/* ---- what it holds --------------------------------------------------------------------------- */

const char *token_set_path(const TokenSet *set) { return set->path; }
int64_t token_set_count(const TokenSet *set) { return set->starts[set->n_files]; }
int token_set_files(const TokenSet *set) { return set->n_files; }
const TokenFile *token_set_file(const TokenSet *set, int index) { return set->files[index]; }
int token_set_parts(const TokenSet *set) { return set->n_parts; }
const TokenPart *token_set_part(const TokenSet *set, int index) { return &set->parts[index]; }

static const TokenFile *naming(const TokenSet *set) { return set->files[set->naming]; }

int64_t token_set_vocab(const TokenSet *set) { return token_file_vocab(naming(set)); }

const char *token_set_tokenizer(const TokenSet *set) { return token_file_tokenizer(naming(set)); }

uint64_t token_set_tokenizer_hash(const TokenSet *set) {
    return token_file_tokenizer_hash(naming(set));
}

int64_t token_set_end_of_text(const TokenSet *set) { return token_file_end_of_text(naming(set)); }

TokenizerId token_set_tokenizer_id(const TokenSet *set) {
    return (TokenizerId){token_set_tokenizer(set), token_set_tokenizer_hash(set)};
}

Status token_set_require_vocab(TokenSet *set, int64_t vocab_size) {
    int scanned = scanned_of(set->n_files);
    for (int i = 0; i < set->n_files; i++)
        TRY(token_file_require_vocab_in(set->files[i], vocab_size, scanned));
    return OK;
}

/* The file that holds a token. */
static int file_of(const TokenSet *set, int64_t token) {
    int low = 0, high = set->n_files; /* starts[low] <= token < starts[high] */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (set->starts[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}

Status token_set_read(const TokenSet *set, int64_t start, int64_t n, int32_t *out) {
    int i = file_of(set, start);
    if (start < 0 || n < 0 || start > token_set_count(set) - n)
        return token_file_read(set->files[i], start - set->starts[i], n, out); /* its message */
    for (; n > 0; i++) {
        int64_t left = set->starts[i + 1] - start, some = n < left ? n : left;
        TRY(token_file_read(set->files[i], start - set->starts[i], some, out));
        start += some;
        out += some;
        n -= some;
    }
    return OK;
}
