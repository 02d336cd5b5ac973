#include "data/bpe_files.h"

#include "core/base/input_file.h"
#include "data/merge_list.h"
#include "data/rank_file.h"
#include "data/tokenizer_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_FILE_BYTES = 64 << 20 };

/* ---- which form it is ------------------------------------------------------------------------ */

typedef struct Form {
    const char *tokens; /* or the only file */
    const char *merges; /* NULL: one file */
} Form;

static const Form forms[] = {
    {"tokenizer.json", NULL}, {"encoder.json", "vocab.bpe"}, {"vocab.json", "merges.txt"},
    {"gpt2.tiktoken", NULL},  {"r50k_base.tiktoken", NULL},
};

static bool join(char *out, const char *directory, int length, const char *name) {
    return snprintf(out, PATH_MAX, "%.*s%s%s", length, directory, length == 0 ? "" : "/", name) <
           PATH_MAX;
}

static bool is_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* Finds the first form whose files are all in a directory. `must`: a file that the form must
 * contain, or NULL. */
static bool form_find(const char *directory, int length, const char *must, char *tokens,
                      char *merges) {
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const Form *form = &forms[i];
        bool is_wanted = must == NULL || strcmp(must, form->tokens) == 0 ||
                         (form->merges != NULL && strcmp(must, form->merges) == 0);
        merges[0] = '\0';
        if (!is_wanted || !join(tokens, directory, length, form->tokens) || !is_file(tokens))
            continue;
        if (form->merges == NULL) return true;
        if (join(merges, directory, length, form->merges) && is_file(merges)) return true;
    }
    return false;
}

static Status form_of_directory(const char *path, char *tokens, char *merges) {
    if (form_find(path, (int)strlen(path), NULL, tokens, merges)) return OK;
    return ERROR(STATUS_DATA,
                 "%s: no vocabulary in this directory; it needs tokenizer.json, encoder.json and "
                 "vocab.bpe, vocab.json and merges.txt, gpt2.tiktoken or r50k_base.tiktoken",
                 path);
}

/* Finds the sibling of one of a pair. Any other file stands alone. */
static Status form_of_file(const char *path, char *tokens, char *merges) {
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    int length = slash == NULL ? 0 : (int)(slash - path);
    bool is_part = false;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const Form *form = &forms[i];
        if (form->merges == NULL) continue;
        is_part = is_part || strcmp(name, form->tokens) == 0 || strcmp(name, form->merges) == 0;
    }
    merges[0] = '\0';
    if (is_part && form_find(path, length, name, tokens, merges)) return OK;
    if (is_part)
        return ERROR(STATUS_DATA, "%s: the matching file of the pair is not beside it", path);
    if (snprintf(tokens, PATH_MAX, "%s", path) < PATH_MAX) return OK;
    return ERROR(STATUS_DATA, "%s: the path is too long", path);
}

static Status files_find(const char *path, char *tokens, char *merges) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return ERROR(STATUS_DATA,
                     "%s: cannot open the vocabulary: %s; name byte, gpt2, or a vocabulary's file",
                     path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) return form_of_directory(path, tokens, merges);
    return form_of_file(path, tokens, merges);
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool is_json(const char *text) { return text[strspn(text, " \t\r\n")] == '{'; }

static Status single_read(const char *path, char *text, size_t size, const KnownEncoding *encoding,
                          BpeDefinition *out) {
    if (!is_json(text)) return rank_file_read(path, text, size, encoding, out);
    if (encoding == NULL) return tokenizer_json_read(path, text, size, out);
    return ERROR(STATUS_DATA, "%s: holds its own pattern; remove ':%s' from its name", path,
                 encoding->name);
}

static Status files_read(const BpeFiles *files, BpeDefinition *out) {
    char *tokens = NULL, *merges = NULL;
    size_t tokens_size = 0, merges_size = 0;
    Status status = input_read_whole(files->tokens, MAX_FILE_BYTES, &tokens, &tokens_size);
    if (!failed(status) && files->merges[0] == '\0') {
        status = single_read(files->tokens, tokens, tokens_size, files->encoding, out);
    } else if (!failed(status)) {
        status = input_read_whole(files->merges, MAX_FILE_BYTES, &merges, &merges_size);
        if (!failed(status))
            status = merge_list_read(files->tokens, tokens, tokens_size, files->merges, merges,
                                     files->encoding, out);
    }
    free(tokens);
    free(merges);
    return status;
}

/* Separates FILE:NAME, unless a file has this whole name. */
static Status name_split(const char *which, char path[PATH_MAX], const KnownEncoding **encoding) {
    struct stat info;
    *encoding = NULL;
    if (snprintf(path, PATH_MAX, "%s", which) >= PATH_MAX)
        return ERROR(STATUS_DATA, "%s: the path is too long", which);
    char *colon = strrchr(path, ':');
    if (colon == NULL || stat(path, &info) == 0) return OK;
    *encoding = encoding_named(colon + 1);
    *colon = '\0';
    if (*encoding == NULL && stat(path, &info) == 0)
        return ERROR(STATUS_DATA, "%s: '%s' is not a known encoding; it must be %s", path,
                     colon + 1, encoding_names);
    if (*encoding == NULL) *colon = ':';
    return OK;
}

Status bpe_files_find(const char *which, BpeFiles *out) {
    char path[PATH_MAX];
    TRY(name_split(which, path, &out->encoding));
    return files_find(path, out->tokens, out->merges);
}

Status bpe_files_load(const char *which, BpeDefinition *out) {
    BpeFiles files;
    TRY(bpe_files_find(which, &files));
    return files_read(&files, out);
}

char *bpe_files_name(const char *which) {
    char path[PATH_MAX], whole[PATH_MAX], *name = NULL;
    const KnownEncoding *encoding;
    bool is_found = !failed(name_split(which, path, &encoding)) && realpath(path, whole) != NULL;
    if (!is_found || encoding == NULL) return strdup(is_found ? whole : which);
    return asprintf(&name, "%s:%s", whole, encoding->name) < 0 ? NULL : name;
}
