#include "checkpoints/writer.h"

#include "checkpoints/file_layout.h"
#include "core/base/thread.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { POLL_NANOSECONDS = 100000 };

struct CheckpointWriter {
    CheckpointImage *image, *manifest; /* manifest: NULL before the first that this rank writes */
    pthread_t thread;
    bool is_working; /* the thread is not joined yet; until then it owns the fields below */
    pthread_t toucher;
    bool is_touching;                   /* the toucher is not joined yet */
    const CheckpointContents *contents; /* what the thread begins the snapshot of */
    const char *dir;
    int64_t step;
    CheckpointKeep keep;
    ShardedSave save;
    int index; /* of the shard */
    bool commits, is_given_up;
    StatusRecord outcome;
    StatusRecord missed;   /* why the last snapshot in memory is not there */
    atomic_bool has_begun; /* the snapshot, or it has failed */
    atomic_bool is_done;   /* its work */
};

static void *touch_image(void *image) {
    checkpoint_image_touch(image);
    return NULL;
}

static void touch_end(CheckpointWriter *writer) {
    if (writer->is_touching) pthread_join(writer->toucher, NULL);
    writer->is_touching = false;
}

static void *copy_image(void *writer) {
    image_copy(((const CheckpointWriter *)writer)->image);
    return NULL;
}

/* Runs `write`, and a thread that copies ahead of it: training may wait for the copy, and must not
 * wait for the disk. */
static void work(CheckpointWriter *writer, Status (*write)(CheckpointWriter *writer)) {
    pthread_t copier;
    bool has_copier = !failed(thread_start("a copying thread", copy_image, writer, &copier));
    status_keep(write(writer), &writer->outcome);
    if (has_copier) pthread_join(copier, NULL);
    atomic_store(&writer->is_done, true);
}

/* Data that do not arrive are a failure, of a snapshot in memory too. */
static Status image_save(CheckpointWriter *w) {
    if (!w->keep.in_memory) return checkpoint_write(w->image, w->dir, w->step, w->keep);
    TRY(image_arrive(w->image));
    status_keep(checkpoint_write(w->image, w->dir, w->step, w->keep), &w->missed);
    return OK;
}

/* Of this thread, because training would wait 6 ms for HDF5, and longer for a first save that comes
 * before the image is touched. */
static Status snapshot_begin(CheckpointWriter *writer) {
    touch_end(writer);
    Status status = checkpoint_snapshot_begin(writer->image, writer->contents);
    atomic_store(&writer->has_begun, true);
    return status;
}

static Status shard_save(CheckpointWriter *w) {
    TRY(shards_write(&w->save, w->index, w->image, w->keep, &w->is_given_up));
    if (w->is_given_up || !w->commits) return OK;
    return shards_commit(&w->save, w->manifest, w->keep, &w->is_given_up);
}

static void *write_image(void *argument) {
    CheckpointWriter *writer = argument;
    Status status = snapshot_begin(writer);
    status_keep(status, &writer->outcome);
    if (failed(status))
        atomic_store(&writer->is_done, true);
    else
        work(writer, image_save);
    return NULL;
}

static void *write_shard(void *writer) {
    work(writer, shard_save);
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
    atomic_init(&writer->has_begun, true);
    TRY(thread_start("the checkpoint thread", touch_image, writer->image, &writer->toucher));
    writer->is_touching = true;
    return OK;
}

Status checkpoint_writer_create(size_t image_bytes, CheckpointWriter **out) {
    CheckpointWriter *writer = calloc(1, sizeof *writer);
    if (writer == NULL) return OUT_OF_MEMORY("the checkpoint writer");
    Status status = writer_build(writer, image_bytes);
    if (failed(status)) {
        checkpoint_writer_destroy(&writer);
        return status;
    }
    *out = writer;
    return OK;
}

/* Ends the previous save. */
static Status end(CheckpointWriter *writer) {
    if (!writer->is_working) return OK;
    pthread_join(writer->thread, NULL);
    writer->is_working = false;
    return status_restore(&writer->outcome);
}

Status checkpoint_writer_wait(CheckpointWriter *writer) {
    Status status = end(writer);
    touch_end(writer);
    return status;
}

Status checkpoint_writer_save(CheckpointWriter *writer, const CheckpointContents *contents,
                              const char *dir, int64_t step, CheckpointKeep keep) {
    TRY(end(writer));
    writer->contents = contents;
    writer->step = step;
    writer->dir = dir;
    writer->keep = keep;
    atomic_store(&writer->has_begun, false);
    Status status = begin(writer, write_image);
    if (failed(status)) atomic_store(&writer->has_begun, true);
    return status;
}

static Status manifest_snapshot(CheckpointWriter *writer, const ShardedSave *save,
                                const CheckpointContents *whole, Arena *arena) {
    CheckpointContents contents;
    if (writer->manifest == NULL) TRY(checkpoint_image_create(1, &writer->manifest));
    TRY(shards_manifest(save, whole, arena, &contents));
    return checkpoint_snapshot(writer->manifest, &contents);
}

Status checkpoint_writer_save_shard(CheckpointWriter *writer, ShardedSave *save, int index,
                                    const CheckpointContents *parts,
                                    const CheckpointContents *whole, CheckpointKeep keep) {
    Arena arena = {0};
    CheckpointContents contents;
    Status status = checkpoint_writer_wait(writer);
    if (!failed(status)) status = shards_contents(save, index, parts, &arena, &contents);
    if (!failed(status)) status = checkpoint_snapshot_begin(writer->image, &contents);
    if (!failed(status) && whole != NULL) status = manifest_snapshot(writer, save, whole, &arena);
    arena_free(&arena);
    writer->save = *save;
    writer->index = index;
    writer->commits = whole != NULL;
    writer->keep = keep;
    save->lock = 0;
    if (!failed(status)) status = begin(writer, write_shard);
    if (failed(status)) shards_give_up(&writer->save);
    return status;
}

void checkpoint_writer_copy_rest(const CheckpointWriter *writer) {
    while (!atomic_load(&writer->has_begun))
        nanosleep(&(struct timespec){.tv_nsec = POLL_NANOSECONDS}, NULL);
    if (!checkpoint_writer_is_idle(writer)) checkpoint_image_finish(writer->image);
}

bool checkpoint_writer_is_given_up(const CheckpointWriter *writer) { return writer->is_given_up; }

bool checkpoint_writer_is_idle(const CheckpointWriter *writer) {
    return !writer->is_working || atomic_load(&writer->is_done);
}

Status checkpoint_writer_missed(const CheckpointWriter *writer) {
    return checkpoint_writer_is_idle(writer) ? status_restore(&writer->missed) : OK;
}

void checkpoint_writer_destroy(CheckpointWriter **writer) {
    if (*writer == NULL) return;
    Status ignored = checkpoint_writer_wait(*writer);
    (void)ignored;
    checkpoint_image_destroy(&(*writer)->image);
    checkpoint_image_destroy(&(*writer)->manifest);
    free(*writer);
    *writer = NULL;
}
