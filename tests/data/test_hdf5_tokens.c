/* HDF5 files of other writers: accepted files, and the reasons why others are refused. */
#include "data/hdf5_tokens.h"
#include "data/token_file.h"
#include "data/token_writer.h"
#include "data/tokenizer.h"
#include "tests/data/data_helper.h"
#include "tests/harness.h"
#include "tests/hdf5_relaxed.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKENS = 1000 };

static hid_t create(const char *path) {
    return H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
}

static void data_write(hid_t dataset) {
    uint32_t tokens[TOKENS];
    for (uint32_t i = 0; i < TOKENS; i++) tokens[i] = i;
    CHECK(H5Dwrite(dataset, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, tokens) >= 0);
}

/* Writes a dataset of this type and these properties to a new file; sets its attribute vocab_size
 * if not 0. */
static void dataset_write(const char *path, const char *name, hid_t type, int rank,
                          hid_t properties, int64_t vocab) {
    hsize_t dims[2] = {rank == 2 ? TOKENS / 2 : TOKENS, 2};
    hid_t file = create(path), space = H5Screate_simple(rank, dims, NULL),
          scalar = H5Screate(H5S_SCALAR);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(dataset >= 0);
    data_write(dataset);
    if (vocab != 0) {
        hid_t attribute =
            H5Acreate2(dataset, "vocab_size", H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
        CHECK(H5Awrite(attribute, H5T_NATIVE_INT64, &vocab) >= 0);
        H5Aclose(attribute);
    }
    H5Dclose(dataset);
    H5Sclose(scalar);
    H5Sclose(space);
    H5Fclose(file);
}

static void check_reads(const char *path, int64_t vocab) {
    TokenFile *file;
    int32_t window[10];
    REQUIRE_OK(token_file_open(path, &file));
    CHECK(token_file_format(file) == TOKENS_HDF5 && token_file_count(file) == TOKENS);
    CHECK(token_file_vocab(file) == vocab);
    CHECK(strcmp(token_file_tokenizer(file), TOKENIZER_UNKNOWN) == 0);
    CHECK_OK(token_file_read(file, 500, 10, window));
    for (int i = 0; i < 10; i++) CHECK(window[i] == 500 + i);
    token_file_destroy(&file);
}

static void plain_files_of_others_are_read(void) {
    const char *path = path_in(harness_directory(), "other.h5");
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
    check_reads(path, 0);
    dataset_write(path, "tokens", H5T_STD_U32LE, 1, H5P_DEFAULT, 2000);
    check_reads(path, 2000);
}

static void check_refused(const char *path, const char *message) {
    TokenFile *file;
    CHECK_ERROR(token_file_open(path, &file), STATUS_DATA, message);
    CHECK_ERROR(token_file_open(path, &file), STATUS_DATA, path);
}

static void files_that_cannot_be_mapped_are_refused(void) {
    const char *path = path_in(harness_directory(), "other.h5");
    hid_t chunked = H5Pcreate(H5P_DATASET_CREATE), compressed = H5Pcreate(H5P_DATASET_CREATE);
    hid_t external = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 1, &(hsize_t){100});
    H5Pset_chunk(compressed, 1, &(hsize_t){100});
    H5Pset_deflate(compressed, 1);
    H5Pset_external(external, path_in(harness_directory(), "data"), 0, 4 * TOKENS);
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, chunked, 0);
    check_refused(path, "'tokens' is chunked, compact or virtual; it must be contiguous");
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, compressed, 0);
    check_refused(path, "'tokens' is compressed or filtered");
    dataset_write(path, "tokens", H5T_STD_U32LE, 1, external, 0);
    check_refused(path, "'tokens' lies in external files");
    dataset_write(path, "tokens", H5T_STD_U16LE, 2, H5P_DEFAULT, 0);
    check_refused(path, "'tokens' is not one-dimensional");
    dataset_write(path, "tokens", H5T_STD_I32LE, 1, H5P_DEFAULT, 0);
    check_refused(path, "'tokens' is neither uint16 nor uint32");
    dataset_write(path, "tokens", H5T_IEEE_F32LE, 1, H5P_DEFAULT, 0);
    check_refused(path, "'tokens' is neither uint16 nor uint32");
    dataset_write(path, "tokens", H5T_STD_U16BE, 1, H5P_DEFAULT, 0);
    check_refused(path, "'tokens' is big-endian");
    dataset_write(path, "words", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
    check_refused(path, "without the dataset 'tokens'");
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, -3);
    check_refused(path, "'tokens' has a negative vocab_size");
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 500);
    check_refused(path, "token 500 at position 500 is not below the vocabulary size 500");
    H5Pclose(chunked);
    H5Pclose(compressed);
    H5Pclose(external);
}

