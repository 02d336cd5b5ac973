#include "checkpoints/file_layout.h"
#include "checkpoints/writer.h"
#include "tests/checkpoints/sample.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static Arena arena;

static const char *path_of(const char *dir, int64_t step) {
    char name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(step, name);
    return arena_printf(&arena, "%s/%s", dir, name);
}

static size_t size_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* Flips one bit of a file. */
static void flip(const char *path, size_t bit) {
    unsigned char byte;
    int fd = open(path, O_RDWR);
    CHECK(pread(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    byte = (unsigned char)(byte ^ 1u << bit % 8);
    CHECK(pwrite(fd, &byte, 1, (off_t)(bit / 8)) == 1);
    close(fd);
}

static void round_trip(void) {
    const char *dir = harness_directory();
    CheckpointFile *file = NULL;
    REQUIRE_OK(sample_write(dir, 12, 2));
    REQUIRE_OK(checkpoint_open(path_of(dir, 12), &file));
    CHECK(checkpoint_step(file) == 12);
    CHECK_OK(sample_check(file));
    const char **names = NULL;
    int64_t n = 0;
    CHECK_OK(checkpoint_tensor_names(file, &arena, &names, &n));
    CHECK(n == 4 && strcmp(names[0], "data.cursor") == 0 && strcmp(names[3], "wte.m") == 0);
    CheckpointTensor info;
    CHECK_OK(checkpoint_tensor_info(file, "wte.m", &info));
    CHECK(info.dtype == DTYPE_F64 && info.n_dims == 2 && info.shape[0] == 3 && info.shape[1] == 50);
    CHECK(checkpoint_has_tensor(file, "scalar") && !checkpoint_has_tensor(file, "text"));
    checkpoint_close(&file);
    CHECK(file == NULL);
}

static void every_dtype_and_an_empty_tensor(void) {
    const char *dir = harness_directory();
    const DType dtypes[] = {DTYPE_F32, DTYPE_F64, DTYPE_I32, DTYPE_I64, DTYPE_U16, DTYPE_U8};
    unsigned char data[6][80], back[80];
    CheckpointTensor tensors[7];
    char names[6][8];
    for (int i = 0; i < 6; i++) {
        for (int b = 0; b < 80; b++) data[i][b] = (unsigned char)(b * 7 + i);
        snprintf(names[i], sizeof names[i], "t%d", i);
        tensors[i] = (CheckpointTensor){names[i], dtypes[i], 3, {2, 5, 1}, data[i]};
    }
    tensors[6] = (CheckpointTensor){"empty", DTYPE_F32, 2, {0, 4}, data[0]};
    CheckpointContents contents = {.tensors = tensors, .n_tensors = 7};
    CheckpointImage *image = NULL;
    CheckpointFile *file = NULL;
    REQUIRE_OK(checkpoint_image_create(1, &image)); /* too small: it grows */
    REQUIRE_OK(checkpoint_snapshot(image, &contents));
    REQUIRE_OK(checkpoint_write(image, dir, 0, (CheckpointKeep){1, -1, false}));
    REQUIRE_OK(checkpoint_open(path_of(dir, 0), &file));
    for (int i = 0; i < 7; i++) {
        CHECK_OK(checkpoint_read_tensor(file, &tensors[i], back));
        if (i < 6) CHECK(memcmp(back, data[i], 10 * dtype_size(dtypes[i])) == 0);
    }
    checkpoint_close(&file);
    contents.tensors = &(CheckpointTensor){"h", DTYPE_BF16, 1, {4}, data[0]};
    contents.n_tensors = 1;
    CHECK_ERROR(checkpoint_snapshot(image, &contents), STATUS_UNSUPPORTED, "tensor 'h' is bf16");
    CHECK_ERROR(checkpoint_write(image, dir, 1, (CheckpointKeep){1, -1, false}), STATUS_FAILURE,
                "no snapshot");
    tensors[1].name = "t0";
    contents = (CheckpointContents){.tensors = tensors, .n_tensors = 2};
    CHECK_ERROR(checkpoint_snapshot(image, &contents), STATUS_FAILURE, "'t0'");
    checkpoint_image_destroy(&image);
}

static uint64_t little_endian(const unsigned char *bytes) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* As in docs/checkpoints.md: the HDF5 library reads the file, and 56 bytes follow the image. */
static void the_file_is_as_documented(void) {
    const char *dir = harness_directory();
    unsigned char bytes[56], hash[16];
    REQUIRE_OK(sample_write(dir, 12, 2));
    const char *path = path_of(dir, 12);
    size_t size = size_of(path) - sizeof bytes;
    unsigned char *image = malloc(size);
    FILE *file = fopen(path, "rb");
    CHECK(fread(image, 1, size, file) == size &&
          fread(bytes, 1, sizeof bytes, file) == sizeof bytes);
    fclose(file);
    XXH128_canonicalFromHash((XXH128_canonical_t *)hash, XXH3_128bits(image, size));
    CHECK(memcmp(bytes, "HGCKPT\r\n", 8) == 0 && little_endian(bytes + 8) == 1);
    CHECK(little_endian(bytes + 16) == size && little_endian(bytes + 24) == 12);
    CHECK(memcmp(bytes + 32, hash, 16) == 0 && little_endian(bytes + 48) == XXH3_64bits(bytes, 48));
    hid_t opened = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT),
          set = H5Dopen2(opened, "wte", H5P_DEFAULT);
    hid_t type = H5Dget_type(set), plan = H5Dget_create_plist(set);
    CHECK(H5Tequal(type, H5T_IEEE_F32LE) > 0 && H5Pget_layout(plan) == H5D_CONTIGUOUS);
    CHECK(H5Aexists(opened, "step") > 0 && H5Lexists(opened, "text/config", H5P_DEFAULT) > 0);
    H5Pclose(plan), H5Tclose(type), H5Dclose(set), H5Fclose(opened);
    free(image);
}

/* Many names and a long config, as for GPT-2 XL with its moments. */
static void the_bound_is_tight_and_nothing_is_reallocated(void) {
    enum { N = 1800 };
    static char names[N][64];
    static CheckpointTensor tensors[N];
    static float data[400];
    char *config = calloc(1, 200001);
    memset(config, 'x', 200000);
    for (int i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "transformer.h.%d.attn.c_attn.weight.m", i);
        tensors[i] = (CheckpointTensor){names[i], DTYPE_F32, 2, {20, 20}, data};
    }
    CheckpointValue values[12] = {{.name = "config", .kind = CHECKPOINT_TEXT, .text = config}};
    const char *const numbers[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
    for (int i = 0; i < 11; i++)
        values[i + 1] = (CheckpointValue){.name = numbers[i], .kind = CHECKPOINT_I64};
    for (int n = 1; n <= N; n = 3 * n + 1) {
        CheckpointContents contents = {
            .tensors = tensors, .n_tensors = n, .values = values, .n_values = 12};
        CheckpointImage *image = NULL;
        size_t bound = 0;
        REQUIRE_OK(checkpoint_image_bytes(&contents, &bound));
        REQUIRE_OK(checkpoint_image_create(bound, &image));
        REQUIRE_OK(checkpoint_snapshot(image, &contents));
        const void *before = image->bytes;
        REQUIRE_OK(checkpoint_snapshot(image, &contents));
        CHECK(image->bytes == before && image->capacity == bound);
        CHECK(image->size + TRAILER_BYTES <= bound);
        CHECK(bound - image->size < (size_t)n * 900 + (100 << 10));
        checkpoint_image_destroy(&image);
    }
    free(config);
}

/* The bits of the trailer, then random ones: $FLIPS in all (2000). */
static void every_bit_flip_is_found(void) {
    const char *dir = harness_directory(), *wanted = getenv("FLIPS");
    long flips = wanted == NULL ? 2000 : strtol(wanted, NULL, 10);
    REQUIRE_OK(sample_write(dir, 3, 1));
    const char *path = path_of(dir, 3);
    size_t bits = 8 * size_of(path);
    srand(1);
    for (long i = 0; i < flips; i++) {
        CheckpointFile *file = NULL;
        size_t bit = i < 8 * TRAILER_BYTES ? bits - 1 - (size_t)i : (size_t)rand() % bits;
        flip(path, bit);
        Status status = checkpoint_open(path, &file);
        CHECK(status.code == STATUS_DATA && file == NULL && strstr(status_message(), path) != NULL);
        flip(path, bit);
    }
    CheckpointFile *file = NULL;
    REQUIRE_OK(checkpoint_open(path, &file));
    checkpoint_close(&file);
}

static void every_truncation_is_found(void) {
    const char *dir = harness_directory();
    REQUIRE_OK(sample_write(dir, 3, 1));
    const char *path = path_of(dir, 3);
    CheckpointFile *file = NULL;
    size_t bytes = size_of(path);
    CHECK(truncate(path, (off_t)bytes + 1) == 0);
    CHECK_ERROR(checkpoint_open(path, &file), STATUS_DATA, "truncated");
    for (size_t n = bytes - 1; n > 0; n = n > bytes - 70 ? n - 1 : n * 9 / 10) {
        CHECK(truncate(path, (off_t)n) == 0);
        CHECK_ERROR(checkpoint_open(path, &file), STATUS_DATA, "truncated");
    }
    CHECK(truncate(path, 0) == 0);
    CHECK_ERROR(checkpoint_open(path, &file), STATUS_DATA, "only 0 bytes");
    CHECK_ERROR(checkpoint_open(dir, &file), STATUS_DATA, ": is a directory; name the file in it");
    CHECK_ERROR(checkpoint_open(arena_printf(&arena, "%s/none/x.h5", dir), &file), STATUS_DATA,
                "/none/x.h5: no such file");
}

static void keeps_the_newest(void) {
    const char *dir = harness_directory();
    /* Foreign entries: another file, a renamed checkpoint, a truncated one, a directory. */
    const char *foreign = path_of(dir, 1), *cut = path_of(dir, 2), *moved = path_of(dir, 3),
               *folder = path_of(dir, 4);
    FILE *text = fopen(foreign, "w");
    fputs("not a checkpoint, but somebody's file of more than fifty-six bytes", text);
    fclose(text);
    REQUIRE_OK(sample_write(dir, 2, 9));
    CHECK(truncate(cut, 5000) == 0);
    REQUIRE_OK(sample_write(dir, 5, 9));
    CHECK(rename(path_of(dir, 5), moved) == 0);
    CHECK(mkdir(folder, 0755) == 0);
    REQUIRE_OK(sample_write(dir, 900, 9)); /* from a run that trained longer */
    for (int64_t step = 10; step <= 60; step += 10) REQUIRE_OK(sample_write(dir, step, 2));
    CHECK(exists(foreign) && exists(cut) && exists(moved) && exists(folder) &&
          exists(path_of(dir, 900)));
    CHECK(exists(path_of(dir, 60)) && exists(path_of(dir, 50)) && !exists(path_of(dir, 40)) &&
          !exists(path_of(dir, 10)));
    REQUIRE_OK(sample_write(dir, 60, 1)); /* the same step again */
    CHECK(exists(path_of(dir, 60)) && !exists(path_of(dir, 50)));
    CHECK(files_count(dir, ".hourglass") == 0);
}

/* At the name of the next checkpoint: a foreign file, and a damaged checkpoint. */
static void what_is_in_the_way_is_moved_aside(void) {
    const char *dir = harness_directory(), *text = "notes";
    char aside[4200];
    struct stat info;
    FILE *file = fopen(path_of(dir, 1), "w");
    fputs(text, file);
    fclose(file);
    mode_t before = umask(077);
    REQUIRE_OK(sample_write(dir, 1, 9));
    umask(before);
    CHECK(stat(path_of(dir, 1), &info) == 0 && (info.st_mode & 0777) == 0600);
    snprintf(aside, sizeof aside, "%s.aside-1", path_of(dir, 1));
    CHECK(stat(aside, &info) == 0 && info.st_size == (off_t)strlen(text));
    CHECK(truncate(path_of(dir, 1), 5000) == 0);
    REQUIRE_OK(sample_write(dir, 1, 9));
    snprintf(aside, sizeof aside, "%s.aside-2", path_of(dir, 1));
    CHECK(stat(aside, &info) == 0 && info.st_size == 5000);
    REQUIRE_OK(sample_write(dir, 1, 9));
    CHECK(files_count(dir, "step_") == 3);
}

static void a_bad_newest_is_named_and_passed_over(void) {
    const char *dir = harness_directory(), *warnings = NULL;
    CheckpointFile *file = NULL;
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(file == NULL && warnings[0] == '\0');
    REQUIRE_OK(
        checkpoint_open_newest(arena_printf(&arena, "%s/none", dir), &arena, &file, &warnings));
    CHECK(file == NULL);
    for (int64_t step = 8; step <= 11; step++) REQUIRE_OK(sample_write(dir, step, 9));
    flip(path_of(dir, 11), 4000 * 8);
    CHECK(rename(path_of(dir, 10), path_of(dir, 12)) == 0);
    REQUIRE_OK(checkpoint_open_newest(dir, &arena, &file, &warnings));
    CHECK(file != NULL && checkpoint_step(file) == 9);
    CHECK_OK(sample_check(file));
    checkpoint_close(&file);
    CHECK(strstr(warnings, "step_00000011.h5: damaged") != NULL);
    CHECK(strstr(warnings, "step_00000012.h5: contains step 10") != NULL);
    CHECK(truncate(path_of(dir, 8), 100) == 0 && truncate(path_of(dir, 9), 100) == 0);
    CHECK_ERROR(checkpoint_open_newest(dir, &arena, &file, &warnings), STATUS_DATA,
                "none of its 4 checkpoints is good");
}

static void mismatches_are_named(void) {
    const char *dir = harness_directory();
    CheckpointFile *file = NULL;
    float data[SAMPLE_N];
    int64_t integer;
    double number;
    char *text;
    REQUIRE_OK(sample_write(dir, 1, 1));
    REQUIRE_OK(checkpoint_open(path_of(dir, 1), &file));
    CheckpointTensor wanted = {"wte", DTYPE_F32, 2, {50, 49}, NULL};
    CHECK_ERROR(checkpoint_read_tensor(file, &wanted, data), STATUS_DATA,
                "step_00000001.h5: tensor 'wte' is f32 (50, 50), the model has f32 (50, 49)");
    wanted = (CheckpointTensor){"wte", DTYPE_F64, 2, {50, 50}, NULL};
    CHECK_ERROR(checkpoint_read_tensor(file, &wanted, data), STATUS_DATA,
                "the model has f64 (50, 50)");
    wanted.name = "wpe";
    CHECK_ERROR(checkpoint_read_tensor(file, &wanted, data), STATUS_DATA, "has no tensor 'wpe'");
    wanted.name = "text";
    CHECK_ERROR(checkpoint_read_tensor(file, &wanted, data), STATUS_DATA, "has no tensor 'text'");
    wanted.name = "text/config";
    CHECK_ERROR(checkpoint_read_tensor(file, &wanted, data), STATUS_DATA,
                "has no tensor 'text/config'");
    CHECK_ERROR(checkpoint_read_i64(file, "tokens", &integer), STATUS_DATA,
                "has no integer 'tokens'");
    CHECK_ERROR(checkpoint_read_i64(file, "train_s", &integer), STATUS_DATA,
                "has no integer 'train_s'");
    CHECK_ERROR(checkpoint_read_f64(file, "step", &number), STATUS_DATA, "has no number 'step'");
    CHECK_ERROR(checkpoint_read_text(file, "notes", &arena, &text), STATUS_DATA,
                "has no text 'notes'");
    checkpoint_close(&file);
}

static void names_are_parsed_strictly(void) {
    int64_t step = 0;
    CHECK(checkpoint_name_parse("step_00000012.h5", &step) && step == 12);
    CHECK(checkpoint_name_parse("step_00000013", &step) && step == 13);
    CHECK(checkpoint_name_parse("step_123456789.h5", &step) && step == 123456789);
    const char *const bad[] = {"step_12.h5",
                               "step_00000012.h5.bak",
                               "step_-0000012.h5",
                               "step_+0000012.h5",
                               "Step_00000012.h5",
                               "step_000000012.h5",
                               "step_.h5",
                               "best.h5",
                               ".step_00000012.h5.x",
                               "step_99999999999999999999.h5"};
    for (size_t i = 0; i < COUNT(bad); i++) CHECK(!checkpoint_name_parse(bad[i], &step));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(round_trip),
        TEST(the_file_is_as_documented),
        TEST(every_dtype_and_an_empty_tensor),
        TEST(the_bound_is_tight_and_nothing_is_reallocated),
        TEST(every_bit_flip_is_found),
        TEST(every_truncation_is_found),
        TEST(keeps_the_newest),
        TEST(what_is_in_the_way_is_moved_aside),
        TEST(a_bad_newest_is_named_and_passed_over),
        TEST(mismatches_are_named),
        TEST(names_are_parsed_strictly),
    };
    int code = harness_run(argc, argv, "checkpoint", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
