#include "data/word_vocabulary.h"

#include "data/byte_letters.h"

#include <string.h>

Status word_add(Vocabulary *v, const char *word, int64_t id) {
    static _Thread_local uint8_t bytes[MAX_WORD_BYTES];
    size_t length = byte_letters_decode(word, strlen(word), bytes);
    if (length == 0)
        return ERROR(STATUS_DATA, "'%.40s' is not a token of a byte-level vocabulary with an id",
                     word);
    return vocabulary_add(v, id, bytes, length);
}

Status word_merge_add(Vocabulary *v, const char *left, size_t n_left, const char *right,
                      size_t n_right, uint32_t rank) {
    static _Thread_local uint8_t bytes[2 * MAX_WORD_BYTES];
    n_left = byte_letters_decode(left, n_left, bytes);
    n_right = byte_letters_decode(right, n_right, bytes + n_left);
    if (n_left == 0 || n_right == 0)
        return ERROR(STATUS_DATA, "not two tokens of a byte-level vocabulary");
    int32_t first = vocabulary_find(v, bytes, n_left),
            second = vocabulary_find(v, bytes + n_left, n_right),
            merged = vocabulary_find(v, bytes, n_left + n_right);
    if (first != NO_TOKEN && second != NO_TOKEN && merged != NO_TOKEN)
        return vocabulary_add_merge(v, first, second, (Merge){rank, merged});
    return ERROR(STATUS_DATA, "the two tokens or their concatenation are not in the vocabulary");
}

Status word_merge_line_add(Vocabulary *v, const char *line, uint32_t rank) {
    const char *space = strchr(line, ' ');
    if (space == NULL)
        return ERROR(STATUS_DATA, "a merge must be two tokens with a space between them");
    return word_merge_add(v, line, (size_t)(space - line), space + 1, strcspn(space + 1, "\r"),
                          rank);
}
