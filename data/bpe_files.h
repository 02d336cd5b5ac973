/* Finds and reads the files of a byte-pair tokenizer:
 *
 *   tokenizer.json               of Hugging Face (tokenizer_json.h)
 *   encoder.json + vocab.bpe     two files (merge_list.h)
 *   vocab.json   + merges.txt
 *   any other file               a rank file, as tiktoken's (rank_file.h) */
#pragma once

#include "data/bpe_definition.h"

#include <limits.h>

typedef struct BpeFiles {
    char tokens[PATH_MAX];         /* or the only file */
    char merges[PATH_MAX];         /* "": one file */
    const KnownEncoding *encoding; /* NULL: none is named */
} BpeFiles;

/* bpe_files_find: `which` is a file (of a pair either one, the other must be beside it), or a
 * directory that holds one of these forms; tokenizer.json comes first. The content determines the
 * form. All but tokenizer.json can be followed by the name of an encoding, FILE:NAME; without it
 * they are used with GPT-2's pattern.
 *   Errors: STATUS_DATA if they are not there. Not collective. */
NODISCARD Status bpe_files_find(const char *which, BpeFiles *out);

/* Finds and reads them. Errors: STATUS_DATA naming file and line or field. Not collective. */
NODISCARD Status bpe_files_load(const char *which, BpeDefinition *out);

/* `which` by its absolute path, which holds in any directory, for free(); NULL if memory is out. */
char *bpe_files_name(const char *which);
