#include "data/known_files.h"

#include <stdbool.h>
#include <string.h>

#define NO_TEXT "leave it out, or take its text out of it with another program"
#define NO_TOKENS "make token files of text with ./prepare"

static const struct {
    size_t at; /* where the magic bytes stand */
    const char *magic;
    size_t length;
    KnownFile file;
} kinds[] = {
    {0, "\x1f\x8b", 2, {"compressed with gzip", NULL, "decompress it first"}},
    {0, "\x28\xb5\x2f\xfd", 4, {"compressed with zstd", NULL, "decompress it first"}},
    {0,
     "\xfd\x37zXZ",
     5,
     {"compressed with xz", "decompress it first, with xz -d", "decompress it first"}},
    {0,
     "BZh",
     3,
     {"compressed with bzip2", "decompress it first, with bzip2 -d", "decompress it first"}},
    {0,
     "PK\x03\x04",
     4,
     {"a zip archive or a PyTorch checkpoint", "unpack it first, with unzip",
      "use ./prepare on the text in it"}},
    {0,
     "\x93NUMPY",
     6,
     {"a NumPy array", "use ./prepare on the text that it was made from",
      "write its uint16 elements without a header, or use ./prepare on the text"}},
    {0, "PAR1", 4, {"a Parquet file", NULL, "use ./prepare on it, with --field"}},
    {0, "ARROW1", 6, {"an Arrow file", NULL, "use ./prepare on it, with --field"}},
    {0, "\xff\xff\xff\xff", 4, {"an Arrow stream", NULL, NULL}},
    {0,
     "\x89HDF\r\n",
     6,
     {"an HDF5 file", "if it holds tokens, name it as data.train; else take its text out", NULL}},
    {0, "hourglass tokens", 16, {"a token file", "it is ready for data.train", NULL}},
    {0, "\x88\xd8\x34\x01", 4, {"a token file of llm.c", "it is ready for data.train", NULL}},
    {0, "\xa1\xd9\x34\x01", 4, {"a token file of llm.c", "it is ready for data.train", NULL}},
    {0,
     "\xff\xfe",
     2,
     {"text in UTF-16", "convert it first, with iconv -f UTF-16 -t UTF-8",
      "convert it with iconv -f UTF-16 -t UTF-8 and use ./prepare"}},
    {0,
     "\xfe\xff",
     2,
     {"text in UTF-16", "convert it first, with iconv -f UTF-16 -t UTF-8",
      "convert it with iconv -f UTF-16 -t UTF-8 and use ./prepare"}},
    {0, "%PDF-", 5, {"a PDF file", "take the text out of it first, with pdftotext", NO_TOKENS}},
    {0, "\x89PNG", 4, {"a PNG image", NO_TEXT, NO_TOKENS}},
    {0, "\xff\xd8\xff", 3, {"a JPEG image", NO_TEXT, NO_TOKENS}},
    {0, "GIF8", 4, {"a GIF image", NO_TEXT, NO_TOKENS}},
    {0,
     "\x7f"
     "ELF",
     4,
     {"a program", NO_TEXT, NO_TOKENS}},
    {0, "SQLite format 3", 15, {"an SQLite database", NO_TEXT, NO_TOKENS}},
    {0, "RIFF", 4, {"a sound, a picture or a film", NO_TEXT, NO_TOKENS}},
    {0, "\x80\x05\x95", 3, {"a pickle of Python", NO_TEXT, NO_TOKENS}},
    {0, "\x80\x04\x95", 3, {"a pickle of Python", NO_TEXT, NO_TOKENS}},
    {0, "\x80\x03]q\0", 5, {"a pickle of Python", NO_TEXT, NO_TOKENS}},
    {0, "\x80\x03}q\0", 5, {"a pickle of Python", NO_TEXT, NO_TOKENS}},
    {0, "\x80\x02]q\0", 5, {"a pickle of Python", NO_TEXT, NO_TOKENS}},
    {0, "\x80\x02}q\0", 5, {"a pickle of Python", NO_TEXT, NO_TOKENS}},
    {0,
     "MMIDIDX",
     7,
     {"an index of Megatron-LM", NO_TEXT, "name the *.bin beside it, if its tokens are uint16"}},
    {257,
     "ustar",
     5,
     {"a tar archive", "unpack it first, with tar -xf", "use ./prepare on its text"}},
    {0, "\xc6\xd7\x34\x01", 4, {"a model of llm.c", NO_TEXT, "name the data that it reads"}},
    {0, "\x8a\xd8\x34\x01", 4, {"questions of llm.c", NO_TEXT, "./evaluate takes them"}},
    {4, "\0\0\0\0{\"", 6, {"weights in safetensors", NO_TEXT, "name the data that they read"}},
};

const KnownFile *known_file_find(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t at = kinds[i].at, length = kinds[i].length;
        bool is_it = size >= at + length && memcmp(bytes + at, kinds[i].magic, length) == 0;
        if (is_it) return &kinds[i].file;
    }
    return NULL;
}
