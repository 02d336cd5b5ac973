#include "launch/watch/follower.h"

#include "core/base/file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20 };

static Status record_append(Follower *f, const RunRecord *record) {
    if (f->records.count == f->capacity) {
        size_t capacity = 2 * f->capacity + 256;
        RunRecord *items = realloc(f->records.items, capacity * sizeof *items);
        if (items == NULL) return OUT_OF_MEMORY("a run's metrics");
        f->records.items = items;
        f->capacity = capacity;
    }
    f->records.items[f->records.count++] = *record;
    return OK;
}

/* Takes the complete lines; *taken: their bytes. */
static Status lines_take(Follower *f, const char *text, size_t bytes, size_t *taken) {
    const char *line = text, *end;
    while ((end = memchr(line, '\n', bytes - (size_t)(line - text))) != NULL) {
        RunRecord record;
        if (run_record_parse(line, (size_t)(end - line), NULL, &record))
            TRY(record_append(f, &record));
        line = end + 1;
    }
    *taken = (size_t)(line - text);
    return OK;
}

static Status chunks_take(Follower *f, int fd, const char *path, char *chunk) {
    size_t got, taken;
    do {
        TRY(file_read_at(fd, path, chunk, CHUNK_BYTES, f->offset, &got));
        TRY(lines_take(f, chunk, got, &taken));
        if (taken == 0 && got == CHUNK_BYTES) taken = got; /* no line of a run is that long */
        f->offset += taken;
    } while (got == CHUNK_BYTES);
    return OK;
}

static void restart(Follower *f, ino_t inode) {
    f->records.count = f->offset = 0;
    f->inode = inode;
}

Status follower_read(Follower *f, const char *directory) {
    char path[PATH_MAX];
    struct stat info;
    int fd;
    snprintf(path, sizeof path, "%s/metrics.jsonl", directory);
    TRY(file_open_regular(path, &fd));
    if (fd < 0 || fstat(fd, &info) != 0) {
        file_close(fd);
        restart(f, 0);
        return OK;
    }
    if (info.st_ino != f->inode || (size_t)info.st_size < f->offset) restart(f, info.st_ino);
    char *chunk = malloc(CHUNK_BYTES);
    Status status = chunk == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "out of memory to read %s", path)
                                  : chunks_take(f, fd, path, chunk);
    free(chunk);
    file_close(fd);
    return status;
}

void follower_free(Follower *f) {
    free(f->records.items);
    *f = (Follower){.offset = 0};
}
