/* The writer: saves in the background, also of tensors whose data are still on their way. */
#include "checkpoints/writer.h"
#include "core/base/thread.h"
#include "tests/checkpoints/sample.h"
#include "tests/harness.h"

#include <dlfcn.h>
#include <hdf5.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static Arena arena;

static const char *path_of(const char *dir, int64_t step) {
    char name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(step, name);
    return arena_printf(&arena, "%s/%s", dir, name);
}

static void saves_in_the_background(void) {
    const char *dir = arena_printf(&arena, "%s/checkpoints", harness_directory()), *warnings;
    static Sample sample;
    CheckpointWriter *writer = NULL;
    CheckpointFile *file = NULL;
    size_t bytes = 0;
    sample_fill(&sample, 0);
    REQUIRE_OK(checkpoint_image_bytes(&sample.contents, &bytes));
    REQUIRE_OK(checkpoint_writer_create(bytes, &writer));
    const CheckpointKeep keep = {2, -1, false};
    CHECK(mkdir(dir, 0777) == 0);
    for (int64_t step = 1; step <= 20; step++) {
        sample_fill(&sample, step);
        REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dir, step, keep));
        checkpoint_writer_copy_rest(writer);
        sample_fill(&sample, -7); /* training continues while it is written */
    }
    REQUIRE_OK(checkpoint_writer_wait(writer));
    CHECK(checkpoint_writer_is_idle(writer));
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(checkpoint_step(file) == 20 && files_count(dir, "step_") == 2);
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);

    /* The directory is gone: the next save fails, and so does wait, once. */
    CHECK(rename(dir, arena_printf(&arena, "%s.away", dir)) == 0);
    REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dir, 21, keep));
    CHECK_ERROR(checkpoint_writer_save(writer, &sample.contents, dir, 22, keep), STATUS_FAILURE,
                "No such file or directory");
    REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dir, 22, keep));
    CHECK_ERROR(checkpoint_writer_wait(writer), STATUS_FAILURE, "step_00000022.h5: cannot write");
    CHECK_OK(checkpoint_writer_wait(writer));
    checkpoint_writer_destroy(&writer);
}

/* The tensors are copied while they are written; what is left is copied before they change. */
static void a_begun_snapshot_has_the_state_of_its_beginning(void) {
    enum { MILLIONS = 5 };
    const char *dir = harness_directory();
    size_t count = (size_t)MILLIONS << 20;
    float *data = malloc(count * sizeof *data), *back = malloc(count * sizeof *back);
    const CheckpointTensor tensor = {"wte", DTYPE_F32, 1, {(int64_t)count}, data};
    const CheckpointContents contents = {.tensors = &tensor, .n_tensors = 1};
    CheckpointWriter *writer = NULL;
    CheckpointFile *file = NULL;
    REQUIRE_OK(checkpoint_writer_create(1, &writer));
    for (int64_t step = 1; step <= 3; step++) {
        for (size_t i = 0; i < count; i++) data[i] = (float)step + (float)i;
        REQUIRE_OK(
            checkpoint_writer_save(writer, &contents, dir, step, (CheckpointKeep){1, -1, false}));
        checkpoint_writer_copy_rest(writer);
        memset(data, 0, count * sizeof *data);
        REQUIRE_OK(checkpoint_writer_wait(writer));
        REQUIRE_OK(checkpoint_open(path_of(dir, step), &file));
        CHECK_OK(checkpoint_read_tensor(file, &tensor, back));
        bool same = true;
        for (size_t i = 0; i < count; i++) same = same && back[i] == (float)step + (float)i;
        CHECK(same);
        checkpoint_close(&file);
    }
    checkpoint_writer_destroy(&writer);
    free(data);
    free(back);
}

/* The memory is touched, to zero, in the background: a save that comes at once waits for that. */
static void a_first_save_comes_while_the_memory_is_touched(void) {
    enum { COUNT_EACH = 16 << 20 };
    const char *dir = harness_directory();
    float *data = malloc(COUNT_EACH * sizeof *data), *back = malloc(COUNT_EACH * sizeof *back);
    const CheckpointTensor tensor = {"wte", DTYPE_F32, 1, {COUNT_EACH}, data};
    const CheckpointContents contents = {.tensors = &tensor, .n_tensors = 1};
    CheckpointWriter *writer = NULL;
    CheckpointFile *file = NULL;
    size_t bytes = 0;
    for (int i = 0; i < COUNT_EACH; i++) data[i] = (float)(i + 1);
    REQUIRE_OK(checkpoint_image_bytes(&contents, &bytes));
    REQUIRE_OK(checkpoint_writer_create(bytes, &writer));
    REQUIRE_OK(checkpoint_writer_save(writer, &contents, dir, 1, (CheckpointKeep){1, -1, false}));
    checkpoint_writer_copy_rest(writer);
    REQUIRE_OK(checkpoint_writer_wait(writer));
    REQUIRE_OK(checkpoint_open(path_of(dir, 1), &file));
    CHECK_OK(checkpoint_read_tensor(file, &tensor, back));
    CHECK(memcmp(data, back, COUNT_EACH * sizeof *data) == 0);
    checkpoint_close(&file);
    checkpoint_writer_destroy(&writer);
    free(data);
    free(back);
}

