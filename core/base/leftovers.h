/* Leftovers: files in shared folders that a killed process could not remove. */
#pragma once

/* Removes from a directory the regular files of this user whose names begin with one of
 * `beginnings` (NULL-terminated), which are older than 5 s, and which no process has open or
 * mapped. What cannot be told is left. */
void leftovers_remove(const char *directory, const char *const *beginnings);
