#include "core/base/clock.h"
#include "data/token_identity.h"
#include "data/token_writer.h"
#include "tests/data/data_helper.h"
#include "tests/harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { TOKENS = 200000 };

static int32_t tokens[TOKENS];

static void tokens_fill(void) {
    for (int i = 0; i < TOKENS; i++) tokens[i] = i * 31 % 257;
}

/* ./prepare's formats, and llm.c's with four bytes per token. */
static void prepared_write(const char *path, TokenFormat format) {
    Tokenizer *tokenizer;
    TokenWriter *writer = NULL;
    REQUIRE_OK(tokenizer_open("byte", &tokenizer));
    REQUIRE_OK(token_writer_create(path, format, tokenizer, &writer));
    CHECK_OK(token_writer_append(writer, &(TokenBuffer){tokens, TOKENS, TOKENS}));
    CHECK_OK(token_writer_finish(writer));
    CHECK_OK(token_writers_publish(&writer, 1));
    token_writer_destroy(&writer);
    tokenizer_destroy(&tokenizer);
}

static void llmc_write(const char *path) {
    static int32_t file[256 + TOKENS];
    file[0] = 20240801, file[1] = 7, file[2] = TOKENS;
    memcpy(file + 256, tokens, sizeof tokens);
    file_write(path, file, sizeof file);
}

/* Selects an empty cache. */
static const char *fresh(void) {
    const char *directory = harness_directory();
    tokens_fill();
    setenv("HOURGLASS_CACHE", path_in(directory, "cache"), 1);
    return directory;
}

static TokenIdentity identity_of(const char *path) {
    TokenSet *file = NULL;
    IdentityJob *job = NULL;
    TokenIdentity identity = {0};
    if (CHECK_OK(token_set_open_path(path, &file)) && CHECK_OK(identity_start(file, &job))) {
        CHECK_OK(identity_finish(job, NULL, NULL, &identity));
        identity_destroy(&job);
    }
    token_set_destroy(&file);
    return identity;
}

static void check_hash(const char *hash) {
    char wanted[IDENTITY_HASH_BYTES];
    XXH128_hash_t of = XXH3_128bits(tokens, sizeof tokens);
    snprintf(wanted, sizeof wanted, "%016llx%016llx", (unsigned long long)of.high64,
             (unsigned long long)of.low64);
    CHECK(strcmp(hash, wanted) == 0);
}

static void it_is_of_the_tokens_in_any_format(void) {
    const char *directory = fresh();
    prepared_write(path_in(directory, "a.h5"), TOKENS_HDF5);
    prepared_write(path_in(directory, "b.bin"), TOKENS_NANOGPT);
    llmc_write(path_in(directory, "c.bin"));
    const char *const names[] = {"a.h5", "b.bin", "c.bin"};
    for (size_t i = 0; i < COUNT(names); i++) {
        TokenIdentity identity = identity_of(path_in(directory, names[i]));
        CHECK(identity.count == TOKENS);
        check_hash(identity.hash);
    }
    TokenIdentity before = identity_of(path_in(directory, "c.bin"));
    tokens[TOKENS / 2]++;
    llmc_write(path_in(directory, "c.bin"));
    TokenIdentity after = identity_of(path_in(directory, "c.bin"));
    check_hash(after.hash);
    CHECK(after.count == before.count && !identity_agrees(&after, &before));
}

static void the_second_start_knows_it_at_once(void) {
    const char *path = path_in(fresh(), "a.bin");
    TokenSet *file;
    IdentityJob *job;
    TokenIdentity first, second;
    llmc_write(path);
    REQUIRE_OK(token_set_open_path(path, &file));
    REQUIRE_OK(identity_start(file, &job));
    CHECK(!identity_is_known(job));
    while (!identity_is_known(job))
        usleep(1000); /* reads too soon after the file's stamp for the cache to keep it */
    CHECK_OK(identity_finish(job, NULL, NULL, &first));
    identity_destroy(&job);
    REQUIRE_OK(identity_start(file, &job));
    CHECK(identity_is_known(job));
    CHECK_OK(identity_finish(job, NULL, NULL, &second));
    CHECK(strcmp(first.hash, second.hash) == 0 && second.count == TOKENS);
    identity_destroy(&job);
    token_set_destroy(&file);

    struct stat info;
    tokens[7] ^= 1; /* the same size and age, but other tokens */
    CHECK(stat(path, &info) == 0);
    llmc_write(path);
    const struct timespec times[2] = {info.st_atim, info.st_mtim};
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
    check_hash(identity_of(path).hash);
}

static void a_file_that_changes_under_a_run_is_found(void) {
    const char *path = path_in(fresh(), "a.bin");
    TokenSet *file;
    IdentityJob *job;
    TokenIdentity identity;
    llmc_write(path);
    REQUIRE_OK(token_set_open_path(path, &file));
    REQUIRE_OK(identity_start(file, &job));
    CHECK_OK(identity_finish(job, NULL, NULL, &identity));
    CHECK(chmod(path, 0600) == 0); /* another time of change, the same content */
    CHECK_OK(identity_finish(job, NULL, NULL, &identity));
    check_hash(identity.hash);
    tokens[9] ^= 1;
    llmc_write(path);
    CHECK_ERROR(identity_finish(job, NULL, NULL, &identity), STATUS_DATA,
                "a.bin: was written to during this run: it held "
                "200000 tokens (xxh3 ");
    CHECK(truncate(path, 5000) == 0);
    CHECK_ERROR(identity_finish(job, NULL, NULL, &identity), STATUS_DATA, "a.bin: became shorter");
    identity_destroy(&job);
    token_set_destroy(&file);
}

/* Five billion tokens in a sparse file. */
static void a_large_file_delays_nothing(void) {
    const char *path = path_in(fresh(), "large.bin");
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    TokenSet *file;
    IdentityJob *job;
    CHECK(ftruncate(fd, INT64_C(10000000000)) == 0 && pwrite(fd, "\1\2", 2, 4) == 2);
    close(fd);
    REQUIRE_OK(token_set_open_path(path, &file));
    double start = clock_seconds();
    REQUIRE_OK(identity_start(file, &job));
    CHECK(!identity_is_known(job));
    identity_destroy(&job); /* does not wait for the end either */
    CHECK(clock_seconds() - start < 1);
    token_set_destroy(&file);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(it_is_of_the_tokens_in_any_format),
        TEST(the_second_start_knows_it_at_once),
        TEST(a_file_that_changes_under_a_run_is_found),
        TEST(a_large_file_delays_nothing),
    };
    return harness_run(argc, argv, "token identity", tests, COUNT(tests));
}
