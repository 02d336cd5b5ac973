#include "data/token_file.h"
#include "data/token_text.h"
#include "data/token_writer.h"
#include "tests/data/data_helper.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOKENS = 5000 };

/* Tokens that the byte tokenizer could have made. */
static int32_t token_at(int64_t i) { return (int32_t)(i * 7 % 257); }

static TokenBuffer some_tokens(void) {
    TokenBuffer tokens = {0};
    CHECK_OK(token_buffer_reserve(&tokens, TOKENS));
    for (int i = 0; i < TOKENS; i++) tokens.tokens[i] = token_at(i);
    tokens.count = TOKENS;
    return tokens;
}

/* Writes TOKENS byte tokens as ./prepare does. */
static void tokens_write(const char *path, TokenFormat format) {
    Tokenizer *tokenizer;
    TokenWriter *writer = NULL;
    TokenBuffer tokens = some_tokens();
    REQUIRE_OK(tokenizer_open("byte", &tokenizer));
    REQUIRE_OK(token_writer_create(path, format, tokenizer, &writer));
    CHECK_OK(token_writer_append(writer, &tokens));
    CHECK_OK(token_writer_finish(writer));
    CHECK_OK(token_writers_publish(&writer, 1));
    CHECK(token_writer_count(writer) == TOKENS);
    token_writer_destroy(&writer);
    tokenizer_destroy(&tokenizer);
    token_buffer_free(&tokens);
}

/* llm.c's format: a header of 256 int32 and the tokens. */
static void llmc_write(const char *path, int32_t magic, int32_t version, int32_t claimed,
                       int width) {
    static uint8_t bytes[1024 + 4 * TOKENS];
    int32_t header[256] = {magic, version, claimed};
    memcpy(bytes, header, sizeof header);
    for (int i = 0; i < TOKENS; i++)
        memcpy(bytes + 1024 + i * width, &(int32_t){token_at(i)}, (size_t)width);
    file_write(path, bytes, 1024 + (size_t)(width * TOKENS));
}

static void check_tokens(const char *path, TokenFormat format) {
    TokenFile *file;
    int32_t window[100];
    uint64_t dice = 3;
    REQUIRE_OK(token_file_open(path, &file));
    CHECK(token_file_format(file) == format);
    CHECK(token_file_count(file) == TOKENS);
    CHECK(strcmp(token_file_path(file), path) == 0);
    for (int round = 0; round < 100; round++) {
        int64_t start = (int64_t)dice_roll(&dice, TOKENS - 99);
        CHECK_OK(token_file_read(file, start, 100, window));
        for (int i = 0; i < 100; i++) CHECK(window[i] == token_at(start + i));
    }
    CHECK_ERROR(token_file_read(file, TOKENS - 99, 100, window), STATUS_FAILURE, "outside");
    CHECK_ERROR(token_file_read(file, -1, 1, window), STATUS_FAILURE, "outside");
    token_file_destroy(&file);
}

static void formats_are_told_apart_by_content(void) {
    const char *directory = harness_directory();
    /* The names deliberately contradict the content. */
    tokens_write(path_in(directory, "hdf5.bin"), TOKENS_HDF5);
    tokens_write(path_in(directory, "nanogpt.h5"), TOKENS_NANOGPT);
    llmc_write(path_in(directory, "llmc.txt"), 20240520, 1, TOKENS, 2);
    llmc_write(path_in(directory, "llmc4"), 20240801, 7, TOKENS, 4);
    check_tokens(path_in(directory, "hdf5.bin"), TOKENS_HDF5);
    check_tokens(path_in(directory, "nanogpt.h5"), TOKENS_NANOGPT);
    check_tokens(path_in(directory, "llmc.txt"), TOKENS_LLMC);
    check_tokens(path_in(directory, "llmc4"), TOKENS_LLMC);
}

