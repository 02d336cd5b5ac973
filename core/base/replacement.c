#include "core/base/replacement.h"

#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SHOWN_BYTES = 200, TAG_DIGITS = 16, TRIES = 100, PIECE_BYTES = 8 << 20 };

static const char ENDING[] = ".hourglass";

struct Replacement {
    char *path;  /* the target */
    char *aside; /* NULL after the rename to the target */
    char *backup;
    int fd, error; /* error: errno of the last failure */
    bool keeps_old, had_old;
};

/* ---- names ----------------------------------------------------------------------------------- */

/* FNV-1a over the name, then the number, with a final mix. */
static uint64_t tag_of(const char *name, size_t length, uint64_t number) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    hash = (hash ^ number) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* The part of the target's name that the temporary file's name contains. */
static const char *shown_name(const char *path, size_t *length) {
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    *length = strnlen(name, SHOWN_BYTES);
    return name;
}

/* DIR/.NAME.TAG.hourglass with the tag of `number`; the caller frees it. */
static char *aside_name(const char *path, uint64_t number) {
    char *aside;
    size_t length;
    const char *name = shown_name(path, &length);
    int bytes = asprintf(&aside, "%.*s.%.*s.%016" PRIx64 "%s", (int)(name - path), path,
                         (int)length, name, tag_of(name, length, number), ENDING);
    return bytes < 0 ? NULL : aside;
}

/* Whether `entry` is the name of a temporary file of target `name` (NULL: of any target); *tag =
 * its tag. */
static bool aside_parse(const char *entry, const char *name, uint64_t *number_tag, size_t *length) {
    size_t bytes = strlen(entry), most;
    if (entry[0] != '.' || bytes < 1 + 1 + TAG_DIGITS + sizeof ENDING - 1) return false;
    *length = bytes - 1 - 1 - TAG_DIGITS - (sizeof ENDING - 1);
    const char *tag = entry + 1 + *length;
    if (tag[0] != '.' || strspn(tag + 1, "0123456789abcdef") != TAG_DIGITS) return false;
    if (strcmp(tag + 1 + TAG_DIGITS, ENDING) != 0) return false;
    *number_tag = strtoull(tag + 1, NULL, 16);
    const char *shown = name == NULL ? NULL : shown_name(name, &most);
    return shown == NULL || (most == *length && strncmp(entry + 1, shown, most) == 0);
}

/* ---- what dead writers left ------------------------------------------------------------------ */

typedef struct Sweeping {
    const char *directory, *name;
} Sweeping;

/* Whether a file is a leftover of this project: its tag matches its inode, or it is untagged and
 * empty; and no live writer holds its lock. */
static bool is_left(int fd, const char *entry, size_t length, uint64_t tag) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    bool is_ours = info.st_size == 0 || tag_of(entry + 1, length, info.st_ino) == tag;
    return is_ours && file_lock(fd, false) == 0;
}

static bool leftover_remove(void *context, const char *entry) {
    const Sweeping *sweeping = context;
    char path[PATH_MAX];
    uint64_t tag;
    size_t length;
    if (!aside_parse(entry, sweeping->name, &tag, &length)) return true;
    if (snprintf(path, sizeof path, "%s/%s", sweeping->directory, entry) >= (int)sizeof path)
        return true;
    int fd = file_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd >= 0 && is_left(fd, entry, length, tag)) file_remove(path);
    file_close(fd);
    return true;
}

