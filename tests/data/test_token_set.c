/* Sets of token files: shards as one, patterns, weights. */
#include "data/batch_order.h"
#include "data/loader.h"
#include "data/token_identity.h"
#include "data/token_writer.h"
#include "tests/data/data_helper.h"
#include "tests/data/small_vocabulary_helper.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOKENS = 900, WIDTH = 8, RUN = 65536 };

/* Token i of the set is first + i, at `path`, as nanoGPT's or as llm.c's. */
static void tokens_put(const char *path, int first, int count, bool is_llmc) {
    uint8_t bytes[1024 + 2 * TOKENS] = {0};
    const int32_t header[3] = {20240520, 1, count};
    size_t at = 0;
    if (is_llmc) {
        memcpy(bytes, header, sizeof header);
        at = 1024;
    }
    for (int i = 0; i < count; i++, at += 2)
        memcpy(bytes + at, &(uint16_t){(uint16_t)(first + i)}, 2);
    file_write(path, bytes, at);
}

static TokenSet *set_open(const TokenPaths *paths) {
    TokenSet *set = NULL;
    CHECK_OK(token_set_open(paths, &set));
    return set;
}

/* The identity, which is not in a cache. */
static TokenIdentity identity_find(const TokenSet *set) {
    TokenIdentity identity = {0};
    IdentityJob *job = NULL;
    if (CHECK_OK(identity_start(set, &job))) {
        CHECK_OK(identity_finish(job, NULL, NULL, &identity));
        identity_destroy(&job);
    }
    return identity;
}

/* Three shards in two formats and the file that they are cut from. */
static const char *shards_put(void) {
    const char *directory = harness_directory();
    setenv("HOURGLASS_CACHE", path_in(directory, "cache"), 1);
    tokens_put(path_in(directory, "all.bin"), 0, TOKENS, false);
    tokens_put(path_in(directory, "s_2.bin"), 700, 200, false);
    tokens_put(path_in(directory, "s_0.bin"), 0, 300, true);
    tokens_put(path_in(directory, "s_1.bin"), 300, 400, false);
    return directory;
}