static void our_files_name_their_tokenizer(void) {
    const char *path = path_in(harness_directory(), "train.h5");
    TokenFile *file;
    Tokenizer *tokenizer;
    tokens_write(path, TOKENS_HDF5);
    REQUIRE_OK(tokenizer_open("byte", &tokenizer));
    REQUIRE_OK(token_file_open(path, &file));
    CHECK(strcmp(token_file_tokenizer(file), "byte") == 0);
    CHECK(token_file_tokenizer_hash(file) == tokenizer_hash(tokenizer));
    CHECK(token_file_vocab(file) == 257 && token_file_end_of_text(file) == 256);
    CHECK_OK(token_file_require_vocab(file, 320));
    CHECK_ERROR(token_file_require_vocab(file, 256), STATUS_DATA,
                "a vocabulary of 257 tokens, more than the model's 256");
    token_file_destroy(&file);
    tokenizer_destroy(&tokenizer);
}

static void other_files_name_none(void) {
    const char *path = path_in(harness_directory(), "tokens");
    TokenFile *file;
    llmc_write(path, 20240520, 1, TOKENS, 2);
    REQUIRE_OK(token_file_open(path, &file));
    CHECK(strcmp(token_file_tokenizer(file), "") == 0 && token_file_tokenizer_hash(file) == 0);
    CHECK(token_file_vocab(file) == 0 && token_file_end_of_text(file) == -1);
    CHECK_ERROR(token_file_require_vocab(file, 256), STATUS_DATA, "token 256 at position ");
    token_file_destroy(&file);
    llmc_write(path, 20240801, 7, TOKENS, 4); /* llm.c's Llama 3 */
    REQUIRE_OK(token_file_open(path, &file));
    CHECK(strcmp(token_file_tokenizer(file), TOKENIZER_UNKNOWN) == 0);
    token_file_destroy(&file);
}

static void gpt2_is_assumed_for_its_vocabulary_alone(void) {
    CHECK(strcmp(tokenizer_assumed("", 50257), "gpt2") == 0);
    CHECK(strcmp(tokenizer_assumed("", 50304), "gpt2") == 0);
    CHECK(!tokenizer_is_named(tokenizer_assumed("", 257)));
    CHECK(!tokenizer_is_named(tokenizer_assumed("", 60000)));
    CHECK(!tokenizer_is_named(tokenizer_assumed(TOKENIZER_UNKNOWN, 50257)));
    CHECK(strcmp(tokenizer_assumed("byte", 50257), "byte") == 0);
}

/* A token beyond the part that is scanned at the start is found when its window is read. */
static void every_window_is_checked(void) {
    const char *path = path_in(harness_directory(), "tokens");
    enum { MANY = 160 << 20 };
    TokenFile *file;
    int32_t window[10];
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    /* After the hundredth block that is scanned. */
    int64_t at = (MANY - (1 << 19)) / 255 * 100 + (1 << 19) + 5;
    CHECK(ftruncate(fd, 2LL * MANY) == 0 && pwrite(fd, &(uint16_t){999}, 2, 2 * at) == 2);
    close(fd);
    REQUIRE_OK(token_file_open(path, &file));
    CHECK_OK(token_file_require_vocab(file, 900));
    CHECK_OK(token_file_read(file, at - 10, 10, window));
    CHECK_ERROR(token_file_read(file, at - 9, 10, window), STATUS_DATA, "token 999 at position ");
    CHECK_ERROR(token_file_read(file, at, 10, window), STATUS_DATA, "vocabulary size 900");
    token_file_destroy(&file);
}

/* ---- bad files ------------------------------------------------------------------------------- */

static const char *bad_directory;

static const char *bad_path(void) { return path_in(bad_directory, "bad"); }

static void check_bad(const char *message) {
    TokenFile *file;
    CHECK_ERROR(token_file_open(bad_path(), &file), STATUS_DATA, message);
    CHECK_ERROR(token_file_open(bad_path(), &file), STATUS_DATA, bad_path());
    CHECK(file == NULL);
    remove(bad_path());
}