static void links_are_not_followed(void) {
    const char *directory = harness_directory(), *path = path_in(directory, "link.h5"),
               *other = path_in(directory, "o.h5");
    dataset_write(other, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
    hid_t file = create(path);
    CHECK(H5Lcreate_external(other, "tokens", file, "tokens", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    check_refused(path, "'tokens' is a link");
    file = create(path);
    CHECK(H5Lcreate_soft("/elsewhere", file, "tokens", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    check_refused(path, "'tokens' is a link");
    file = create(path);
    H5Gclose(H5Gcreate2(file, "tokens", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Fclose(file);
    check_refused(path, "'tokens' is not a dataset");
}

static void truncated_files_of_others_are_refused(void) {
    const char *path = path_in(harness_directory(), "other.h5");
    size_t size;
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
    free(file_read(path, &size));
    CHECK(truncate(path, (off_t)size - 1) == 0);
    check_refused(path, "damaged or truncated");
    CHECK(truncate(path, 40) == 0);
    check_refused(path, "damaged or truncated");
}

/* ---- hostile types --------------------------------------------------------------------------- */

/* A standard type with arbitrary fields: a number with fewer bits than its bytes, at an offset. */
static hid_t bent(hid_t standard, size_t precision, size_t offset) {
    hid_t type = H5Tcopy(standard);
    CHECK(H5Tset_precision(type, precision) >= 0 &&
          (offset == 0 || H5Tset_offset(type, offset) >= 0));
    return type;
}

static void tokens_of_odd_types_are_refused(void) {
    const char *path = path_in(harness_directory(), "odd.h5");
    hid_t list = H5Pcreate(H5P_DATASET_CREATE), choice = H5Tenum_create(H5T_STD_U16LE);
    H5Tenum_insert(choice, "one", &(uint16_t){1});
    const hid_t types[] = {bent(H5T_STD_U16LE, 9, 3),
                           bent(H5T_STD_U16LE, 9, 0),
                           bent(H5T_STD_U32LE, 17, 5),
                           bent(H5T_STD_U16LE, 15, 1),
                           H5T_STD_B16LE,
                           choice};
    for (size_t i = 0; i < COUNT(types); i++) {
        hid_t file = create(path), space = H5Screate_simple(1, &(hsize_t){TOKENS}, NULL);
        H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
        hid_t dataset = H5Dcreate2(file, "tokens", types[i], space, H5P_DEFAULT, list, H5P_DEFAULT);
        CHECK(dataset >= 0);
        H5Dclose(dataset);
        H5Sclose(space);
        H5Fclose(file);
        check_refused(path, "'tokens' is neither uint16 nor uint32");
    }
    for (size_t i = 0; i < COUNT(types); i++) H5Tclose(types[i]);
    H5Pclose(list);
}

/* Writes a token file with one attribute of this type and space; its bytes are ones. */
static void attribute_write(const char *path, const char *name, hid_t type, hid_t space) {
    static uint8_t ones[4096];
    memset(ones, 0xff, sizeof ones);
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
    hid_t access = hdf5_relaxed(), file = H5Fopen(path, H5F_ACC_RDWR, access),
          dataset = H5Dopen2(file, "tokens", H5P_DEFAULT);
    CHECK(hdf5_attribute_write(dataset, name, type, space, ones));
    H5Dclose(dataset);
    H5Fclose(file);
    H5Pclose(access);
}

static void check_says_nothing(const char *path) {
    TokenFile *file;
    REQUIRE_OK(token_file_open(path, &file));
    CHECK(token_file_vocab(file) == 0 && token_file_end_of_text(file) == -1);
    CHECK(token_file_tokenizer_hash(file) == 0);
    CHECK(strcmp(token_file_tokenizer(file), TOKENIZER_UNKNOWN) == 0);
    token_file_destroy(&file);
}

/* Attributes of types that no writer uses count as missing. */
static void attributes_of_odd_types_say_nothing(void) {
    const char *path = path_in(harness_directory(), "odd.h5");
    static const char *const names[] = {"vocab_size", "end_of_text", "tokenizer_hash", "tokenizer"};
    hid_t scalar = H5Screate(H5S_SCALAR), three = H5Screate_simple(1, &(hsize_t){3}, NULL);
    hid_t choice = H5Tenum_create(H5T_STD_I64LE), record = H5Tcreate(H5T_COMPOUND, 16);
    H5Tenum_insert(choice, "one", &(int64_t){1});
    H5Tinsert(record, "value", 0, H5T_STD_I64LE);
    const hid_t types[] = {bent(H5T_STD_I64LE, 9, 3),
                           bent(H5T_STD_U64BE, 63, 1),
                           bent(H5T_STD_I32LE, 31, 0),
                           choice,
                           record,
                           H5Tarray_create2(H5T_STD_I64LE, 1, &(hsize_t){300}),
                           H5Tcreate(H5T_OPAQUE, 8),
                           H5Tcopy(H5T_STD_B64LE),
                           H5Tcopy(H5T_IEEE_F64LE),
                           H5Tcopy(H5T_STD_REF_OBJ)};
    for (size_t i = 0; i < COUNT(types); i++) {
        for (size_t n = 0; n < COUNT(names); n++) {
            attribute_write(path, names[n], types[i], scalar);
            check_says_nothing(path);
        }
        H5Tclose(types[i]);
    }
    attribute_write(path, "end_of_text", H5T_STD_I64LE, three);
    check_says_nothing(path);
    H5Sclose(scalar);
    H5Sclose(three);
}

/* The same, patched byte by byte, because HDF5 refuses to create some of it: a precision of 65535,
 * an offset beyond the type, a different size. */
static void broken_types_never_crash(void) {
    const char *path = path_in(harness_directory(), "broken.h5");
    static const uint8_t type[12] = {0x10, 8, 0, 0, 8,  0,
                                     0,    0, 0, 0, 64, 0}; /* a 64-bit signed integer */
    uint64_t dice = 9;
    size_t size;
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 2000);
    check_reads(path, 2000);
    uint8_t *good = file_read(path, &size), *at = memmem(good, size, type, sizeof type);
    CHECK(at != NULL);
    for (int round = 0; at != NULL && round < 600; round++) {
        TokenFile *file;
        memcpy(at, type, sizeof type);
        for (uint64_t n = 1 + dice_roll(&dice, 6); n > 0; n--)
            at[dice_roll(&dice, 12)] = (uint8_t)dice_roll(&dice, 256);
        file_write(path, good, size);
        Status status = token_file_open(path, &file);
        CHECK(!failed(status) || status.code == STATUS_DATA);
        bool is_whole = memcmp(at + 8, type + 8, 4) == 0 && memcmp(at + 4, type + 4, 4) == 0;
        if (!failed(status)) CHECK(token_file_vocab(file) == 0 || is_whole);
        token_file_destroy(&file);
    }
    free(good);
}

/* ---- our own header -------------------------------------------------------------------------- */

static void the_offset_does_not_depend_on_the_count(void) {
    size_t first = 0;
    for (int64_t count = 1; count < INT64_C(1) << 36; count = count * 11 + 1) {
        for (int width = 2; width <= 4; width += 2) {
            TokenHeader header = {
                .tokenizer = "gpt2", .vocab_size = 50257, .count = count, .width = width};
            uint8_t *bytes;
            REQUIRE_OK(hdf5_tokens_build(&header, &bytes));
            if (first == 0) first = header.offset;
            CHECK(header.offset == first && header.offset < 16384);
            free(bytes);
        }
    }
}

/* ---- the writer ------------------------------------------------------------------------------ */

static void only_token_files_are_replaced(void) {
    const char *directory = harness_directory(), *path = path_in(directory, "train.h5");
    Tokenizer *tokenizer;
    TokenWriter *writer;
    REQUIRE_OK(tokenizer_open("byte", &tokenizer));
    text_write(path, "my notes, which are dear to me\n");
    CHECK_ERROR(token_writer_create(path, TOKENS_HDF5, tokenizer, &writer), STATUS_DATA,
                "it is unchanged, move it away");
    dataset_write(path, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
    CHECK_ERROR(token_writer_create(path, TOKENS_NANOGPT, tokenizer, &writer), STATUS_DATA,
                "it is unchanged");
    CHECK_OK(token_writer_create(path, TOKENS_HDF5, tokenizer, &writer));
    token_writer_destroy(&writer);
    check_reads(path, 0); /* nothing was published, so the old one still exists */
    CHECK(access(path_in(directory, "train.h5.part"), F_OK) != 0);
    tokenizer_destroy(&tokenizer);
}

static TokenWriter *finished(const char *path, Tokenizer *tokenizer) {
    TokenWriter *writer = NULL;
    int32_t tokens[3] = {1, 2, 3};
    CHECK_OK(token_writer_create(path, TOKENS_HDF5, tokenizer, &writer));
    CHECK_OK(token_writer_append(writer, &(TokenBuffer){tokens, 3, 3}));
    CHECK_OK(token_writer_finish(writer));
    return writer;
}

static int64_t count_of(const char *path) {
    TokenFile *file;
    int64_t count = -1;
    if (CHECK_OK(token_file_open(path, &file))) count = token_file_count(file);
    token_file_destroy(&file);
    return count;
}

/* The second file cannot get its name, because a directory has taken it. */
static void a_pair_has_both_names_or_neither(void) {
    const char *directory = harness_directory();
    char *train = strdup(path_in(directory, "train.h5")),
         *val = strdup(path_in(directory, "val.h5"));
    Tokenizer *tokenizer;
    REQUIRE_OK(tokenizer_open("byte", &tokenizer));
    for (int round = 0; round < 2; round++) {
        if (round == 1) dataset_write(train, "tokens", H5T_STD_U16LE, 1, H5P_DEFAULT, 0);
        TokenWriter *pair[2] = {finished(train, tokenizer), finished(val, tokenizer)};
        CHECK(mkdir(val, 0777) == 0);
        Status status = token_writers_publish(pair, 2);
        CHECK(failed(status) && strstr(status_message(), "val.h5") != NULL);
        if (round == 0) CHECK(access(train, F_OK) != 0);
        if (round == 1) CHECK(count_of(train) == TOKENS);
        CHECK(rmdir(val) == 0);
        for (int i = 0; i < 2; i++) token_writer_destroy(&pair[i]);
    }
    CHECK(remove(train) == 0 && rmdir(directory) == 0); /* no other file is left */
    CHECK(mkdir(directory, 0777) == 0);
    tokenizer_destroy(&tokenizer);
    free(train);
    free(val);
}

static void a_missing_directory_is_named(void) {
    Tokenizer *tokenizer;
    TokenWriter *writer;
    REQUIRE_OK(tokenizer_open("byte", &tokenizer));
    const char *path = path_in(harness_directory(), "none/train.h5");
    CHECK_ERROR(token_writer_create(path, TOKENS_HDF5, tokenizer, &writer), STATUS_FAILURE,
                "none/train.h5: cannot write: No such file");
    tokenizer_destroy(&tokenizer);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(plain_files_of_others_are_read),  TEST(files_that_cannot_be_mapped_are_refused),
        TEST(links_are_not_followed),          TEST(truncated_files_of_others_are_refused),
        TEST(tokens_of_odd_types_are_refused), TEST(attributes_of_odd_types_say_nothing),
        TEST(broken_types_never_crash),        TEST(the_offset_does_not_depend_on_the_count),
        TEST(only_token_files_are_replaced),   TEST(a_pair_has_both_names_or_neither),
        TEST(a_missing_directory_is_named),
    };
    return harness_run(argc, argv, "hdf5_tokens", tests, COUNT(tests));
}
