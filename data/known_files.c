#include "data/known_files.h"

#include <string.h>

#define NO_TEXT "leave it out, or take its text out of it with another program"

static const struct {
    const char *magic;
    size_t length;
    KnownFile file;
} kinds[] = {
    {"\x1f\x8b", 2, {"compressed with gzip", NULL, "decompress it first"}},
    {"\x28\xb5\x2f\xfd", 4, {"compressed with zstd", NULL, "decompress it first"}},
    {"\xfd\x37zXZ",
     5,
     {"compressed with xz", "decompress it first, with xz -d", "decompress it first"}},
    {"BZh",
     3,
     {"compressed with bzip2", "decompress it first, with bzip2 -d", "decompress it first"}},
    {"PK\x03\x04",
     4,
     {"a zip archive or a PyTorch checkpoint", "unpack it first, with unzip",
      "use ./prepare on the text in it"}},
    {"\x93NUMPY",
     6,
     {"a NumPy array", "use ./prepare on the text that it was made from",
      "write its uint16 elements without a header, or use ./prepare on the text"}},
    {"PAR1", 4, {"a Parquet file", NULL, "use ./prepare on it, with --field"}},
    {"ARROW1", 6, {"an Arrow file", NULL, "use ./prepare on it, with --field"}},
    {"\xff\xff\xff\xff", 4, {"an Arrow stream", NULL, NULL}},
    {"\x89HDF\r\n",
     6,
     {"an HDF5 file", "if it holds tokens, name it as data.train; else take its text out", NULL}},
    {"hourglass tokens", 16, {"a token file", "it is ready for data.train", NULL}},
    {"\x88\xd8\x34\x01", 4, {"a token file of llm.c", "it is ready for data.train", NULL}},
    {"\xa1\xd9\x34\x01", 4, {"a token file of llm.c", "it is ready for data.train", NULL}},
    {"\xff\xfe",
     2,
     {"text in UTF-16", "convert it first, with iconv -f UTF-16 -t UTF-8",
      "convert it with iconv -f UTF-16 -t UTF-8 and use ./prepare"}},
    {"\xfe\xff", 2, {"text in UTF-16", "convert it first, with iconv -f UTF-16 -t UTF-8", NULL}},
    {"%PDF-", 5, {"a PDF file", "take the text out of it first, with pdftotext", NULL}},
    {"\x89PNG", 4, {"a PNG image", NO_TEXT, NULL}},
    {"\xff\xd8\xff", 3, {"a JPEG image", NO_TEXT, NULL}},
    {"GIF8", 4, {"a GIF image", NO_TEXT, NULL}},
    {"\x7f"
     "ELF",
     4,
     {"a program", NO_TEXT, NULL}},
    {"SQLite format 3", 15, {"an SQLite database", NO_TEXT, NULL}},
};

const KnownFile *known_file_find(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t length = kinds[i].length;
        if (size >= length && memcmp(bytes, kinds[i].magic, length) == 0) return &kinds[i].file;
    }
    return NULL;
}