static void check_bad_bytes(const char *bytes, size_t size, const char *message) {
    file_write(bad_path(), bytes, size);
    check_bad(message);
}

/* With the high byte first UTF-16 is no token file; with the low byte first it may be one. */
static void utf16_without_a_mark(void) {
    static const char text[] = "To be,\nor not to be: that";
    char high[2 * sizeof text] = "", low[2 * sizeof text] = "";
    TokenFile *file;
    for (size_t i = 0; i < sizeof text - 1; i++) high[2 * i + 1] = low[2 * i] = text[i];
    bad_directory = harness_directory();
    file_write(bad_path(), low, 2 * sizeof text - 2);
    REQUIRE_OK(token_file_open(bad_path(), &file));
    CHECK(token_file_count(file) == sizeof text - 1);
    token_file_destroy(&file);
    file_write(bad_path(), high, 30); /* too short to tell */
    REQUIRE_OK(token_file_open(bad_path(), &file));
    token_file_destroy(&file);
    check_bad_bytes(high, 2 * sizeof text - 2, "it is text in UTF-16; convert it with iconv");
    memcpy(high + 10, "\x20\x19", 2); /* an apostrophe */
    check_bad_bytes(high, 2 * sizeof text - 2, "it is text in UTF-16");
}

/* Arrays of wider elements; arrays of uint16 that have something of them are token files. */
static void wide_elements_are_refused(void) {
    enum { N = 256 };
    uint32_t ids[N], large[N], few[N];
    int64_t longs[N];
    float reals[N];
    uint16_t spaced[2 * N], same[2 * N], zeros[2 * N] = {0};
    TokenFile *file;
    bad_directory = harness_directory();
    for (uint32_t i = 0; i < N; i++) {
        longs[i] = ids[i] = i * 97 % 5000;
        large[i] = i * 50021 % 128256;
        few[i] = i % 3 + (uint32_t)(i == 9) * (1 << 16);
        reals[i] = (float)i / 7;
        spaced[2 * i] = (uint16_t)(i * 97 % 5000);
        spaced[2 * i + 1] = i == 15 ? 13 : 0;
        same[2 * i] = same[2 * i + 1] = 14000;
    }
    check_bad_bytes((char *)ids, 64, "its elements are integers of 32 or 64 bits; write them as");
    check_bad_bytes((char *)longs, sizeof longs, "integers of 32 or 64 bits");
    check_bad_bytes((char *)large, sizeof large, "integers of 32 or 64 bits");
    check_bad_bytes((char *)reals, sizeof reals, "floating-point numbers");
    const struct {
        const void *bytes;
        size_t size;
    } tokens[] = {{ids, 60},
                  {spaced, sizeof spaced},
                  {same, sizeof same},
                  {few, sizeof few},
                  {zeros, sizeof zeros}};
    for (size_t i = 0; i < COUNT(tokens); i++) {
        file_write(bad_path(), tokens[i].bytes, tokens[i].size);
        if (CHECK_OK(token_file_open(bad_path(), &file))) token_file_destroy(&file);
    }
}

