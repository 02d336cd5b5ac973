#include "data/input_list.h"

#include "core/base/file.h"
#include "core/base/input_file.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_LIST_BYTES = 1 << 30, DEEPEST = 64 };

void input_list_free(InputList *list) {
    for (size_t i = 0; i < list->count; i++) free(list->items[i].path);
    free(list->items);
    *list = (InputList){0};
}

static Status path_append(InputList *list, const char *path, bool is_named) {
    if (list->count == list->capacity) {
        size_t capacity = 2 * list->capacity + 16;
        InputPath *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL) return OUT_OF_MEMORY("the names of files");
        list->items = items;
        list->capacity = capacity;
    }
    char *copy = strdup(path);
    if (copy == NULL) return OUT_OF_MEMORY("the names of files");
    list->items[list->count++] = (InputPath){copy, is_named};
    return OK;
}

/* ---- directories ----------------------------------------------------------------------------- */

typedef struct DirectoryWalk {
    InputList *list;
    const char *include;
    size_t root_bytes; /* of the path of the directory that the user names, with its slash */
    int depth;
    struct stat above[DEEPEST]; /* the directories on the way to this one */
} DirectoryWalk;

/* Whether one of the patterns matches; `below` is the path below the root. */
static bool is_included(const char *include, const char *below) {
    const char *slash = strrchr(below, '/'), *name = slash == NULL ? below : slash + 1;
    char pattern[NAME_MAX];
    for (const char *at = include; *at != '\0'; at += *at == ',') {
        size_t n = strcspn(at, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)n, at);
        bool is_path = strchr(pattern, '/') != NULL;
        if (fnmatch(pattern, is_path ? below : name, 0) == 0) return true;
        at += n;
    }
    return false;
}

static Status loop_check(const DirectoryWalk *walk, const char *path, const struct stat *info) {
    for (int i = 0; i < walk->depth; i++) {
        if (walk->above[i].st_dev != info->st_dev || walk->above[i].st_ino != info->st_ino)
            continue;
        return ERROR(STATUS_DATA, "%s: a symbolic link to a directory above it; remove it", path);
    }
    if (walk->depth < DEEPEST) return OK;
    return ERROR(STATUS_DATA, "%s: more than %d directories deep; name a directory further down",
                 path, DEEPEST);
}

typedef struct DirectoryEntries {
    InputList entries;
    Status status;
    const char *directory;
} DirectoryEntries;

static bool name_take(void *context, const char *name) {
    DirectoryEntries *names = context;
    char path[PATH_MAX];
    if (name[0] == '.') return true;
    if (snprintf(path, sizeof path, "%s/%s", names->directory, name) >= PATH_MAX)
        names->status = ERROR(STATUS_DATA, "%s: a path in it is too long", names->directory);
    else
        names->status = path_append(&names->entries, path, false);
    return !failed(names->status);
}

static int by_path(const void *one, const void *other) {
    return strcmp(((const InputPath *)one)->path, ((const InputPath *)other)->path);
}

static Status directory_walk(DirectoryWalk *walk, const char *path, const struct stat *info);

static Status entry_walk(DirectoryWalk *walk, const char *path) {
    struct stat info;
    bool is_there;
    if (stat(path, &info) != 0 && errno == ELOOP)
        return ERROR(STATUS_DATA, "%s: a symbolic link that leads back to itself; remove it", path);
    TRY(file_look(path, &info, &is_there));
    if (is_there && S_ISDIR(info.st_mode)) return directory_walk(walk, path, &info);
    if (!is_included(walk->include, path + walk->root_bytes)) return OK;
    return path_append(walk->list, path, false); /* a dangling link is reported when it is opened */
}

static Status names_walk(DirectoryWalk *walk, DirectoryEntries *names) {
    TRY(file_list(names->directory, name_take, names));
    TRY(names->status);
    qsort(names->entries.items, names->entries.count, sizeof *names->entries.items, by_path);
    for (size_t i = 0; i < names->entries.count; i++)
        TRY(entry_walk(walk, names->entries.items[i].path));
    return OK;
}

static Status directory_walk(DirectoryWalk *walk, const char *path, const struct stat *info) {
    DirectoryEntries names = {.directory = path};
    TRY(loop_check(walk, path, info));
    if (access(path, R_OK | X_OK) != 0) {
        return ERROR(STATUS_DATA,
                     "%s: no permission to list it; run chmod +rx on it, or leave it "
                     "out",
                     path);
    }
    walk->above[walk->depth++] = *info;
    Status status = names_walk(walk, &names);
    walk->depth--;
    input_list_free(&names.entries);
    return status;
}

static Status directory_add(InputList *list, const char *path, const struct stat *info,
                            const char *include) {
    char root[PATH_MAX];
    size_t length = strlen(path), before = list->count;
    while (length > 1 && path[length - 1] == '/') length--;
    snprintf(root, sizeof root, "%.*s", (int)length, path);
    DirectoryWalk walk = {.list = list, .include = include, .root_bytes = strlen(root) + 1};
    TRY(directory_walk(&walk, root, info));
    if (list->count > before) return OK;
    return ERROR(STATUS_DATA, "%s: no file in this directory matches '%s'; set --include", path,
                 include);
}

/* ---- what the user names --------------------------------------------------------------------- */

Status input_list_add(InputList *list, const char *path, const char *include) {
    struct stat info;
    bool is_directory = strcmp(path, "-") != 0 && strlen(path) < PATH_MAX &&
                        stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    return is_directory ? directory_add(list, path, &info, include) : path_append(list, path, true);
}

static Status lines_add(InputList *list, char *text, const char *include) {
    for (char *line = text, *end; *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        if (*end != '\0') *end++ = '\0';
        line[strcspn(line, "\r")] = '\0';
        if (line[0] != '\0') TRY(input_list_add(list, line, include));
    }
    return OK;
}

Status input_list_add_from(InputList *list, const char *path, const char *include) {
    char *text;
    size_t bytes, before = list->count;
    TRY(input_read_whole(path, MOST_LIST_BYTES, &text, &bytes));
    Status status = lines_add(list, text, include);
    free(text);
    if (failed(status) || list->count > before) return status;
    return ERROR(STATUS_DATA, "%s: names no file; write one path on each line", path);
}