/* Data that arrive, or fail to, when the test says so. */
typedef struct Arrival {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over, fails;
    Sample *sample; /* filled with step 1 before it is over */
} Arrival;

static Status arrive(void *self) {
    Arrival *arrival = self;
    pthread_mutex_lock(&arrival->lock);
    while (!arrival->is_over) pthread_cond_wait(&arrival->changed, &arrival->lock);
    pthread_mutex_unlock(&arrival->lock);
    return arrival->fails ? ERROR(STATUS_FAILURE, "the copy broke") : OK;
}

static void end(Arrival *arrival) {
    pthread_mutex_lock(&arrival->lock);
    if (!arrival->fails) sample_fill(arrival->sample, 1);
    arrival->is_over = true;
    pthread_cond_broadcast(&arrival->changed);
    pthread_mutex_unlock(&arrival->lock);
}

static void *end_late(void *arrival) {
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    end(arrival);
    return NULL;
}

/* Contents of step 1 whose tensors have other data until they arrive. */
static void arrival_begin(Arrival *arrival, Sample *sample) {
    *arrival = (Arrival){
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .sample = sample};
    sample_fill(sample, 1);
    memset(sample->weights, 0, sizeof sample->weights);
    memset(sample->moments, 0, sizeof sample->moments);
    sample->contents.arrive = arrive;
    sample->contents.self = arrival;
}

/* The save begins without them; what copies the rest waits for them. */
static void waits_for_data_that_arrive_later(void) {
    static Sample sample;
    static Arrival arrival;
    const char *dir = harness_directory();
    const CheckpointKeep keep = {1, -1, false};
    CheckpointWriter *writer = NULL;
    CheckpointFile *file = NULL;
    REQUIRE_OK(checkpoint_writer_create(1 << 16, &writer));
    for (int copies_rest = 0; copies_rest < 2; copies_rest++) {
        pthread_t thread;
        arrival_begin(&arrival, &sample);
        REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dir, 1, keep));
        CHECK(!checkpoint_writer_is_idle(writer));
        REQUIRE_OK(thread_start("a test", end_late, &arrival, &thread));
        if (copies_rest) {
            checkpoint_writer_copy_rest(writer);
            sample_fill(&sample, -7);
        }
        CHECK_OK(checkpoint_writer_wait(writer));
        pthread_join(thread, NULL);
        REQUIRE_OK(checkpoint_open(path_of(dir, 1), &file));
        CHECK_OK(sample_check(file));
        checkpoint_close(&file);
    }
    checkpoint_writer_destroy(&writer);
}

/* It is a failed save like others: the older checkpoint stays, and the next save is good. */
static void what_does_not_arrive_is_not_saved(void) {
    static Sample sample;
    static Arrival arrival;
    const char *dir = harness_directory(), *warnings;
    const CheckpointKeep keep = {1, -1, false};
    CheckpointWriter *writer = NULL;
    CheckpointFile *file = NULL;
    REQUIRE_OK(sample_write(dir, 1, 1));
    REQUIRE_OK(checkpoint_writer_create(1 << 16, &writer));
    arrival_begin(&arrival, &sample);
    arrival.fails = true;
    REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dir, 2, keep));
    end(&arrival);
    checkpoint_writer_copy_rest(writer);
    CHECK_ERROR(checkpoint_writer_wait(writer), STATUS_FAILURE,
                "step_00000002.h5: not saved, older checkpoints are kept: the copy broke");
    CHECK_ERROR(checkpoint_save(&sample.contents, dir, 3, keep), STATUS_FAILURE, "the copy broke");
    CHECK(files_count(dir, "") == 1);
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(checkpoint_step(file) == 1);
    checkpoint_close(&file);
    sample_fill(&sample, 4);
    CHECK_OK(checkpoint_writer_save(writer, &sample.contents, dir, 4, keep));
    CHECK_OK(checkpoint_writer_wait(writer));
    CHECK(files_count(dir, "step_00000004.h5") == 1);
    checkpoint_writer_destroy(&writer);
}