static void bad_headerless_files(void) {
    bad_directory = harness_directory();
    check_bad("no such file; make it with ./prepare INPUT... --out=");
    check_bad_bytes("", 0, "empty");
    check_bad_bytes("\x01", 1, "1 bytes are not a whole number of uint16 tokens");
    check_bad_bytes("\x01\x00\x02\x00\x03", 5, "5 bytes are not a whole number");
    check_bad_bytes("To be, or not to be, that is the question.", 42,
                    "is text, not a token file; make token files with ./prepare");
    check_bad_bytes("\xC3\x80 la for\xC3\xAAt, en \xC3\xA9t\xC3\xA9: \xE2\x80\x9Cl\xE0", 29,
                    "is text, not a token file"); /* the last character is cut */
    check_bad_bytes("\x1f\x8b\x08\x00", 4, "gzip; decompress it first");
    check_bad_bytes("\x28\xb5\x2f\xfd\x00\x00", 6, "zstd; decompress it first");
    check_bad_bytes("PK\x03\x04\x00\x00", 6, "zip archive");
    check_bad_bytes("\x93NUMPY\x01\x00", 8, "NumPy array");
    check_bad_bytes("PAR1\x00\x00", 6, "Parquet");
    check_bad_bytes("\x7f\x45LF\x02\x01", 6, "a program; make token files of text");
    check_bad_bytes("RIFF\x10\x00", 6, "a sound");
    check_bad_bytes("MMIDIDX\x00\x00\x01", 10, "an index of Megatron-LM; name the *.bin");
    check_bad_bytes("\x80\x02]q\x00(K", 7, "a pickle of Python");
    check_bad_bytes("\x80\x05\x95\x10", 4, "a pickle of Python");
    check_bad_bytes("\x80\x04\x95\x00", 4, "a pickle of Python");
    check_bad_bytes("\xc6\xd7\x34\x01\x03\x00", 6, "a model of llm.c");
    check_bad_bytes("\x8a\xd8\x34\x01\x01\x00", 6, "./evaluate takes them");
    check_bad_bytes("\x10\x02\x00\x00\x00\x00\x00\x00{\"a\"", 12, "safetensors");
    char archive[512] = "text";
    memcpy(archive + 257, "ustar", 5);
    check_bad_bytes(archive, sizeof archive, "a tar archive; use ./prepare on its text");
    mkdir(bad_path(), 0777);
    check_bad("a directory; name a token file in it, such as ");
    CHECK(mkfifo(bad_path(), 0666) == 0);
    check_bad("not a regular file");
    TokenFile *file;
    CHECK_ERROR(token_file_open("datasets/owt/none.bin", &file), STATUS_DATA,
                "--out=datasets/owt --format=bin");
    CHECK_ERROR(token_file_open("none.h5", &file), STATUS_DATA,
                "none.h5: no such file; make it with ./prepare INPUT... --out=.");
    char slashes[512], hint[512];
    snprintf(slashes, sizeof slashes, "%s//", bad_directory);
    snprintf(hint, sizeof hint, "name a token file in it, such as %s/train.h5", bad_directory);
    CHECK_ERROR(token_file_open(slashes, &file), STATUS_DATA, hint);
}

static void bad_llmc_files(void) {
    bad_directory = harness_directory();
    llmc_write(bad_path(), 20240520, 2, TOKENS, 2);
    check_bad("magic number 20240520 with the unknown version 2 (known: 1)");
    llmc_write(bad_path(), 20240801, 1, TOKENS, 4);
    check_bad("magic number 20240801 with the unknown version 1 (known: 7)");
    llmc_write(bad_path(), 20240326, 1, TOKENS, 2); /* a checkpoint of llm.c, not tokens */
    check_bad("wrong magic number: llm.c's token files have 20240520 or 20240801");
    llmc_write(bad_path(), 20240520, 1, TOKENS + 1, 2);
    check_bad("its header says 5001 tokens, the file holds 5000: truncated");
    llmc_write(bad_path(), 20240520, 1, TOKENS - 1, 2);
    check_bad("its header says 4999 tokens");
    llmc_write(bad_path(), 20240520, 1, -5, 2);
    check_bad("its header says -5 tokens");
    llmc_write(bad_path(), 20240801, 7, TOKENS, 4);
    CHECK(truncate(bad_path(), 1024 + 4 * TOKENS - 1) == 0);
    check_bad("truncated or damaged");
    llmc_write(bad_path(), 20240520, 1, TOKENS, 2);
    CHECK(truncate(bad_path(), 1000) == 0);
    check_bad("truncated: llm.c's header alone is 1024 bytes");
}

