#include "checkpoints/writer.h"

#include "core/base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

struct CheckpointWriter {
    CheckpointImage *image;
    pthread_t thread;
    bool is_working; /* the thread is not joined yet; until then it owns the fields below */
    const char *dir;
    int64_t step;
    CheckpointKeep keep;
    StatusRecord outcome;
    atomic_bool is_done; /* its work */
};

static void *touch_image(void *argument) {
    CheckpointWriter *writer = argument;
    checkpoint_image_touch(writer->image);
    atomic_store(&writer->is_done, true);
    return NULL;
}

static void *write_image(void *argument) {
    CheckpointWriter *writer = argument;
    Status status = checkpoint_write(writer->image, writer->dir, writer->step, writer->keep);
    status_keep(status, &writer->outcome);
    atomic_store(&writer->is_done, true);
    return NULL;
}

/* Starts the thread's work; checkpoint_writer_wait ends it. */
static Status begin(CheckpointWriter *writer, void *(*work)(void *)) {
    atomic_store(&writer->is_done, false);
    TRY(thread_start("the checkpoint thread", work, writer, &writer->thread));
    writer->is_working = true;
    return OK;
}

static Status writer_build(CheckpointWriter *writer, size_t image_bytes) {
    TRY(checkpoint_image_create(image_bytes, &writer->image));
    return begin(writer, touch_image);
}

Status checkpoint_writer_create(size_t image_bytes, CheckpointWriter **out) {
    CheckpointWriter *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory for the checkpoint writer");
    Status status = writer_build(writer, image_bytes);
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
                              const char *dir, int64_t step, CheckpointKeep keep) {
    TRY(checkpoint_writer_wait(writer));
    TRY(checkpoint_snapshot(writer->image, contents));
    writer->step = step;
    writer->dir = dir;
    writer->keep = keep;
    return begin(writer, write_image);
}

bool checkpoint_writer_is_idle(const CheckpointWriter *writer) {
    return !writer->is_working || atomic_load(&writer->is_done);
}

void checkpoint_writer_destroy(CheckpointWriter **writer) {
    if (*writer == NULL) return;
    Status ignored = checkpoint_writer_wait(*writer);
    (void)ignored;
    checkpoint_image_destroy(&(*writer)->image);
    free(*writer);
    *writer = NULL;
}
