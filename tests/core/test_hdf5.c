/* The reader of HDF5 files: both formats of HDF5, and files that lie about their sizes. */
#include "core/hdf5/hdf5_file.h"
#include "tests/harness.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 5, MOST_BYTES = 1 << 16 };

static char path[512];

/* Creates the file of this test. */
static hid_t file_begin(hid_t creation, hid_t access) {
    snprintf(path, sizeof path, "%s/file.h5", harness_directory());
    return H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
}

/* Adds a dataset of VALUES elements. */
static hid_t set_begin(hid_t file, const char *name, hid_t type, hid_t creation) {
    hid_t space = H5Screate_simple(1, &(hsize_t){VALUES}, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Sclose(space);
    return set;
}

/* Adds the attribute a`number` = 7 + number. */
static void attribute_add(hid_t set, int64_t number) {
    int64_t value = 7 + number;
    char name[16];
    snprintf(name, sizeof name, "a%lld", (long long)number);
    hid_t scalar = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(set, name, H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, H5T_NATIVE_INT64, &value) >= 0);
    H5Aclose(attribute), H5Sclose(scalar);
}

/* A file with `count` datasets d0, d1, ..., each with as many attributes a0 = 7, a1 = 8, ... */
static void hdf5_write(bool is_new, int count) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), list = H5Pcreate(H5P_DATASET_CREATE);
    if (is_new) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t file = file_begin(H5P_DEFAULT, access);
    H5Pset_alloc_time(list, H5D_ALLOC_TIME_EARLY);
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        hid_t set = set_begin(file, name, H5T_STD_U16LE, list);
        for (int64_t a = 0; a < count; a++) attribute_add(set, a);
        H5Dclose(set);
    }
    H5Fclose(file), H5Pclose(list), H5Pclose(access);
}

static Status set_look(const Hdf5File *file, uint64_t address, Hdf5Dataset *set, int64_t *value) {
    Hdf5Object object;
    Hdf5Value found = {0};
    bool is_there = false;
    TRY(hdf5_object_read(file, address, &object));
    Status status = hdf5_dataset_describe(file, &object, set);
    if (!failed(status)) status = hdf5_attribute_find(file, &object, "a1", &found, &is_there);
    bool is_integer = is_there && found.data != NULL && found.type.kind == HDF5_INTEGER;
    *value = !failed(status) && is_integer ? hdf5_integer(&found) : 0;
    hdf5_object_free(&object);
    return status;
}

static Status look(const InputFile *input, Hdf5Dataset *set, int64_t *value) {
    Hdf5File file;
    Hdf5Object root;
    Hdf5Links links;
    Arena arena = {0};
    TRY(hdf5_open(input, &file));
    TRY(hdf5_object_read(&file, file.root, &root));
    Status status = hdf5_links_read(&file, &root, &arena, &links);
    const Hdf5Link *link = failed(status) ? NULL : hdf5_link_find(&links, "d1");
    *value = 0;
    if (link != NULL) status = set_look(&file, link->address, set, value);
    hdf5_object_free(&root);
    arena_free(&arena);
    return status;
}

/* Reads the attribute a1 and the shape of d1, as far as they are there. */
static Status file_look(Hdf5Dataset *set, int64_t *value) {
    InputFile input;
    TRY(input_open(path, &input));
    Status status = look(&input, set, value);
    input_close(&input);
    return status;
}

static void both_formats_are_read(void) {
    for (int is_new = 0; is_new < 2; is_new++) {
        Hdf5Dataset set;
        int64_t value;
        hdf5_write(is_new, 5);
        REQUIRE_OK(file_look(&set, &value));
        CHECK(value == 8 && set.rank == 1 && set.dims[0] == VALUES && set.is_contiguous);
        CHECK(set.type.kind == HDF5_INTEGER && set.type.size == 2 && !set.type.is_signed);
        CHECK(set.bytes == 2 * VALUES && !set.is_filtered && !set.is_external);
    }
}

