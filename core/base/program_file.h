/* Files that belong to the running program, found relative to it, so that a build folder or an
 * installation can move. */
#pragma once

#include <limits.h>
#include <stdbool.h>

enum { PROGRAM_PATH_BYTES = PATH_MAX };

/* path = the folder of the running program, links resolved; false if it is unknown. */
bool program_folder(char path[PROGRAM_PATH_BYTES]);

/* path = the first of the files that can be read; `places` are relative to the program's folder and
 * end with NULL. False if there is none. */
bool program_file_find(const char *const *places, char path[PROGRAM_PATH_BYTES]);
