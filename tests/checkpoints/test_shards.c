/* Checkpoints of shards: what is written, kept, found damaged, and made one file. */
#include "checkpoints/file_layout.h"
#include "checkpoints/writer.h"
#include "core/base/file.h"
#include "core/base/replacement.h"
#include "tests/checkpoints/sample.h"
#include "tests/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static Arena arena;

static const char *shard_path(const char *dir, int64_t step, const char *name) {
    return arena_printf(&arena, "%s/step_%08lld/%s", dir, (long long)step, name);
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

static bool is_same_file(const char *a, const char *b) {
    char *one = NULL, *two = NULL;
    size_t n = 0, m = 1;
    bool same = !failed(file_read_all(a, 1 << 20, &one, &n)) &&
                !failed(file_read_all(b, 1 << 20, &two, &m)) && one != NULL && two != NULL &&
                n == m && memcmp(one, two, n) == 0;
    free(one);
    free(two);
    return same;
}

/* More shards than a tensor has elements: some have none of it. */
static void any_number_of_shards_is_one_checkpoint(void) {
    const char *dir = harness_directory();
    const int counts[] = {1, 2, 3, 7};
    for (size_t i = 0; i < COUNT(counts); i++) {
        CheckpointFile *file = NULL;
        CheckpointTensor info;
        const char **names = NULL, *warnings = NULL;
        int64_t n = 0, step = (int64_t)i + 1;
        REQUIRE_OK(sample_keep_shards(dir, step, counts[i], (CheckpointKeep){9, -1, false}));
        REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
        CHECK(checkpoint_step(file) == step && warnings[0] == '\0');
        CHECK_OK(sample_check(file));
        CHECK_OK(checkpoint_tensor_names(file, &arena, &names, &n));
        CHECK(n == 4 && strcmp(names[0], "data.cursor") == 0);
        CHECK_OK(checkpoint_tensor_info(file, "wte.m", &info));
        CHECK(info.dtype == DTYPE_F64 && info.n_dims == 2 && info.shape[0] == 3);
        CHECK(checkpoint_has_tensor(file, "scalar"));
        checkpoint_close(&file);
        CHECK(!exists(shard_path(dir, step, arena_printf(&arena, "shard_%05d.h5", counts[i]))));
        CHECK(exists(shard_path(dir, step, arena_printf(&arena, "shard_%05d.h5", counts[i] - 1))));
    }
}

static void merged_it_has_the_bytes_of_the_single_file(void) {
    const char *dir = harness_directory(), *to = arena_printf(&arena, "%s/merged.h5", dir);
    CheckpointFile *file = NULL;
    REQUIRE_OK(sample_write(dir, 5, 2));
    REQUIRE_OK(checkpoint_open(arena_printf(&arena, "%s/step_00000005.h5", dir), &file));
    CHECK_ERROR(shards_merge(file, to), STATUS_DATA, "is a single file already");
    checkpoint_close(&file);
    const char *single = arena_printf(&arena, "%s/single.h5", dir);
    CHECK(rename(arena_printf(&arena, "%s/step_00000005.h5", dir), single) == 0);
    REQUIRE_OK(sample_write_shards(dir, 5, 2));
    REQUIRE_OK(checkpoint_open(shard_path(dir, 5, ""), &file));
    REQUIRE_OK(shards_merge(file, to));
    CHECK(is_same_file(single, to));
    CHECK_ERROR(shards_merge(file, to), STATUS_DATA, "already exists");
    checkpoint_close(&file);
}

/* Opens the directory of step 2 and the newest good checkpoint, which is that of step 1. */
static void is_refused(const char *dir, const char *part) {
    CheckpointFile *file = NULL;
    const char *warnings = NULL;
    CHECK_ERROR(checkpoint_open(shard_path(dir, 2, ""), &file), STATUS_DATA, part);
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(file != NULL && checkpoint_step(file) == 1 && strstr(warnings, part) != NULL);
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);
}

static void a_bad_shard_is_named_and_the_older_checkpoint_used(void) {
    const char *dir = harness_directory(), *aside = arena_printf(&arena, "%s/aside", dir);
    const char *shard = shard_path(dir, 2, "shard_00001.h5"),
               *manifest = shard_path(dir, 2, "manifest.h5");
    REQUIRE_OK(sample_write_shards(dir, 1, 9));
    REQUIRE_OK(sample_write_shards(dir, 2, 9));
    CHECK(rename(shard, aside) == 0);
    is_refused(dir, "shard_00001.h5: is missing, one of 3 shards; restore it, or use an older");
    CHECK(link(shard_path(dir, 1, "shard_00001.h5"), shard) == 0);
    is_refused(dir, "shard_00001.h5: belongs to another save than manifest.h5");
    CHECK(unlink(shard) == 0 && link(shard_path(dir, 2, "shard_00000.h5"), shard) == 0);
    is_refused(dir, "shard_00001.h5: belongs to another save than manifest.h5");
    CHECK(unlink(shard) == 0 && rename(aside, shard) == 0);
    CHECK(truncate(shard, 900) == 0);
    is_refused(dir, "shard_00001.h5: not a checkpoint, or truncated");
    CHECK(rename(manifest, aside) == 0);
    is_refused(dir, "manifest.h5: is missing");
}