static void shards_are_the_file_that_they_are_cut_from(void) {
    const char *directory = shards_put();
    char pattern[512];
    snprintf(pattern, sizeof pattern, "%s/s_*.bin", directory);
    TokenSet *one, *shards;
    int32_t a[3 * WIDTH], b[3 * WIDTH], targets[3 * WIDTH], all[TOKENS];
    REQUIRE_OK(token_set_open_path(path_in(directory, "all.bin"), &one));
    REQUIRE_OK(token_set_open_path(pattern, &shards));
    CHECK(token_set_files(shards) == 3 && token_set_count(shards) == TOKENS);
    CHECK_OK(token_set_read(shards, 0, TOKENS, all));
    for (int i = 0; i < TOKENS; i++) CHECK(all[i] == i);
    CHECK_OK(token_set_read(shards, 299, 2, a));
    CHECK(a[0] == 299 && a[1] == 300);
    CHECK_ERROR(token_set_read(shards, TOKENS - 1, 2, a), STATUS_FAILURE, "outside the file's");
    Loader whole, cut;
    REQUIRE_OK(loader_init(one, 3, WIDTH, &whole));
    REQUIRE_OK(loader_init(shards, 3, WIDTH, &cut));
    for (int64_t sample = 0; sample < 300; sample += 3) {
        CHECK_OK(loader_fill(&whole, sample, 3, a, targets));
        CHECK_OK(loader_fill(&cut, sample, 3, b, targets));
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
    TokenIdentity first = identity_find(one), second = identity_find(shards);
    CHECK(first.count == TOKENS && strcmp(first.hash, second.hash) == 0);
    TokenIdentity cached = identity_find(shards);
    CHECK(strcmp(first.hash, cached.hash) == 0);
    token_set_destroy(&one);
    token_set_destroy(&shards);
}

static void another_order_is_other_data(void) {
    const char *directory = shards_put();
    const char *const forward[] = {path_in(directory, "s_0.bin"), path_in(directory, "s_1.bin")},
                      *const back[] = {path_in(directory, "s_1.bin"),
                                       path_in(directory, "s_0.bin")};
    TokenSet *one = set_open(&(TokenPaths){2, forward, NULL}),
             *other = set_open(&(TokenPaths){2, back, NULL});
    TokenIdentity a = identity_find(one), b = identity_find(other);
    CHECK(a.count == b.count && strcmp(a.hash, b.hash) != 0);
    CHECK(strstr(token_set_path(one), "s_0.bin and 1 more file") != NULL);
    token_set_destroy(&one);
    token_set_destroy(&other);
}

/* Every run of samples has exactly the shares, and each part is read window by window. */
static void weights_are_exact(void) {
    const char *directory = shards_put();
    const char *const paths[] = {path_in(directory, "s_0.bin"), path_in(directory, "s_1.bin"),
                                 path_in(directory, "s_2.bin")};
    const double weights[] = {0.7, 0.2, 0.1};
    TokenSet *set = set_open(&(TokenPaths){3, paths, weights});
    Loader loader;
    REQUIRE_OK(loader_init(set, 5, WIDTH, &loader));
    static int seen[TOKENS];
    int64_t counts[3] = {0}, early[3] = {0};
    memset(seen, 0, sizeof seen);
    for (int64_t g = 0; g < 2 * RUN; g++) {
        int64_t start = loader_start(&loader, g);
        int part = start < 300 ? 0 : start < 700 ? 1 : 2;
        counts[part]++;
        if (g < 1000) early[part]++;
        if (part == 1) seen[start - 300]++;
    }
    CHECK(counts[0] == 2 * 45875 && counts[1] == 2 * 13107 && counts[2] == 2 * 6554);
    CHECK(early[0] > 640 && early[0] < 760 && early[2] > 60 && early[2] < 140);
    /* 2 * 13107 samples of 49 windows are 534.98 epochs of different origins. */
    int64_t least = INT64_MAX, most = 0;
    for (int64_t window = 0; window < 49; window++) {
        int64_t n = 0;
        for (int64_t at = 0; at < WIDTH; at++) n += seen[window * WIDTH + at];
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    CHECK(least >= 534 - 1 && most <= 535 + 1);
    TokenSet *even = set_open(&(TokenPaths){3, paths, (const double[]){1, 1, 1}}),
             *plain = set_open(&(TokenPaths){3, paths, NULL});
    TokenIdentity a = identity_find(set), b = identity_find(even), c = identity_find(plain);
    CHECK(strcmp(a.hash, b.hash) != 0 && strcmp(b.hash, c.hash) != 0);
    token_set_destroy(&set);
    token_set_destroy(&even);
    token_set_destroy(&plain);
}

static void bad_weights_and_sizes_are_refused(void) {
    const char *directory = shards_put();
    const char *const paths[] = {path_in(directory, "s_0.bin"), path_in(directory, "s_2.bin")};
    Loader loader;
    TokenSet *set = set_open(&(TokenPaths){2, paths, (const double[]){1, 1e-9}});
    CHECK_ERROR(loader_init(set, 5, WIDTH, &loader), STATUS_CONFIG, "the weight 1e-09 of ");
    CHECK_ERROR(loader_init(set, 5, 250, &loader), STATUS_DATA, "s_2.bin: 200 tokens are too few");
    token_set_destroy(&set);
}

static void a_name_with_brackets_is_a_file_if_it_exists(void) {
    const char *directory = shards_put();
    char path[512];
    TokenSet *set = NULL;
    snprintf(path, sizeof path, "%s/s_[0].bin", directory);
    REQUIRE_OK(token_set_open_path(path, &set));
    CHECK(token_set_count(set) == 300);
    token_set_destroy(&set);
    tokens_put(path, 0, 77, false);
    REQUIRE_OK(token_set_open_path(path, &set));
    CHECK(token_set_count(set) == 77);
    token_set_destroy(&set);
    snprintf(path, sizeof path, "%s/t_*.bin", directory);
    CHECK_ERROR(token_set_open_path(path, &set), STATUS_DATA,
                "t_*.bin: no file matches this pattern; make files with ./prepare");
}

static void text_put(const char *path, const char *tokenizer_path) {
    Tokenizer *tokenizer;
    TokenWriter *writer;
    TokenBuffer buffer = {0};
    REQUIRE_OK(tokenizer_open(tokenizer_path, &tokenizer));
    REQUIRE_OK(token_writer_create(path, TOKENS_HDF5, tokenizer, &writer));
    CHECK_OK(tokenizer_encode(tokenizer, "some text", 9, &buffer));
    CHECK_OK(token_writer_append(writer, &buffer));
    CHECK_OK(token_writer_finish(writer));
    CHECK_OK(token_writers_publish(&writer, 1));
    token_writer_destroy(&writer);
    token_buffer_free(&buffer);
    tokenizer_destroy(&tokenizer);
}

static void files_of_two_tokenizers_are_refused(void) {
    const char *directory = shards_put();
    small_ranks_write(path_in(directory, "ranks"), -1);
    text_put(path_in(directory, "b_0.h5"), "byte");
    text_put(path_in(directory, "b_1.h5"), "byte");
    text_put(path_in(directory, "r.h5"), path_in(directory, "ranks"));
    const char *const paths[] = {path_in(directory, "b_0.h5"), path_in(directory, "b_1.h5"),
                                 path_in(directory, "s_0.bin")};
    TokenSet *set = set_open(&(TokenPaths){2, paths, NULL});
    CHECK(token_set_vocab(set) == 257 && token_set_end_of_text(set) == 256);
    CHECK_ERROR(token_set_require_vocab(set, 200), STATUS_DATA, "b_0.h5: made with a vocabulary");
    token_set_destroy(&set);
    set = set_open(&(TokenPaths){3, paths, NULL}); /* s_0.bin names none */
    CHECK_ERROR(token_set_require_vocab(set, 257), STATUS_DATA, "s_0.bin: token 257 at position");
    token_set_destroy(&set);
    const char *const others[] = {paths[0], path_in(directory, "r.h5")};
    CHECK_ERROR(token_set_open(&(TokenPaths){2, others, NULL}, &set), STATUS_DATA,
                "r.h5: made with the tokenizer ");
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(shards_are_the_file_that_they_are_cut_from),
        TEST(another_order_is_other_data),
        TEST(weights_are_exact),
        TEST(bad_weights_and_sizes_are_refused),
        TEST(a_name_with_brackets_is_a_file_if_it_exists),
        TEST(files_of_two_tokenizers_are_refused),
    };
    return harness_run(argc, argv, "sets of token files", tests, COUNT(tests));
}