void replacement_clean(const char *directory, const char *name) {
    Sweeping sweeping = {directory, name};
    Status status = file_list(directory, leftover_remove, &sweeping);
    (void)status; /* tried again next time */
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Removes the file while its lock is still held. */
static void file_drop(Replacement *new) {
    if (new->aside != NULL) file_remove(new->aside);
    file_close(new->fd);
    free(new->aside);
    new->aside = NULL;
    new->fd = -1;
}

/* Creates a file with a unique name, not yet tagged. Returns 0 or errno. */
static int file_make(Replacement *new) {
    static _Atomic uint64_t count;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t number = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid() << 40;
    new->aside = aside_name(new->path, number + atomic_fetch_add(&count, 1));
    if (new->aside == NULL) return ENOMEM;
    new->fd = file_open(new->aside, O_RDWR | O_CREAT | O_EXCL, 0666);
    if (new->fd >= 0) return 0;
    free(new->aside);
    new->aside = NULL;
    return errno;
}

/* Locks the file, then renames it to the tagged name. Returns 0 or errno; ENOENT if another process
 * has just removed it as a leftover. Without locks no process removes it. */
static int file_tag(Replacement *new) {
    struct stat info;
    if (fstat(new->fd, &info) != 0) return errno;
    file_lock(new->fd, true);
    char *tagged = aside_name(new->path, info.st_ino);
    int error = tagged == NULL ? ENOMEM : file_rename(new->aside, tagged);
    if (error != 0) {
        free(tagged);
        return error;
    }
    free(new->aside);
    new->aside = tagged;
    return 0;
}

/* Returns 0 or errno; removes the file on failure. */
static int file_begin(Replacement *new) {
    int error = EEXIST;
    for (int try = 0; try < TRIES && (error == EEXIST || error == ENOENT); try++) {
        error = file_make(new);
        if (error == ENOENT) return error; /* the directory does not exist */
        if (error == 0) error = file_tag(new);
        if (error == 0) return 0;
        file_drop(new);
    }
    return error;
}

Status replacement_check(const char *path, const char *const *starts, const char *what) {
    char begin[128] = "";
    ssize_t got;
    TRY(file_read_beginning(path, begin, sizeof begin - 1, &got));
    if (got <= 0) return OK;
    for (; *starts != NULL; starts++) {
        if (strncmp(begin, *starts, strlen(*starts)) == 0) return OK;
    }
    return ERROR(STATUS_DATA, "%s: not %s, so it is not replaced; name another", path, what);
}

Status replacement_begin(const char *path, Replacement **out) {
    char directory[PATH_MAX];
    size_t length;
    *out = NULL;
    file_directory(path, directory, sizeof directory);
    replacement_clean(directory, path);
    Replacement *new = calloc(1, sizeof *new);
    if (new != NULL) new->path = strdup(path);
    if (new == NULL || new->path == NULL) {
        free(new);
        return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    }
    shown_name(path, &length);
    new->fd = -1;
    int error = length == 0 ? EISDIR : file_begin(new);
    *out = new;
    if (error == 0) return OK;
    replacement_destroy(out);
    return file_cannot_write(path, error);
}

int replacement_fd(const Replacement *replacement) { return replacement->fd; }
const char *replacement_temporary(const Replacement *replacement) { return replacement->aside; }
const char *replacement_path(const Replacement *replacement) { return replacement->path; }
void replacement_keep_old(Replacement *replacement) { replacement->keeps_old = true; }

int replacement_error(const Replacement *replacement) { return replacement->error; }

static Status failure(Replacement *new, int error) {
    new->error = error;
    return error == 0 ? OK : file_cannot_write(new->path, error);
}

Status replacement_write(Replacement *replacement, const void *bytes, size_t n) {
    return failure(replacement, file_write_all(replacement->fd, bytes, n));
}

Status replacement_write_direct(Replacement *replacement, const void *bytes, size_t n) {
    return failure(replacement, file_write_direct(replacement->fd, bytes, n));
}

/* ---- the name -------------------------------------------------------------------------------- */

static bool is_there(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0 || errno != ENOENT;
}

/* Renames to a name that must be free, else EEXIST. Some file systems cannot do both atomically. */
static int name_take_free(const char *from, const char *to) {
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS && errno != EINTR) return errno;
    return is_there(to) ? EEXIST : file_rename(from, to);
}

static Status name_take(Replacement *new) {
    int error =
        new->keeps_old ? name_take_free(new->aside, new->path) : file_rename(new->aside, new->path);
    if (error == EEXIST && new->keeps_old) {
        return ERROR(STATUS_DATA, "%s: already exists; remove it first", new->path);
    }
    TRY(failure(new, error));
    free(new->aside);
    new->aside = NULL;
    return OK;
}

