/* Snapshots in the memory of a host: found by their run alone, verified, copied to the disk. */
#include "checkpoints/memory_snapshot.h"
#include "tests/checkpoints/sample.h"
#include "tests/harness.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static Arena arena;

static void flip(const char *path) {
    FILE *file = fopen(path, "r+b");
    CHECK(file != NULL && fseek(file, 4000, SEEK_SET) == 0);
    int byte = fgetc(file);
    CHECK(fseek(file, -1, SEEK_CUR) == 0 && fputc(byte ^ 1, file) != EOF);
    fclose(file);
}

static void the_newest_whole_one_goes_to_the_disk(void) {
    const char *run = harness_directory(), *dir = arena_printf(&arena, "%s/checkpoints", run),
               *warnings;
    char folder[MEMORY_FOLDER_BYTES], found[MEMORY_FOLDER_BYTES];
    CheckpointFile *file = NULL;
    CHECK(!memory_folder_find(run, found));
    REQUIRE_OK(memory_folder_name(run, folder));
    CHECK(!memory_folder_find(run, found)); /* it is not there yet */
    REQUIRE_OK(memory_folder_create(folder, 1 << 20));
    CHECK(memory_folder_find(run, found) && strcmp(found, folder) == 0);
    CHECK(memory_snapshot_newest(folder) == -1);
    for (int64_t step = 1; step <= 3; step++) REQUIRE_OK(sample_write(folder, step, 9));
    CHECK(memory_snapshot_newest(folder) == 3);
    flip(arena_printf(&arena, "%s/step_00000003.h5", folder));
    CHECK(memory_snapshot_newest(folder) == 2);
    CHECK(memory_snapshot_bytes(folder) > 3 * SAMPLE_N * sizeof(float));
    REQUIRE_OK(memory_snapshot_to_disk(folder, 2, dir));
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(file != NULL && checkpoint_step(file) == 2);
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);
    memory_folder_remove(folder);
    memory_link_remove(run);
    CHECK(access(folder, F_OK) != 0 && !memory_folder_find(run, found));
    CHECK(lstat(arena_printf(&arena, "%s/memory", run), &(struct stat){0}) != 0);
}

static void a_copy_of_the_link_leads_nowhere(void) {
    const char *run = harness_directory(), *copy = arena_printf(&arena, "%s/copy", run),
               *link = arena_printf(&arena, "%s/memory", copy);
    char folder[MEMORY_FOLDER_BYTES], found[MEMORY_FOLDER_BYTES];
    REQUIRE_OK(memory_folder_name(run, folder));
    REQUIRE_OK(memory_folder_create(folder, 0));
    CHECK(mkdir(copy, 0777) == 0 && symlink(folder, link) == 0);
    CHECK(!memory_folder_find(copy, found));
    memory_link_remove(copy);
    CHECK(lstat(link, &(struct stat){0}) == 0);
    memory_folder_remove(folder);
}

static void a_link_of_the_user_stays(void) {
    const char *run = harness_directory(), *link = arena_printf(&arena, "%s/memory", run);
    char folder[MEMORY_FOLDER_BYTES];
    memory_link_remove(run);
    CHECK(symlink("/dev/shm/mine", link) == 0);
    CHECK_ERROR(memory_folder_name(run, folder), STATUS_FAILURE, "/memory: cannot be made");
    CHECK(lstat(link, &(struct stat){0}) == 0 && unlink(link) == 0);
    CHECK(symlink("/dev/shm/hourglass-7-0123456789abcdef", link) == 0); /* of a run, copied */
    CHECK_OK(memory_folder_name(run, folder));
    memory_link_remove(run);
}

static void too_little_memory_is_an_error(void) {
    char folder[MEMORY_FOLDER_BYTES];
    REQUIRE_OK(memory_folder_name(harness_directory(), folder));
    CHECK_ERROR(memory_folder_create(folder, SIZE_MAX), STATUS_OUT_OF_MEMORY,
                "checkpoint.memory_interval: needs");
    CHECK(access(folder, F_OK) != 0);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(the_newest_whole_one_goes_to_the_disk),
        TEST(a_copy_of_the_link_leads_nowhere),
        TEST(a_link_of_the_user_stays),
        TEST(too_little_memory_is_an_error),
    };
    int code = harness_run(argc, argv, "memory_snapshot", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