/* Equal tensors, but of another save of the same step. */
static void shards_of_two_saves_of_a_step_do_not_mix(void) {
    const char *dir = harness_directory(), *other = harness_directory();
    CheckpointFile *file = NULL;
    REQUIRE_OK(sample_write_shards(dir, 1, 9));
    REQUIRE_OK(sample_write_shards(other, 1, 9));
    const char *shard = shard_path(dir, 1, "shard_00002.h5");
    CHECK(unlink(shard) == 0 && link(shard_path(other, 1, "shard_00002.h5"), shard) == 0);
    CHECK_ERROR(checkpoint_open(shard_path(dir, 1, ""), &file), STATUS_DATA,
                "belongs to another save");
}

static void directories_are_kept_and_removed_like_files(void) {
    const char *dir = harness_directory();
    int64_t n = 0;
    for (int64_t step = 1; step <= 5; step++)
        REQUIRE_OK(sample_keep_shards(dir, step, 2, (CheckpointKeep){2, 2, false}));
    CHECK(!exists(shard_path(dir, 1, "")) && exists(shard_path(dir, 2, "")) &&
          !exists(shard_path(dir, 3, "")) && exists(shard_path(dir, 4, "")));
    CHECK(checkpoint_is_sharded(arena_printf(&arena, "%s/best.h5", dir)));
    CHECK(fclose(fopen(shard_path(dir, 4, "mine.txt"), "w")) == 0);
    REQUIRE_OK(sample_write(dir, 6, 1)); /* a single file */
    CHECK(exists(shard_path(dir, 4, "mine.txt")) && exists(shard_path(dir, 4, "manifest.h5")));
    CHECK(!exists(shard_path(dir, 5, "")) && !exists(shard_path(dir, 2, "")));
    REQUIRE_OK(sample_keep_shards(dir, 6, 2, (CheckpointKeep){1, -1, false}));
    CHECK(!exists(arena_printf(&arena, "%s/step_00000006.h5", dir)));
    REQUIRE_OK(checkpoints_set_aside(dir, 5, &n));
    CHECK(n == 1 && exists(arena_printf(&arena, "%s/step_00000006.aside-1/manifest.h5", dir)));
    CHECK(files_count(dir, ".hourglass") == 0);
}

/* At the end of a run a step is saved twice, the second time with its evaluation. */
static void a_step_is_saved_again_in_place(void) {
    const char *dir = harness_directory(), *warnings = NULL;
    CheckpointFile *file = NULL;
    for (int shards = 3; shards > 0; shards--) {
        REQUIRE_OK(sample_keep_shards(dir, 1, shards, (CheckpointKeep){1, -1, false}));
        REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
        CHECK_OK(sample_check(file));
        checkpoint_close(&file);
        CHECK(!exists(shard_path(dir, 1, arena_printf(&arena, "shard_%05d.h5", shards))));
    }
    CHECK(files_count(dir, "step_") == 1 && files_count(dir, ".hourglass") == 0);
}

/* The rank that begins the save waits for the other. */
static void writers_meet_in_the_directory(void) {
    static Sample sample;
    const char *dir = harness_directory(), *warnings = NULL;
    CheckpointWriter *writers[2] = {NULL, NULL};
    CheckpointFile *file = NULL;
    CheckpointKeep keep = {1, -1, false};
    for (int i = 0; i < 2; i++) REQUIRE_OK(checkpoint_writer_create(1 << 16, &writers[i]));
    for (int64_t step = 1; step <= 3; step++) {
        ShardedSave save = {.dir = dir, .step = step, .shards = 2};
        CheckpointTensor tensors[2][4];
        sample_fill(&sample, step);
        REQUIRE_OK(shards_begin(&save));
        for (int i = 0; i < 2; i++) {
            CheckpointContents parts = {.tensors = tensors[i],
                                        .n_tensors = sample_parts(&sample, i, 2, tensors[i])};
            REQUIRE_OK(checkpoint_writer_save_shard(writers[i], &save, i, &parts,
                                                    i == 0 ? &sample.contents : NULL, keep));
            CHECK(i == 1 || !checkpoint_writer_is_idle(writers[0]));
        }
        for (int i = 0; i < 2; i++) CHECK_OK(checkpoint_writer_wait(writers[i]));
        CHECK(!checkpoint_writer_is_given_up(writers[0]));
        REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
        CHECK(checkpoint_step(file) == step);
        CHECK_OK(sample_check(file));
        checkpoint_close(&file);
    }
    for (int i = 0; i < 2; i++) checkpoint_writer_destroy(&writers[i]);
    CHECK(files_count(dir, "step_") == 1);
}

