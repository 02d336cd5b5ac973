#include "checkpoints/writer.h"

#include "core/base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct CheckpointWriter {
    CheckpointImage *image;
    char *dir;
    int keep;
    pthread_t thread;
    bool is_working; /* the thread is not joined yet; until then it owns the fields below */
    int64_t step, best;
    StatusRecord outcome;
};

static void *touch_image(void *argument) {
    CheckpointWriter *writer = argument;
    checkpoint_image_touch(writer->image);
    return NULL;
}

static void *write_image(void *argument) {
    CheckpointWriter *writer = argument;
    CheckpointKeep keep = {writer->keep, writer->best};
    Status status = checkpoint_write(writer->image, writer->dir, writer->step, keep);
    status_keep(status, &writer->outcome);
    return NULL;
}

/* Starts the thread's work; checkpoint_writer_wait ends it. */
static Status begin(CheckpointWriter *writer, void *(*work)(void *)) {
    TRY(thread_start("the checkpoint thread", work, writer, &writer->thread));
    writer->is_working = true;
    return OK;
}

static Status writer_build(CheckpointWriter *writer, const char *dir, size_t image_bytes) {
    writer->dir = strdup(dir);
    if (writer->dir == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for the checkpoint writer");
    TRY(checkpoint_image_create(image_bytes, &writer->image));
    return begin(writer, touch_image);
}

Status checkpoint_writer_create(const char *dir, int keep, size_t image_bytes,
                                CheckpointWriter **out) {
    if (mkdir(dir, 0777) != 0 && errno != EEXIST)
        return ERROR(STATUS_FAILURE, "%s: %s", dir, strerror(errno));
    CheckpointWriter *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for the checkpoint writer");
    writer->keep = keep;
    Status status = writer_build(writer, dir, image_bytes);
    if (failed(status)) {
        checkpoint_writer_destroy(&writer);
        return status;
    }
    *out = writer;
    return OK;
}

Status checkpoint_writer_wait(CheckpointWriter *writer) {
    if (!writer->is_working) return OK;
    pthread_join(writer->thread, NULL);
    writer->is_working = false;
    return status_restore(&writer->outcome);
}

Status checkpoint_writer_save(CheckpointWriter *writer, const CheckpointContents *contents,
                              int64_t step, int64_t best) {
    TRY(checkpoint_writer_wait(writer));
    TRY(checkpoint_snapshot(writer->image, contents));
    writer->step = step;
    writer->best = best;
    return begin(writer, write_image);
}

void checkpoint_writer_destroy(CheckpointWriter **writer) {
    if (*writer == NULL) return;
    Status ignored = checkpoint_writer_wait(*writer);
    (void)ignored;
    checkpoint_image_destroy(&(*writer)->image);
    free((*writer)->dir);
    free(*writer);
    *writer = NULL;
}