static void a_snapshot_in_memory_may_be_missed(void) {
    static Sample sample;
    const char *dir = harness_directory(), *dirs[] = {path_of(dir, 9), dir}; /* none, and one */
    CheckpointWriter *writer = NULL;
    REQUIRE_OK(checkpoint_writer_create(1 << 16, &writer));
    sample_fill(&sample, 1);
    for (int i = 0; i < 2; i++) {
        const CheckpointKeep keep = {1, -1, true};
        REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dirs[i], 1, keep));
        CHECK_OK(checkpoint_writer_wait(writer));
        CHECK(failed(checkpoint_writer_missed(writer)) == (i == 0));
    }
    checkpoint_writer_destroy(&writer);
}

/* The rank that has its data learns that the other one gave up. */
static void a_shard_that_does_not_arrive_ends_the_save_on_all_ranks(void) {
    static Sample sample;
    static Arrival arrival;
    const char *dir = harness_directory();
    ShardedSave save = {.dir = dir, .step = 2, .shards = 2};
    CheckpointWriter *writers[2] = {NULL, NULL};
    REQUIRE_OK(sample_write_shards(dir, 1, 1));
    arrival_begin(&arrival, &sample);
    arrival.fails = true;
    REQUIRE_OK(shards_begin(&save));
    for (int i = 0; i < 2; i++) {
        CheckpointTensor tensors[4];
        CheckpointContents parts = {.tensors = tensors,
                                    .n_tensors = sample_parts(&sample, i, 2, tensors),
                                    .arrive = i == 0 ? NULL : arrive,
                                    .self = &arrival};
        REQUIRE_OK(checkpoint_writer_create(1 << 16, &writers[i]));
        REQUIRE_OK(checkpoint_writer_save_shard(writers[i], &save, i, &parts,
                                                i == 0 ? &sample.contents : NULL,
                                                (CheckpointKeep){1, -1, false}));
        checkpoint_writer_copy_rest(writers[i == 0 ? i : 0]);
    }
    end(&arrival);
    CHECK_ERROR(checkpoint_writer_wait(writers[1]), STATUS_FAILURE, "the copy broke");
    CHECK_OK(checkpoint_writer_wait(writers[0]));
    CHECK(checkpoint_writer_is_given_up(writers[0]));
    CHECK(files_count(dir, "") == 1 && files_count(dir, "step_00000001") == 1);
    for (int i = 0; i < 2; i++) checkpoint_writer_destroy(&writers[i]);
}

/* Whether threads can be started: a stack beyond all memory lets none start. */
static void threads_allow(bool allows) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, allows ? (size_t)8 << 20 : (size_t)1 << 60);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

/* In place of HDF5's own: count the threads between them, and are slow enough to meet. */
static atomic_int inside, most_inside, begun;
static atomic_bool is_last_thread; /* whoever calls H5Fcreate */

hid_t H5Fcreate(const char *name, unsigned flags, hid_t creation, hid_t access) {
    hid_t (*create)(const char *, unsigned, hid_t, hid_t);
    *(void **)&create = dlsym(RTLD_NEXT, "H5Fcreate");
    int now = atomic_fetch_add(&inside, 1) + 1;
    if (now > atomic_load(&most_inside)) atomic_store(&most_inside, now);
    atomic_fetch_add(&begun, 1);
    if (atomic_load(&is_last_thread)) threads_allow(false);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    return create(name, flags, creation, access);
}

herr_t H5Fclose(hid_t file) {
    herr_t (*close)(hid_t);
    *(void **)&close = dlsym(RTLD_NEXT, "H5Fclose");
    herr_t result = close(file);
    atomic_fetch_sub(&inside, 1);
    return result;
}

/* A run that ends right after a snapshot in memory begins its last one, of shards, beside it. HDF5
 * need not be built for several threads. */
static void one_thread_at_a_time_uses_hdf5(void) {
    static Sample sample;
    const char *dir = harness_directory();
    const char *memory = arena_printf(&arena, "%s/memory", dir);
    const CheckpointKeep keep = {1, -1, false};
    CheckpointWriter *writers[2] = {NULL, NULL};
    CHECK(mkdir(memory, 0777) == 0);
    for (int i = 0; i < 2; i++) REQUIRE_OK(checkpoint_writer_create(1 << 16, &writers[i]));
    atomic_store(&most_inside, 0);
    atomic_store(&begun, 0);
    for (int64_t step = 1; step <= 5; step++) {
        CheckpointTensor tensors[4];
        ShardedSave save = {.dir = dir, .step = step, .shards = 1};
        sample_fill(&sample, step);
        CheckpointContents parts = {.tensors = tensors,
                                    .n_tensors = sample_parts(&sample, 0, 1, tensors)};
        REQUIRE_OK(checkpoint_writer_save(writers[0], &sample.contents, memory, step, keep));
        REQUIRE_OK(shards_begin(&save));
        REQUIRE_OK(
            checkpoint_writer_save_shard(writers[1], &save, 0, &parts, &sample.contents, keep));
        for (int i = 0; i < 2; i++) REQUIRE_OK(checkpoint_writer_wait(writers[i]));
    }
    CHECK(atomic_load(&begun) == 15); /* the file, the shard and its manifest */
    CHECK(atomic_load(&most_inside) == 1);
    for (int i = 0; i < 2; i++) checkpoint_writer_destroy(&writers[i]);
}

