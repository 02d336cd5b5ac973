#include "launch/run/run_directory.h"

#include "core/base/file.h"
#include "core/base/replacement.h"
#include "data/directory.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ATTEMPTS = 16 };

const DirectoryKind directory_of_a_run = {"run", "config.yaml", "`output`", STATUS_CONFIG},
                    directory_of_a_study = {"study", "study.yaml", "`name` or `output`",
                                            STATUS_CONFIG},
                    directory_of_a_conversion = {"run", "config.yaml", "TO", STATUS_USAGE};

static Status cannot_read(const char *path) {
    return ERROR(STATUS_FAILURE, "%s: cannot be read: %s; choose another one", path,
                 strerror(errno));
}

Status run_directory_has(const char *path, const char *name, bool *out) {
    char file[PATH_MAX];
    struct stat info;
    if (snprintf(file, sizeof file, "%s/%s", path, name) >= (int)sizeof file) {
        return ERROR(STATUS_CONFIG, "%s: the path is too long", path);
    }
    *out = lstat(file, &info) == 0;
    return *out || errno == ENOENT || errno == ENOTDIR ? OK : cannot_read(file);
}

/* The leftovers of a start that failed at its lock or did not fit in memory. */
static bool is_of_a_start(const char *name) {
    static const char *const names[] = {"run.lock", "summary.json", NULL};
    for (const char *const *known = names; *known != NULL; known++) {
        if (strcmp(name, *known) == 0) return true;
    }
    return false;
}

static bool other_look(void *others, const char *name) {
    *(bool *)others = !is_of_a_start(name);
    return !*(bool *)others;
}

static Status holds_others(const char *path, bool *out) {
    *out = false;
    return file_list(path, other_look, out);
}

typedef struct Contents {
    bool others, first, summary, lock;
} Contents;

/* Checks the lock last: a process creates it before any other file. */
static Status survey(const RunDirectory *d, Contents *out) {
    TRY(holds_others(d->path, &out->others));
    TRY(run_directory_has(d->path, d->kind->first, &out->first));
    TRY(run_directory_has(d->path, "summary.json", &out->summary));
    return run_directory_has(d->path, "run.lock", &out->lock);
}

static Status foreign(const RunDirectory *d) {
    return ERROR(d->kind->wrong, "%s: holds files but no %s; choose another %s", d->path,
                 d->kind->noun, d->kind->chosen_by);
}

static Status entry_check_writable(const char *path, int mode) {
    if (euidaccess(path, mode) == 0 || (errno != EACCES && errno != EROFS)) return OK;
    return ERROR(STATUS_FAILURE,
                 "%s: cannot be written: %s; change its permissions or mount, or choose another "
                 "`output`",
                 path, strerror(errno));
}

Status run_directory_check_writable(const char *path) {
    static const char *const entries[] = {"run.lock", "metrics.jsonl", "checkpoints", NULL};
    char entry[PATH_MAX];
    struct stat info;
    if (strlen(path) + 2 > sizeof entry) return OK; /* too long for a run, too */
    snprintf(entry, sizeof entry, "%s", path);
    while (access(entry, F_OK) != 0 && errno == ENOENT && strcmp(entry, ".") != 0) {
        const char *parent = dirname(entry);
        memmove(entry, parent, strlen(parent) + 1);
    }
    if (stat(entry, &info) == 0 && !S_ISDIR(info.st_mode)) return OK; /* no directory to take */
    TRY(entry_check_writable(entry, W_OK | X_OK));
    for (const char *const *name = entries; *name != NULL; name++) {
        if (snprintf(entry, sizeof entry, "%s/%s", path, *name) >= (int)sizeof entry) return OK;
        TRY(entry_check_writable(entry, W_OK));
    }
    return OK;
}

/* Creates nothing, not even a lock, in a directory with other content. */
static Status check_before(const RunDirectory *d) {
    Contents contents;
    struct stat info;
    if (stat(d->path, &info) == 0 && !S_ISDIR(info.st_mode)) {
        return ERROR(d->kind->wrong, "%s: is a file; choose another %s", d->path,
                     d->kind->chosen_by);
    }
    TRY(survey(d, &contents));
    bool is_ours = contents.first || contents.lock || !(contents.others || contents.summary);
    return is_ours ? OK : foreign(d);
}

/* Removes the leftovers of a start that was killed while it wrote its first file. */
static void forget_beginning(const RunDirectory *d) { replacement_clean(d->path, d->kind->first); }

static Status check_locked(const RunDirectory *d, bool resumes) {
    Contents contents;
    TRY(survey(d, &contents));
    if (contents.first && !resumes) {
        return ERROR(
            d->kind->wrong,
            "%s: holds a %s, and --resume=none would overwrite it; remove it or choose another %s",
            d->path, d->kind->noun, d->kind->chosen_by);
    }
    return contents.first || !contents.others ? OK : foreign(d);
}

/* `.` and `..` name no new directory: they would be an existing one under another name. */
static Status path_check(const char *path, const DirectoryKind *kind) {
    bool is_inside = false; /* after a name */
    for (const char *part = path; *part != '\0'; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        bool is_up = length == 2 && memcmp(part, "..", 2) == 0,
             is_here = length == 1 && *part == '.';
        bool is_last = part[length + strspn(part + length, "/")] == '\0';
        if ((is_up && is_inside) || (is_last && (is_up || is_here))) {
            return ERROR(kind->wrong,
                         "%s: '%.*s' is no name for a directory; choose another %s without it",
                         path, (int)length, part, kind->chosen_by);
        }
        is_inside |= length > 0 && !is_up && !is_here;
        part += length;
    }
    return OK;
}

/* Another start that fails removes the directory that it created, maybe before the lock is here. */
static Status create_and_lock(RunDirectory *d) {
    Status status;
    int attempts = 0;
    do {
        if (failed(directory_create(d->path, &d->made)))
            return ERROR(STATUS_FAILURE, "%s; choose another %s", status_message(),
                         d->kind->chosen_by);
        status = run_lock_take(d->path, &d->lock);
    } while (failed(status) && access(d->path, F_OK) != 0 && ++attempts < ATTEMPTS);
    return status;
}

static Status take(RunDirectory *d, bool resumes) {
    TRY(path_check(d->path, d->kind));
    TRY(check_before(d));
    TRY(create_and_lock(d));
    forget_beginning(d);
    return check_locked(d, resumes);
}

Status run_directory_take(const char *path, const DirectoryKind *kind, bool resumes,
                          RunDirectory *out) {
    *out = (RunDirectory){.path = path, .kind = kind};
    Status status = take(out, resumes);
    if (failed(status)) run_directory_release(out);
    return status;
}

/* Removes the lock that this process created, if the directory contains nothing else. */
static void forget(const RunDirectory *d) {
    char path[PATH_MAX];
    Contents contents;
    if (d->lock == NULL || !run_lock_is_new(d->lock) || failed(survey(d, &contents))) return;
    if (contents.first || contents.summary) return;
    snprintf(path, sizeof path, "%s/run.lock", d->path);
    unlink(path);
}

void run_directory_release(RunDirectory *directory) {
    if (directory->path == NULL) return;
    forget(directory);
    run_lock_release(&directory->lock);
    directory_undo(directory->path, directory->made);
    *directory = (RunDirectory){0};
}
