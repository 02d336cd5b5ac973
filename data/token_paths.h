/* TokenPaths: token files as a user names them. */
#pragma once

/* Each item is a path, or a pattern as in a shell, which takes the files that match in the order of
 * their names; a path that exists is no pattern. */
typedef struct TokenPaths {
    int count; /* 0: none */
    const char *const *items;
    const double *weights; /* of each item; NULL: all files are one part */
} TokenPaths;
