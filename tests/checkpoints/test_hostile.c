/* Hostile checkpoints: a valid hash does not make a file safe for HDF5. */
#include "checkpoints/file_layout.h"
#include "tests/harness.h"
#include "tests/hdf5_relaxed.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static Arena arena;

static const char *path_of(const char *dir, int64_t step) {
    char name[CHECKPOINT_NAME_BYTES];
    checkpoint_name(step, name);
    return arena_printf(&arena, "%s/%s", dir, name);
}

static size_t size_of(const char *path) {
    struct stat info;
    CHECK(stat(path, &info) == 0);
    return (size_t)info.st_size;
}

/* A file written by HDF5 itself, with a valid trailer: its features are refused nevertheless. */
static void seal(const char *path) {
    size_t bytes = size_of(path);
    unsigned char *image = malloc(bytes), end[TRAILER_BYTES];
    FILE *file = fopen(path, "r+b");
    CHECK(fread(image, 1, bytes, file) == bytes);
    Trailer trailer = {.image_bytes = bytes, .step = 1};
    ImageHash *hash = hash_begin();
    hash_add(hash, image, bytes);
    hash_end(hash, trailer.hash);
    trailer_encode(&trailer, end);
    fseek(file, 0, SEEK_END);
    CHECK(fwrite(end, 1, sizeof end, file) == sizeof end);
    fclose(file);
    free(image);
}