/* This system call of all tests here; without_exchange: as on a file system without it. */
static bool without_exchange;

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    if (!without_exchange || flags != RENAME_EXCHANGE)
        return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    errno = EINVAL;
    return -1;
}

static void a_step_is_saved_again_without_an_exchange_of_names(void) {
    const char *dir = harness_directory();
    CheckpointFile *file = NULL;
    without_exchange = true;
    REQUIRE_OK(sample_write_shards(dir, 1, 1));
    REQUIRE_OK(sample_keep_shards(dir, 1, 2, (CheckpointKeep){1, -1, false}));
    without_exchange = false;
    REQUIRE_OK(checkpoint_open(shard_path(dir, 1, ""), &file));
    CHECK(file->n_shards == 2);
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);
    CHECK(files_count(dir, "") == 1);
}

/* A run directory whose checkpoint.sharded changes after a kill. */
static void either_form_removes_what_a_dead_save_of_the_other_left(void) {
    const char *dir = harness_directory();
    ShardedSave dead = {.dir = dir, .step = 3, .shards = 2};
    REQUIRE_OK(sample_write(dir, 1, 1));
    REQUIRE_OK(shards_begin(&dead));
    REQUIRE_OK(sample_write(dir, 2, 1));
    REQUIRE_OK(sample_write_shards(dir, 2, 1));
    CHECK(shards_is_visible(&dead)); /* its writer lives */
    close(dead.lock);
    REQUIRE_OK(sample_write(dir, 2, 1));
    CHECK(!shards_is_visible(&dead) && files_count(dir, "") == 1);
    const char *path = arena_printf(&arena, "%s/step_00000003.h5", dir);
    if (fork() == 0) {
        Replacement *left;
        _exit(failed(replacement_begin(path, &left)));
    }
    wait(NULL);
    CHECK(files_count(dir, ".hourglass") == 1);
    REQUIRE_OK(sample_write_shards(dir, 4, 1));
    CHECK(files_count(dir, ".hourglass") == 0);
}

static void a_link_with_the_name_of_a_leftover_is_not_followed(void) {
    const char *dir = harness_directory(),
               *link = arena_printf(&arena, "%s/.step_00000003.0123456789abcdef.hourglass", dir),
               *target = arena_printf(&arena, "%s/kept", dir);
    CHECK(mkdir(target, 0700) == 0);
    REQUIRE_OK(sample_write(target, 1, 1));
    CHECK(symlink(target, link) == 0);
    REQUIRE_OK(sample_write(dir, 2, 1));
    file_remove_directory(link);
    CHECK(files_count(target, "step_") == 1);
}

/* A rank that cannot write ends the save on all ranks. */
static void a_save_that_one_rank_gives_up_leaves_nothing(void) {
    static Sample sample;
    const char *dir = harness_directory(), *warnings = NULL;
    ShardedSave save = {.dir = dir, .step = 2, .shards = 2};
    CheckpointFile *file = NULL;
    CheckpointKeep keep = {1, -1, false};
    bool is_given_up = true;
    REQUIRE_OK(sample_write_shards(dir, 1, 1));
    sample_fill(&sample, 2);
    REQUIRE_OK(shards_begin(&save));
    CHECK(shards_is_visible(&save));
    CHECK_OK(sample_shard(&sample, &save, 0, keep, &is_given_up));
    CHECK(!is_given_up);
    shards_give_up(&save);
    CHECK(!shards_is_visible(&save));
    CHECK_OK(sample_commit(&sample, &save, keep, &is_given_up));
    CHECK(is_given_up);
    CHECK_OK(sample_shard(&sample, &save, 1, keep, &is_given_up));
    CHECK(is_given_up && files_count(dir, ".hourglass") == 0);
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(checkpoint_step(file) == 1);
    checkpoint_close(&file);
}

