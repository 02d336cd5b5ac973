/* Event files byte by byte: the checksum, the encoding of messages, the framing of records. */
#include "core/base/file.h"
#include "launch/base/crc32c.h"
#include "launch/base/protobuf.h"
#include "launch/run/event_file.h"
#include "tests/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3720, appendix B.4, and the check value of the catalogue of CRCs. */
static void known_checksums(void) {
    unsigned char zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++) rising[i] = (unsigned char)i;
    CHECK(crc32c("123456789", 9) == 0xe3069283);
    CHECK(crc32c(zeros, 32) == 0x8a9136aa);
    CHECK(crc32c(ones, 32) == 0x62a8ab43);
    CHECK(crc32c(rising, 32) == 0x46dd794e);
    CHECK(crc32c("", 0) == 0);
}

static void check_message(ProtoMessage *m, const void *wanted, size_t size) {
    CHECK(proto_end(m));
    CHECK(m->size == size && memcmp(m->bytes, wanted, size) == 0);
    proto_free(m);
}

/* The examples of the specification. */
static void known_messages(void) {
    ProtoMessage m, inner;
    proto_begin(&m);
    proto_begin(&inner);
    proto_int(&m, 1, 150);
    check_message(&m, "\x08\x96\x01", 3);
    proto_begin(&m);
    proto_string(&m, 2, "testing");
    check_message(&m, "\x12\x07testing", 9);
    proto_begin(&m);
    proto_int(&inner, 1, 150);
    proto_message(&m, 3, &inner);
    check_message(&m, "\x1a\x03\x08\x96\x01", 5);
    proto_begin(&m);
    proto_int(&m, 1, -1);
    check_message(&m, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
    proto_begin(&m);
    proto_double(&m, 1, 1);
    proto_float(&m, 2, 1);
    check_message(&m, "\x09\0\0\0\0\0\0\xf0\x3f\x15\0\0\x80\x3f", 14);
}

static bool name_keep(void *path, const char *name) {
    strncat(path, name, 255);
    return false;
}

static uint32_t masked(const void *bytes, size_t size) {
    uint32_t crc = crc32c(bytes, size);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* The number of records of the file; checks the frame of each. */
static int records_check(const char *bytes, size_t size) {
    int count = 0;
    while (size > 0) {
        uint64_t length;
        uint32_t crc;
        CHECK(size >= 12);
        memcpy(&length, bytes, sizeof length);
        memcpy(&crc, bytes + 8, sizeof crc);
        CHECK(crc == masked(&length, sizeof length) && length + 16 <= size);
        if (length + 16 > size) return -1;
        memcpy(&crc, bytes + 12 + length, sizeof crc);
        CHECK(crc == masked(bytes + 12, length));
        bytes += length + 16;
        size -= length + 16;
        count++;
    }
    return count;
}

static void records_are_framed(void) {
    const char *folder = harness_directory();
    EventFile *file = NULL;
    json_t *record =
        json_pack("{s:i, s:f, s:n, s:i}", "step", 7, "train/loss", 2.5, "val/loss", "tokens", 70);
    char path[PATH_MAX], *bytes = NULL;
    size_t size = 0;
    REQUIRE_OK(event_file_create(folder, 5, &file));
    CHECK_OK(event_file_scalars(file, 7, record));
    CHECK_OK(event_file_text(file, 7, "config", "a: 1\nb: 2\n"));
    event_file_close(&file);
    json_decref(record);
    snprintf(path, sizeof path, "%s/", folder);
    CHECK_OK(file_list(folder, name_keep, path));
    CHECK(strstr(path, "/events.out.tfevents.") != NULL);
    CHECK_OK(file_read_all(path, 1 << 20, &bytes, &size));
    CHECK(records_check(bytes, size) == 4); /* the version, the restart, numbers, text */
    CHECK(memmem(bytes, size, "brain.Event:2", 13) != NULL);
    CHECK(memmem(bytes, size, "\x0a\x06tokens\x15\0\0\x8c\x42", 13) != NULL);
    CHECK(memmem(bytes, size, "val/loss", 8) == NULL && memmem(bytes, size, "step", 4) == NULL);
    CHECK(memmem(bytes, size, "    a: 1\n    b: 2\n", 18) != NULL);
    free(bytes);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(known_checksums), TEST(known_messages), TEST(records_are_framed)};
    return harness_run(argc, argv, "event_file", tests, COUNT(tests));
}
