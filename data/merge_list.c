#include "data/merge_list.h"

#include "data/word_vocabulary.h"

#include <jansson.h>
#include <string.h>

static Status words_add(Vocabulary *v, json_t *words) {
    const char *word;
    json_t *id;
    json_object_foreach(words, word, id) {
        if (!json_is_integer(id))
            return ERROR(STATUS_DATA, "the id of '%.40s' is not an integer", word);
        TRY(word_add(v, word, json_integer_value(id)));
    }
    return OK;
}

static Status tokens_read(const char *path, const char *text, size_t size,
                          const KnownEncoding *encoding, BpeDefinition *out) {
    json_error_t error;
    json_t *words = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    Status status;
    if (!json_is_object(words)) {
        status = ERROR(STATUS_DATA, "%s:%d: not a JSON object of tokens and ids: %s", path,
                       words == NULL ? error.line : 1, words == NULL ? error.text : "another type");
    } else {
        status = bpe_definition_begin(out, encoding, (int64_t)json_object_size(words));
        if (!failed(status)) status = words_add(out->vocabulary, words);
        if (!failed(status)) status = bpe_definition_finish(out);
        if (failed(status)) status = status_prefixed(status, "%s", path);
    }
    json_decref(words);
    return status;
}

static Status merges_add(Vocabulary *v, const char *path, char *text) {
    uint32_t rank = 0;
    int number = 1;
    for (char *line = text, *next; line != NULL; line = next, number++) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (*line == '\0' || (number == 1 && strncmp(line, "#version", 8) == 0)) continue;
        Status status = word_merge_line_add(v, line, rank++);
        if (failed(status)) return status_prefixed(status, "%s:%d", path, number);
    }
    if (rank == 0) return ERROR(STATUS_DATA, "%s: contains no merges", path);
    return OK;
}

Status merge_list_read(const char *tokens_path, const char *tokens, size_t size,
                       const char *merges_path, char *merges, const KnownEncoding *encoding,
                       BpeDefinition *out) {
    TRY(tokens_read(tokens_path, tokens, size, encoding, out));
    out->hashes_merges = encoding != NULL;
    return merges_add(out->vocabulary, merges_path, merges);
}