/* Root may read everything, so the test temporarily becomes another user. */
static void a_file_without_permission(void) {
    bad_directory = harness_directory();
    tokens_write(bad_path(), TOKENS_HDF5);
    CHECK(chmod(bad_path(), 0) == 0 && chmod(bad_directory, 0755) == 0);
    bool is_root = geteuid() == 0;
    if (is_root) CHECK(seteuid(65534) == 0);
    TokenFile *file;
    CHECK_ERROR(token_file_open(bad_path(), &file), STATUS_DATA,
                "no permission to read it; run chmod +r");
    if (is_root) CHECK(seteuid(0) == 0);
}

static void truncated_and_damaged_files_of_ours(void) {
    size_t size;
    bad_directory = harness_directory();
    tokens_write(bad_path(), TOKENS_HDF5);
    uint8_t *bytes = file_read(bad_path(), &size);
    const size_t cuts[] = {512, 600, 4096, size - 1};
    for (size_t i = 0; i < COUNT(cuts); i++) {
        file_write(bad_path(), bytes, cuts[i]);
        check_bad("truncated to ");
    }
    file_write(bad_path(), bytes, 100);
    check_bad("truncated to 100 of ");
    bytes[700] ^= 1;
    file_write(bad_path(), bytes, size);
    check_bad("the header of this token file is damaged");
    bytes[700] ^= 1;
    bytes[size - 1] = 0xff;
    file_write(bad_path(), bytes, size);
    check_bad("at position 4999 is not below the vocabulary size 257");
    free(bytes);
}

/* Random damage gives an error or a file that can be read within its vocabulary, never a crash. */
static void damage(uint64_t *dice, const uint8_t *good, size_t size, uint8_t *out,
                   size_t *out_size) {
    memcpy(out, good, size);
    for (uint64_t n = 1 + dice_roll(dice, 8); n > 0; n--) {
        size_t range = dice_roll(dice, 2) == 0 && size > 64 ? 64 : size;
        out[dice_roll(dice, range)] = (uint8_t)dice_roll(dice, 256);
    }
    *out_size = dice_roll(dice, 4) == 0 ? dice_roll(dice, size) : size;
}

static void check_survives(const char *path) {
    TokenFile *file;
    int32_t window[64];
    Status status = token_file_open(path, &file);
    CHECK(failed(status) == (file == NULL));
    if (failed(status)) {
        CHECK(status.code == STATUS_DATA);
        return;
    }
    int64_t count = token_file_count(file), n = count < 64 ? count : 64;
    CHECK(count > 0);
    CHECK_OK(token_file_read(file, 0, n, window));
    CHECK_OK(token_file_read(file, count - n, n, window));
    token_file_destroy(&file);
}

static void random_damage_never_crashes(void) {
    const char *directory = harness_directory();
    char *paths[3] = {strdup(path_in(directory, "a")), strdup(path_in(directory, "b")),
                      strdup(path_in(directory, "c"))};
    uint64_t dice = 20;
    tokens_write(paths[0], TOKENS_HDF5);
    llmc_write(paths[1], 20240801, 7, TOKENS, 4);
    tokens_write(paths[2], TOKENS_NANOGPT);
    for (int kind = 0; kind < 3; kind++) {
        size_t size, damaged_size;
        uint8_t *good = file_read(paths[kind], &size), *damaged = malloc(size);
        for (int round = 0; round < 1000; round++) {
            damage(&dice, good, size, damaged, &damaged_size);
            file_write(paths[kind], damaged, damaged_size);
            check_survives(paths[kind]);
        }
        free(good);
        free(damaged);
        free(paths[kind]);
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(formats_are_told_apart_by_content),
        TEST(our_files_name_their_tokenizer),
        TEST(other_files_name_none),
        TEST(gpt2_is_assumed_for_its_vocabulary_alone),
        TEST(every_window_is_checked),
        TEST(utf16_without_a_mark),
        TEST(wide_elements_are_refused),
        TEST(bad_headerless_files),
        TEST(bad_llmc_files),
        TEST(a_file_without_permission),
        TEST(truncated_and_damaged_files_of_ours),
        TEST(random_damage_never_crashes),
    };
    return harness_run(argc, argv, "token_file", tests, COUNT(tests));
}
