/* Leftovers: files in shared directories that a killed process could not remove. */
#pragma once

/* Removes from a directory the regular files of this user whose names start with one of
 * `beginnings` (NULL-terminated), that are older than 5 s, and that no process has open or mapped.
 * Keeps a file in case of doubt. */
void leftovers_remove(const char *directory, const char *const *beginnings);
