/* Compares the data identity in a checkpoint with the current files. */
#include "launch/run/data_identity.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static World *world;
static Arena arena;

/* A token file of `count` bytes, starting with `first`. */
static TokenSet *file_make(const char *path, int32_t first, int count) {
    TokenSet *file = NULL;
    FILE *out = fopen(path, "wb");
    for (int i = 0; i < count; i++)
        fwrite(&(uint16_t){(uint16_t)((first + i * 7) % 257)}, 2, 1, out);
    CHECK(fclose(out) == 0);
    CHECK_OK(token_set_open_path(path, &file));
    return file;
}

/* A checkpoint of step 5 with this data identity; NULL: none, as older versions wrote it. */
static CheckpointFile *checkpoint_make(const char *dir, const DataIdentity *data) {
    CheckpointValue values[DATA_IDENTITY_VALUES];
    CheckpointContents contents = {.values = values};
    CheckpointFile *file = NULL;
    if (data != NULL) contents.n_values = data_identity_values(data, values);
    CHECK_OK(checkpoint_save(&contents, dir, 5, (CheckpointKeep){1, -1, false}));
    CHECK_OK(checkpoint_open(arena_printf(&arena, "%s/step_00000005.h5", dir), &file));
    return file;
}

static void check_expects(const CheckpointFile *saved, TokenSet *train, TokenSet *val,
                          const char *refusal) {
    DataIdentity data;
    REQUIRE_OK(data_identity_open(world, NULL, train, val, &data));
    if (refusal == NULL)
        CHECK_OK(data_identity_expect(&data, saved));
    else
        CHECK_ERROR(data_identity_expect(&data, saved), STATUS_DATA, refusal);
    data_identity_close(&data);
}

static void the_content_decides(void) {
    const char *dir = harness_directory();
    TokenSet *one = file_make(arena_printf(&arena, "%s/one", dir), 1, 3000), *val;
    TokenSet *same = file_make(arena_printf(&arena, "%s/same", dir), 1, 3000);
    TokenSet *other = file_make(arena_printf(&arena, "%s/other", dir), 2, 3000);
    TokenSet *longer = file_make(arena_printf(&arena, "%s/longer", dir), 1, 3001);
    val = file_make(arena_printf(&arena, "%s/val", dir), 5, 400);
    DataIdentity data;
    REQUIRE_OK(data_identity_open(world, NULL, one, val, &data));
    CHECK_OK(data_identity_settle(&data));
    CheckpointFile *saved = checkpoint_make(dir, &data);
    check_expects(saved, one, val, NULL);
    check_expects(saved, same, val, NULL);
    check_expects(saved, same, NULL, NULL); /* no evaluation any more */
    check_expects(saved, other, val, "data.train: ");
    check_expects(saved, other, val, "/other holds 3000 tokens (xxh3 ");
    check_expects(saved, longer, val, "/longer holds 3001 tokens (xxh3 ");
    check_expects(saved, longer, val, "but the saved run is of other data, 3000 tokens (xxh3 ");
    check_expects(saved, one, same, "data.val: ");
    check_expects(saved, one, same, "/same holds 3000 tokens");
    checkpoint_close(&saved);
    data_identity_close(&data);
    TokenSet *files[] = {one, same, other, longer, val};
    for (size_t i = 0; i < COUNT(files); i++) token_set_destroy(&files[i]);
}

static void an_old_checkpoint_is_not_verified(void) {
    const char *dir = harness_directory();
    TokenSet *train = file_make(arena_printf(&arena, "%s/train", dir), 1, 3000);
    CheckpointFile *saved = checkpoint_make(dir, NULL);
    DataIdentity data;
    REQUIRE_OK(data_identity_open(world, NULL, train, NULL, &data));
    CHECK(!data.is_unverified);
    CHECK_OK(data_identity_expect(&data, saved));
    CHECK(data.is_unverified);
    CHECK_OK(data_identity_settle(&data));
    data_identity_close(&data);
    checkpoint_close(&saved);
    token_set_destroy(&train);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(the_content_decides),
        TEST(an_old_checkpoint_is_not_verified),
    };
    if (failed(world_create(&argc, &argv, &world))) return 1;
    setenv("HOURGLASS_CACHE", harness_directory(), 1);
    int code = harness_run(argc, argv, "data identity", tests, COUNT(tests));
    world_destroy(&world);
    arena_free(&arena);
    return code;
}
