#include "core/base/program_file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool program_folder(char path[PROGRAM_PATH_BYTES]) {
    ssize_t length = readlink("/proc/self/exe", path, PROGRAM_PATH_BYTES - 1);
    if (length <= 0) return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) return false;
    *slash = '\0';
    return true;
}

bool program_file_find(const char *const *places, char path[PROGRAM_PATH_BYTES]) {
    char folder[PROGRAM_PATH_BYTES];
    if (!program_folder(folder)) return false;
    for (; *places != NULL; places++) {
        int length = snprintf(path, PROGRAM_PATH_BYTES, "%s/%s", folder, *places);
        if (length > 0 && length < PROGRAM_PATH_BYTES && access(path, R_OK) == 0) return true;
    }
    return false;
}