/* Rank 0 saves its part and a manifest of 4 MB of data, while files have at most `bytes`. */
static Status save_within(ShardedSave *save, CheckpointWriter *writer, rlim_t bytes) {
    static Sample sample;
    const CheckpointTensor large = {"large", DTYPE_F32, 1, {1 << 20}, NULL};
    const CheckpointValue value = {"value", CHECKPOINT_I64, .i64 = 1};
    const CheckpointContents whole = {
        .tensors = &large, .n_tensors = 1, .values = &value, .n_values = 1};
    CheckpointTensor tensors[4];
    struct rlimit before, limit;
    sample_fill(&sample, save->step);
    CheckpointContents parts = {.tensors = tensors,
                                .n_tensors = sample_parts(&sample, 0, 2, tensors)};
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = (struct rlimit){bytes, before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    Status status = checkpoint_writer_save_shard(writer, save, 0, &parts, &whole,
                                                 (CheckpointKeep){1, -1, false});
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    return status;
}

/* The data of a manifest are in the shards. A refused save leaves nothing. */
static void a_size_limit_is_for_each_file(void) {
    ShardedSave save = {.dir = harness_directory(), .step = 2, .shards = 2};
    CheckpointWriter *writer = NULL;
    REQUIRE_OK(checkpoint_writer_create(1 << 16, &writer));
    REQUIRE_OK(shards_begin(&save));
    CHECK_OK(save_within(&save, writer, 200000));
    shards_give_up(&save);
    CHECK_OK(checkpoint_writer_wait(writer));
    REQUIRE_OK(shards_begin(&save));
    CHECK_ERROR(save_within(&save, writer, 9000), STATUS_FAILURE, "ulimit -f");
    CHECK(!shards_is_visible(&save) && files_count(save.dir, ".hourglass") == 0);
    checkpoint_writer_destroy(&writer);
}

/* A manifest with a valid hash whose tensor is larger than its parts. */
static void parts_that_do_not_fit_are_refused(void) {
    static Sample sample;
    const char *dir = harness_directory();
    ShardedSave save = {.dir = dir, .step = 1, .shards = 1};
    CheckpointFile *file = NULL;
    CheckpointTensor info;
    CheckpointKeep keep = {1, -1, false};
    bool is_given_up;
    sample_fill(&sample, 1);
    REQUIRE_OK(shards_begin(&save));
    REQUIRE_OK(sample_shard(&sample, &save, 0, keep, &is_given_up));
    sample.tensors[0].shape[0] = 51;
    sample.tensors[1].shape[0] = 2;
    sample.tensors[2].dtype = DTYPE_F64;
    REQUIRE_OK(sample_commit(&sample, &save, keep, &is_given_up));
    REQUIRE_OK(checkpoint_open(shard_path(dir, 1, ""), &file));
    CHECK_ERROR(checkpoint_tensor_info(file, "wte", &info), STATUS_DATA,
                "its shards have 10000 of the 10200 bytes of tensor 'wte'");
    CHECK_ERROR(checkpoint_tensor_info(file, "wte.m", &info), STATUS_DATA,
                "its part of tensor 'wte.m' does not fit the manifest");
    CHECK_ERROR(checkpoint_tensor_info(file, "data.cursor", &info), STATUS_DATA,
                "its part of tensor 'data.cursor' does not fit the manifest");
    CHECK_OK(checkpoint_tensor_info(file, "scalar", &info));
    checkpoint_close(&file);
}

/* Each keeps a descriptor: a soft limit that is lower is raised. */
static void more_shards_than_the_limit_of_open_files(void) {
    const char *dir = harness_directory(), *warnings = NULL;
    CheckpointFile *file = NULL;
    struct rlimit before, low;
    REQUIRE_OK(sample_keep_shards(dir, 1, 8, (CheckpointKeep){9, -1, false}));
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    low = (struct rlimit){9, before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(any_number_of_shards_is_one_checkpoint),
        TEST(merged_it_has_the_bytes_of_the_single_file),
        TEST(a_bad_shard_is_named_and_the_older_checkpoint_used),
        TEST(shards_of_two_saves_of_a_step_do_not_mix),
        TEST(directories_are_kept_and_removed_like_files),
        TEST(a_step_is_saved_again_in_place),
        TEST(a_step_is_saved_again_without_an_exchange_of_names),
        TEST(either_form_removes_what_a_dead_save_of_the_other_left),
        TEST(a_link_with_the_name_of_a_leftover_is_not_followed),
        TEST(writers_meet_in_the_directory),
        TEST(a_save_that_one_rank_gives_up_leaves_nothing),
        TEST(a_size_limit_is_for_each_file),
        TEST(parts_that_do_not_fit_are_refused),
        TEST(more_shards_than_the_limit_of_open_files),
    };
    int code = harness_run(argc, argv, "shards", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