static void saves_again(CheckpointWriter *writer, Sample *sample, const char *dir, int64_t step) {
    CheckpointFile *file = NULL;
    sample_fill(sample, step);
    REQUIRE_OK(checkpoint_writer_save(writer, &sample->contents, dir, step,
                                      (CheckpointKeep){1, -1, false}));
    checkpoint_writer_copy_rest(writer);
    REQUIRE_OK(checkpoint_writer_wait(writer));
    REQUIRE_OK(checkpoint_open(path_of(dir, step), &file));
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);
}

/* A snapshot that fails is a failed save; nothing waits for it for ever. */
static void a_snapshot_that_fails_is_a_failed_save(void) {
    static Sample sample;
    const char *dir = harness_directory();
    CheckpointWriter *writer = NULL;
    REQUIRE_OK(checkpoint_writer_create(1 << 16, &writer));
    for (int64_t step = 1; step <= 3; step++) {
        sample_fill(&sample, step);
        sample.tensors[1].name = sample.tensors[0].name;
        REQUIRE_OK(checkpoint_writer_save(writer, &sample.contents, dir, step,
                                          (CheckpointKeep){1, -1, false}));
        checkpoint_writer_copy_rest(writer);
        CHECK_ERROR(checkpoint_writer_wait(writer), STATUS_FAILURE, "cannot store 'wte'");
        CHECK(checkpoint_writer_is_idle(writer) && files_count(dir, "") == 0);
    }
    saves_again(writer, &sample, dir, 4);
    checkpoint_writer_destroy(&writer);
}

/* The save fails at once, that of a shard for all ranks, and leaves nothing; without a copier it is
 * only slower. */
static void threads_that_do_not_start(void) {
    static Sample sample;
    const char *dir = harness_directory();
    const CheckpointKeep keep = {1, -1, false};
    CheckpointWriter *writer = NULL, *none = NULL;
    CheckpointTensor tensors[4];
    ShardedSave save = {.dir = dir, .step = 2, .shards = 1};
    sample_fill(&sample, 1);
    CheckpointContents parts = {.tensors = tensors,
                                .n_tensors = sample_parts(&sample, 0, 1, tensors)};
    REQUIRE_OK(checkpoint_writer_create(1 << 16, &writer));
    threads_allow(false);
    CHECK_ERROR(checkpoint_writer_create(1 << 16, &none), STATUS_FAILURE, "cannot start");
    CHECK(none == NULL);
    CHECK_ERROR(checkpoint_writer_save(writer, &sample.contents, dir, 1, keep), STATUS_FAILURE,
                "cannot start the checkpoint thread");
    checkpoint_writer_copy_rest(writer);
    CHECK(checkpoint_writer_is_idle(writer));
    CHECK_OK(checkpoint_writer_wait(writer));
    REQUIRE_OK(shards_begin(&save));
    CHECK_ERROR(checkpoint_writer_save_shard(writer, &save, 0, &parts, &sample.contents, keep),
                STATUS_FAILURE, "cannot start the checkpoint thread");
    CHECK_OK(checkpoint_writer_wait(writer));
    CHECK(files_count(dir, "") == 0);
    threads_allow(true);
    saves_again(writer, &sample, dir, 3);
    atomic_store(&is_last_thread, true);
    saves_again(writer, &sample, dir, 4);
    atomic_store(&is_last_thread, false);
    threads_allow(true);
    checkpoint_writer_destroy(&writer);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(saves_in_the_background),
        TEST(a_begun_snapshot_has_the_state_of_its_beginning),
        TEST(a_first_save_comes_while_the_memory_is_touched),
        TEST(waits_for_data_that_arrive_later),
        TEST(what_does_not_arrive_is_not_saved),
        TEST(a_snapshot_in_memory_may_be_missed),
        TEST(a_shard_that_does_not_arrive_ends_the_save_on_all_ranks),
        TEST(one_thread_at_a_time_uses_hdf5),
        TEST(a_snapshot_that_fails_is_a_failed_save),
        TEST(threads_that_do_not_start),
    };
    int code = harness_run(argc, argv, "the writer of checkpoints", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
