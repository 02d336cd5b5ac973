/* In the place of zstd_frames.c in a build without libzstd. */
#include "data/decompressor.h"
#include "data/zstd_magic.h"

static Status absent_create(Decompressor **out) {
    *out = NULL;
    return ERROR(STATUS_DATA, "compressed with zstd, which this build cannot read; decompress it "
                              "with zstd -d, or install libzstd-dev and build again");
}

const Codec zstd_codec = {
    .name = "zstd", .magic = zstd_magic, .magic_bytes = sizeof zstd_magic, .create = absent_create};