static void features_of_hdf5_are_refused(void) {
    const char *dir = harness_directory(), *linked = path_of(dir, 1), *soft = path_of(dir, 2),
               *odd = path_of(dir, 3);
    hsize_t shape[1] = {64}, chunk[1] = {16};
    float data[64] = {0};
    hid_t file = H5Fcreate(linked, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external("other.h5", "/x", file, "wte", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    file = H5Fcreate(soft, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/none", file, "wte", H5P_DEFAULT, H5P_DEFAULT);
    H5Fclose(file);
    file = H5Fcreate(odd, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, shape, NULL), chunked = H5Pcreate(H5P_DATASET_CREATE);
    hid_t external = H5Pcreate(H5P_DATASET_CREATE), mapped = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 1, chunk);
    H5Pset_fletcher32(chunked);
    H5Pset_external(external, "passwd", 0, 256);
    H5Pset_virtual(mapped, space, "other.h5", "x", space);
    const hid_t plans[] = {chunked, external, mapped};
    const char *const names[] = {"chunked", "external", "mapped"};
    for (int i = 0; i < 3; i++) {
        H5Dclose(
            H5Dcreate2(file, names[i], H5T_IEEE_F32LE, space, H5P_DEFAULT, plans[i], H5P_DEFAULT));
        H5Pclose(plans[i]);
    }
    H5Sclose(space);
    H5Fclose(file);
    seal(linked), seal(soft), seal(odd);

    CheckpointFile *opened = NULL;
    CHECK_ERROR(checkpoint_open(linked, &opened), STATUS_DATA, "'wte' is a soft or external link");
    CHECK_ERROR(checkpoint_open(soft, &opened), STATUS_DATA, "'wte' is a soft or external link");
    REQUIRE_OK(checkpoint_open(odd, &opened));
    for (int i = 0; i < 3; i++) {
        CheckpointTensor tensor = {names[i], DTYPE_F32, 1, {64}, NULL};
        CHECK_ERROR(checkpoint_read_tensor(opened, &tensor, data), STATUS_DATA,
                    "is chunked, filtered, virtual");
    }
    checkpoint_close(&opened);
    FILE *text = fopen(odd, "wb");
    for (int i = 0; i < 4096; i++) fputc(i % 251, text);
    fclose(text);
    seal(odd);
    CHECK_ERROR(checkpoint_open(odd, &opened), STATUS_DATA, "is damaged or truncated");
}

static void attribute_write(hid_t file, const char *name, hid_t type) {
    static const unsigned char ones[4096] = {1, 1, 1, 1};
    hid_t space = H5Screate(H5S_SCALAR);
    CHECK(hdf5_attribute_write(file, name, type, space, ones));
    H5Sclose(space);
}

static void tensor_write(hid_t place, const char *name, hid_t type, hid_t space) {
    hid_t plan = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(plan, H5D_ALLOC_TIME_EARLY);
    hid_t set = H5Dcreate2(place, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
    CHECK(set >= 0);
    H5Dclose(set);
    H5Pclose(plan);
}

/* A hostile file with a valid hash may contain arbitrary types: only those that the writer uses are
 * read. */
static void odd_types_are_refused(void) {
    const char *path = path_of(harness_directory(), 1);
    hid_t access = hdf5_relaxed(), file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access),
          bent = H5Tcopy(H5T_STD_I64LE);
    hid_t texts = H5Gcreate2(file, "text", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
          real = H5Tcopy(H5T_IEEE_F64LE);
    hid_t array = H5Tarray_create2(H5T_STD_I64LE, 1, &(hsize_t){100}),
          choice = H5Tenum_create(H5T_STD_I64LE);
    hid_t scalar = H5Screate(H5S_SCALAR), space = H5Screate_simple(1, &(hsize_t){64}, NULL);
    hid_t text = H5Tcopy(H5T_C_S1), narrow = H5Tcopy(H5T_STD_U16LE);
    H5Tset_precision(bent, 9), H5Tset_offset(bent, 3);
    H5Tset_precision(narrow, 9), H5Tset_offset(narrow, 3);
    H5Tset_ebias(real, 7);
    H5Tenum_insert(choice, "one", &(int64_t){1});
    H5Tset_size(text, H5T_VARIABLE);
    const hid_t integers[] = {bent,          array,         choice,        H5T_STD_I64BE,
                              H5T_STD_I32LE, H5T_STD_B64LE, H5T_IEEE_F64LE};
    const hid_t numbers[] = {real, H5T_IEEE_F64BE, H5T_IEEE_F32LE, H5T_STD_I64LE};
    for (size_t i = 0; i < COUNT(integers); i++)
        attribute_write(file, arena_printf(&arena, "i%zu", i), integers[i]);
    for (size_t i = 0; i < COUNT(numbers); i++)
        attribute_write(file, arena_printf(&arena, "f%zu", i), numbers[i]);
    tensor_write(file, "narrow", narrow, space);
    tensor_write(texts, "config", H5T_STD_I64LE, scalar);
    tensor_write(texts, "notes", text, scalar);
    H5Gclose(texts), H5Fclose(file), H5Pclose(access);
    seal(path);

    CheckpointFile *opened = NULL;
    int64_t integer;
    double number;
    uint16_t data[64];
    char *read;
    REQUIRE_OK(checkpoint_open(path, &opened));
    for (size_t i = 0; i < COUNT(integers); i++) {
        CHECK_ERROR(checkpoint_read_i64(opened, arena_printf(&arena, "i%zu", i), &integer),
                    STATUS_DATA, "no integer");
    }
    for (size_t i = 0; i < COUNT(numbers); i++) {
        CHECK_ERROR(checkpoint_read_f64(opened, arena_printf(&arena, "f%zu", i), &number),
                    STATUS_DATA, "no number");
    }
    CheckpointTensor tensor = {"narrow", DTYPE_U16, 1, {64}, NULL};
    CHECK_ERROR(checkpoint_read_tensor(opened, &tensor, data), STATUS_DATA,
                "'narrow' has an unsupported type or shape");
    CHECK_ERROR(checkpoint_read_text(opened, "config", &arena, &read), STATUS_DATA,
                "no text 'config'");
    CHECK_ERROR(checkpoint_read_text(opened, "notes", &arena, &read), STATUS_DATA,
                "no text 'notes'");
    checkpoint_close(&opened);
}

/* HDF5 1.10 reads beyond its buffer for an attribute whose type is larger than its message. */
static void attributes_end_with_their_message(void) {
    static const unsigned char type[] = {0x10, 8, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0};
    const char *path = path_of(harness_directory(), 1);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    attribute_write(file, "step", H5T_STD_I64LE);
    H5Fclose(file);
    size_t bytes = size_of(path);
    unsigned char *image = malloc(bytes);
    FILE *stream = fopen(path, "r+b");
    CHECK(fread(image, 1, bytes, stream) == bytes);
    unsigned char *at = memmem(image, bytes, type, sizeof type);
    CHECK(at != NULL);
    if (at != NULL) fseek(stream, at + 6 - image, SEEK_SET);
    CHECK(fputc(0x10, stream) == 0x10 && fclose(stream) == 0);
    free(image);
    seal(path);
    CheckpointFile *opened = NULL;
    int64_t step;
    REQUIRE_OK(checkpoint_open(path, &opened));
    CHECK_ERROR(checkpoint_read_i64(opened, "step", &step), STATUS_DATA, "is damaged or truncated");
    checkpoint_close(&opened);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(features_of_hdf5_are_refused),
        TEST(odd_types_are_refused),
        TEST(attributes_end_with_their_message),
    };
    int code = harness_run(argc, argv, "hostile checkpoints", tests, COUNT(tests));
    arena_free(&arena);
    return code;
}