/* Old groups and headers have no limit; new ones move what exceeds 8 to a heap. */
static void many_links_and_attributes(void) {
    Hdf5Dataset set;
    int64_t value;
    hdf5_write(false, 40);
    REQUIRE_OK(file_look(&set, &value));
    CHECK(value == 8 && set.dims[0] == VALUES);
    hdf5_write(true, 9);
    CHECK_ERROR(file_look(&set, &value), STATUS_DATA, "more links in a group than fit");
}

/* HDF5 1.10 crashes on some headers that share messages with others. */
static void shared_messages_are_refused(void) {
    Hdf5Dataset set;
    int64_t value;
    hid_t list = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_shared_mesg_nindexes(list, 1);
    H5Pset_shared_mesg_index(list, 0, H5O_SHMESG_ALL_FLAG, 1);
    hid_t file = file_begin(list, H5P_DEFAULT);
    H5Dclose(set_begin(file, "d0", H5T_STD_U16LE, H5P_DEFAULT));
    H5Dclose(set_begin(file, "d1", H5T_STD_U16LE, H5P_DEFAULT));
    H5Pclose(list), H5Fclose(file);
    CHECK_ERROR(file_look(&set, &value), STATUS_DATA, "shares its type or shape");
}

/* Not written here, but sound: the message must not say that the file is damaged. */
static void a_committed_type_is_refused(void) {
    Hdf5Dataset set;
    int64_t value;
    hid_t file = file_begin(H5P_DEFAULT, H5P_DEFAULT), type = H5Tcopy(H5T_STD_U16LE);
    CHECK(H5Tcommit2(file, "t", type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Dclose(set_begin(file, "d1", type, H5P_DEFAULT));
    H5Tclose(type), H5Fclose(file);
    CHECK_ERROR(file_look(&set, &value), STATUS_DATA,
                "committed datatype, which is not read; copy");
}

/* ---- lies ------------------------------------------------------------------------------------ */

static unsigned char good[MOST_BYTES], bad[MOST_BYTES];
static size_t size;

static void good_read(void) {
    FILE *file = fopen(path, "rb");
    size = fread(good, 1, sizeof good, file);
    CHECK(feof(file) && size > 0);
    fclose(file);
}

static void bad_write(void) {
    FILE *file = fopen(path, "wb");
    CHECK(fwrite(bad, 1, size, file) == size && fclose(file) == 0);
}

/* The attribute's sizes of name, type and space, and that of its values: HDF5 1.10 copies what they
 * ask for. */
static void attributes_end_with_their_message(void) {
    static const unsigned char type[12] = {0x10, 8, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0};
    for (int is_new = 0; is_new < 2; is_new++) {
        hdf5_write(is_new, 2);
        good_read();
        size_t before = is_new ? 3 : 8; /* the padded name */
        unsigned char *last = NULL, *at = good;
        while ((at = memmem(at, size - (size_t)(at - good), type, sizeof type)) != NULL)
            last = at++;
        CHECK(last != NULL && memcmp(last - before, "a1", 3) == 0);
        size_t place = (size_t)(last - good), sizes = place - before - (is_new ? 7 : 6);
        const size_t lies[] = {sizes, sizes + 2, sizes + 4, place + 4, place + 6};
        for (size_t i = 0; i < COUNT(lies); i++) {
            Hdf5Dataset set;
            int64_t value;
            memcpy(bad, good, size);
            memset(bad + lies[i], 0xff, 2);
            bad_write();
            CHECK_ERROR(file_look(&set, &value), STATUS_DATA, "is damaged or truncated");
        }
    }
}

/* Each byte of a file, with values at which sizes and addresses change their meaning. */
static void every_byte_may_be_wrong(void) {
    static const unsigned char values[] = {0, 1, 0x7f, 0x80, 0xff};
    for (int is_new = 0; is_new < 2; is_new++) {
        hdf5_write(is_new, 2);
        good_read();
        for (size_t i = 0; i < size; i++) {
            for (size_t v = 0; v < COUNT(values); v++) {
                Hdf5Dataset set;
                int64_t value;
                if (good[i] == values[v]) continue;
                memcpy(bad, good, size);
                bad[i] = values[v];
                bad_write();
                Status status = file_look(&set, &value);
                CHECK(!failed(status) || status.code == STATUS_DATA);
            }
        }
    }
}

/* A node whose children are all itself, or itself again on each level. */
static void trees_end(void) {
    Hdf5Dataset set;
    int64_t value;
    hdf5_write(false, 2);
    good_read();
    unsigned char *tree = memmem(good, size, "TREE", 4);
    CHECK(tree != NULL);
    size_t at = (size_t)(tree - good);
    for (int level = 0; level < 4; level++) {
        memcpy(bad, good, size);
        bad[at + 5] = (unsigned char)level;
        memset(bad + at + 6, 0xff, 2);
        uint64_t child = at, room = (size - at - 24) / 16;
        for (uint64_t i = 0; i < room && level > 0; i++)
            memcpy(bad + at + 32 + 16 * i, &child, sizeof child);
        bad_write();
        CHECK_ERROR(file_look(&set, &value), STATUS_DATA, "is damaged or truncated");
    }
}

/* All entries of a node that name the first link's name: copies of it would be a multiple of the
 * file. */
static void links_have_names_of_their_own(void) {
    Hdf5Dataset set;
    int64_t value;
    hdf5_write(false, 8);
    good_read();
    unsigned char *node = memmem(good, size, "SNOD", 4), *heap = memmem(good, size, "HEAP", 4);
    CHECK(node != NULL && heap != NULL);
    memcpy(bad, good, size);
    uint64_t names;
    memcpy(&names, heap + 24, sizeof names);
    memset(bad + names, 'x', 80); /* of some 90 bytes; 8 times as long as all names */
    for (int i = 0; i < 8; i++) memset(bad + (node - good) + 8 + 40 * i, 0, 8);
    bad_write();
    CHECK_ERROR(file_look(&set, &value), STATUS_DATA, "is damaged or truncated");
}

/* HDF5's old format opens another chunk of a header whenever something lies behind it. */
static void headers_may_have_many_chunks(void) {
    Hdf5Dataset set;
    int64_t value;
    hid_t file = file_begin(H5P_DEFAULT, H5P_DEFAULT);
    hid_t d1 = set_begin(file, "d1", H5T_STD_U16LE, H5P_DEFAULT);
    for (int64_t i = 0; i < 200; i++) {
        char name[16];
        attribute_add(d1, i);
        snprintf(name, sizeof name, "e%lld", (long long)i);
        H5Dclose(set_begin(file, name, H5T_STD_U16LE, H5P_DEFAULT));
    }
    H5Dclose(d1), H5Fclose(file);
    REQUIRE_OK(file_look(&set, &value));
    CHECK(value == 8 && set.dims[0] == VALUES);
}

static void a_user_block_may_be_large(void) {
    hid_t list = H5Pcreate(H5P_FILE_CREATE);
    InputFile input;
    Hdf5File found;
    H5Pset_userblock(list, 8192);
    H5Fclose(file_begin(list, H5P_DEFAULT));
    H5Pclose(list);
    REQUIRE_OK(input_open(path, &input));
    CHECK_OK(hdf5_open(&input, &found));
    CHECK(found.base == 8192);
    input_close(&input);
}

/* The flags of a file in the newest format say whether a program has it open for writing. */
static void an_open_file_is_refused(void) {
    Hdf5Dataset set;
    int64_t value;
    hdf5_write(true, 2);
    good_read();
    memcpy(bad, good, size);
    CHECK(bad[8] == 3 && bad[11] == 0);
    bad[11] = 1;
    bad_write();
    CHECK_ERROR(file_look(&set, &value), STATUS_DATA, "has not closed it");
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(both_formats_are_read),
        TEST(many_links_and_attributes),
        TEST(shared_messages_are_refused),
        TEST(a_committed_type_is_refused),
        TEST(attributes_end_with_their_message),
        TEST(every_byte_may_be_wrong),
        TEST(trees_end),
        TEST(links_have_names_of_their_own),
        TEST(headers_may_have_many_chunks),
        TEST(a_user_block_may_be_large),
        TEST(an_open_file_is_refused),
    };
    return harness_run(argc, argv, "hdf5", tests, COUNT(tests));
}