/* Gives the old file a second name, of the form of a leftover. Without hard links the old file
 * cannot be restored. */
static void old_keep(Replacement *new) {
    struct stat info;
    new->had_old = is_there(new->path);
    if (lstat(new->path, &info) != 0) return;
    new->backup = aside_name(new->path, info.st_ino);
    if (new->backup == NULL || link(new->path, new->backup) == 0) return;
    free(new->backup);
    new->backup = NULL;
}

/* After a failure: restores the old file if the new one has taken its name. */
static void old_restore(Replacement *new) {
    if (new->aside == NULL &&new->backup != NULL) file_rename(new->backup, new->path);
    if (new->aside == NULL && !new->had_old) file_remove(new->path);
}

static void old_forget(Replacement *new) {
    if (new->backup != NULL) file_remove(new->backup);
    free(new->backup);
    new->backup = NULL;
}

static Status names_take(Replacement *const *all, size_t n) {
    for (size_t i = 0; i < n; i++) TRY(name_take(all[i]));
    return OK;
}

static Status names_sync(Replacement *const *all, size_t n) {
    char directory[PATH_MAX];
    for (size_t i = 0; i < n; i++) {
        file_directory(all[i]->path, directory, sizeof directory);
        TRY(file_sync_directory(directory));
    }
    return OK;
}

Status replacement_commit_all(Replacement *const *all, size_t n) {
    for (size_t i = 0; i < n; i++) TRY(failure(all[i], file_sync(all[i]->fd)));
    for (size_t i = 0; i < n && n > 1; i++) old_keep(all[i]);
    Status status = names_take(all, n);
    for (size_t i = 0; i < n && n > 1; i++) {
        if (failed(status)) old_restore(all[i]);
        old_forget(all[i]);
    }
    return failed(status) ? status : names_sync(all, n);
}

Status replacement_commit(Replacement *replacement) {
    return replacement_commit_all(&replacement, 1);
}

void replacement_destroy(Replacement **replacement) {
    if (replacement == NULL || *replacement == NULL) return;
    file_drop(*replacement);
    free((*replacement)->path);
    free(*replacement);
    *replacement = NULL;
}

Status replacement_end(Replacement **replacement, Status status) {
    if (!failed(status)) status = replacement_commit(*replacement);
    replacement_destroy(replacement);
    return status;
}

Status replacement_set_aside(const char *path, char *to, size_t capacity) {
    char name[PATH_MAX];
    if (to != NULL) *to = '\0';
    if (!is_there(path)) return OK;
    for (int n = 1; n <= TRIES; n++) {
        if (snprintf(name, sizeof name, "%s.aside-%d", path, n) >= (int)sizeof name) break;
        int error = name_take_free(path, name);
        if (error == EEXIST) continue;
        if (error == 0 && to != NULL) snprintf(to, capacity, "%s", name);
        return error == 0 ? OK : file_cannot_write(name, error);
    }
    return ERROR(STATUS_FAILURE,
                 "%s: cannot be moved aside, because no free name was found; move it away", path);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static Status file_copy(int fd, const char *from, Replacement *new, void *buffer) {
    for (size_t at = 0, n = PIECE_BYTES; n == PIECE_BYTES; at += n) {
        TRY(file_read_at(fd, from, buffer, PIECE_BYTES, at, &n));
        TRY(replacement_write(new, buffer, n));
    }
    return OK;
}

Status replacement_copy(const char *from, const char *to) {
    Replacement *new = NULL;
    int fd;
    TRY(file_open_regular(from, &fd));
    if (fd < 0) return ERROR(STATUS_FAILURE, "%s: no such file", from);
    void *buffer = malloc(PIECE_BYTES);
    Status status = buffer == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "out of memory to copy %s", from)
                                   : replacement_begin(to, &new);
    if (!failed(status)) status = file_copy(fd, from, new, buffer);
    if (!failed(status)) status = replacement_set_aside(to, NULL, 0);
    if (new != NULL) status = replacement_end(&new, status);
    free(buffer);
    file_close(fd);
    return status;
}
