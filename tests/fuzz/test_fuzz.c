/* The committed corpus of each fuzz target, and random mutations of it. Needs no libFuzzer, so it
 * runs with any compiler; the sanitizer builds find memory errors. A longer search:
 * tests/fuzz/run.
 *
 * FUZZ_COUNT: mutations per target (500); FUZZ_SECONDS: more of them, for so long per target (0;
 * ./check gives the sanitizers' pass a minute in all); FUZZ_SEED: another sequence (1). A crash is
 * repeated by the same seed and a count that is large enough. */
#include "core/base/clock.h"
#include "core/rng.h"
#include "tests/fuzz/targets_helper.h"
#include "tests/harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SEEDS = 64, MOST_BYTES = 1 << 16, GROWTH = 1024 };

typedef struct Sample {
    uint8_t *data;
    size_t size;
} Sample;

static Sample seeds[MOST_SEEDS];
static size_t n_seeds;
static uint64_t draws;

static size_t draw(size_t below) {
    const char *seed = getenv("FUZZ_SEED");
    uint64_t key = seed == NULL ? 1 : strtoull(seed, NULL, 10);
    return philox(key, draws++, 0).word[0] % below;
}

static void seed_read(const char *path) {
    static uint8_t bytes[MOST_BYTES];
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && n_seeds < MOST_SEEDS);
    if (file == NULL || n_seeds == MOST_SEEDS) return;
    size_t size = fread(bytes, 1, sizeof bytes, file);
    CHECK(feof(file) && size > 0);
    fclose(file);
    uint8_t *data = malloc(size);
    CHECK(data != NULL);
    if (data == NULL) return;
    memcpy(data, bytes, size);
    seeds[n_seeds++] = (Sample){data, size};
}

static void seeds_read(const char *target) {
    struct dirent **list;
    char path[512];
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s", target);
    int n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", target, list[i]->d_name);
        if (list[i]->d_name[0] != '.') seed_read(path);
        free(list[i]);
    }
    if (n >= 0) free(list);
    CHECK(n_seeds > 0);
}

static void seeds_free(void) {
    while (n_seeds > 0) free(seeds[--n_seeds].data);
}

/* Values at which readers change their behavior. */
static void number_put(Sample *s) {
    static const uint64_t numbers[] = {0,          1,          0x7f,      0x80,
                                       0xff,       0x7fff,     0xffff,    0x7fffffff,
                                       0x80000000, 0xffffffff, INT64_MAX, UINT64_MAX};
    size_t width = (size_t)1 << draw(4);
    if (s->size >= width)
        memcpy(s->data + draw(s->size - width + 1), &numbers[draw(COUNT(numbers))], width);
}

/* Moves or repeats a range, or one of another seed. */
static void range_copy(Sample *s) {
    const Sample *from = draw(2) == 0 ? s : &seeds[draw(n_seeds)];
    size_t length = 1 + draw(from->size < 64 ? from->size : 64), at = draw(s->size);
    size_t room = s->size - at < length ? s->size - at : length;
    memmove(s->data + at, from->data + draw(from->size - length + 1), room);
}

static void range_insert(Sample *s) {
    size_t length = 1 + draw(32), at = draw(s->size + 1), from = draw(s->size);
    if (length > s->size - from) length = s->size - from;
    uint8_t kept[32];
    memcpy(kept, s->data + from, length);
    memmove(s->data + at + length, s->data + at, s->size - at);
    memcpy(s->data + at, kept, length);
    s->size += length;
}

static void range_remove(Sample *s) {
    size_t at = draw(s->size), length = 1 + draw(draw(4) == 0 ? s->size - at : 8);
    if (length > s->size - at) length = s->size - at;
    if (length == s->size) return;
    memmove(s->data + at, s->data + at + length, s->size - at - length);
    s->size -= length;
}

static void mutate(Sample *s) {
    switch (draw(6)) {
    case 0: s->data[draw(s->size)] ^= (uint8_t)(1 << draw(8)); break;
    case 1: s->data[draw(s->size)] = (uint8_t)draw(256); break;
    case 2: number_put(s); break;
    case 3: range_copy(s); break;
    case 4: range_insert(s); break;
    default: range_remove(s);
    }
}

/* In a block of exactly its size, so that a sanitizer sees a read beyond its end. */
static void run_exactly(const FuzzTarget *target, const Sample *s) {
    uint8_t *data = malloc(s->size);
    CHECK(data != NULL);
    if (data == NULL) return;
    memcpy(data, s->data, s->size);
    target->run(data, s->size);
    free(data);
}

static void mutation_run(const FuzzTarget *target) {
    const Sample *seed = &seeds[draw(n_seeds)];
    Sample s = {malloc(seed->size + GROWTH), seed->size};
    CHECK(s.data != NULL);
    if (s.data == NULL) return;
    memcpy(s.data, seed->data, seed->size);
    for (size_t n = 1 + draw(8); n > 0; n--) mutate(&s);
    run_exactly(target, &s);
    free(s.data);
}

static long setting(const char *name, long otherwise) {
    const char *wanted = getenv(name);
    return wanted == NULL ? otherwise : strtol(wanted, NULL, 10);
}

static void fuzz(const char *name) {
    const FuzzTarget *target = fuzz_targets;
    long count = setting("FUZZ_COUNT", 500);
    double until = clock_seconds() + (double)setting("FUZZ_SECONDS", 0);
    while (strcmp(target->name, name) != 0) target++;
    draws = 0;
    seeds_read(name);
    for (size_t i = 0; i < n_seeds; i++) run_exactly(target, &seeds[i]);
    for (long i = 0; n_seeds > 0 && (i < count || clock_seconds() < until); i++)
        mutation_run(target);
    seeds_free();
}

static void configs(void) { fuzz("config"); }
static void studies(void) { fuzz("study"); }
static void logs_of_studies(void) { fuzz("logs"); }
static void token_files(void) { fuzz("tokens"); }
static void safetensors(void) { fuzz("safetensors"); }
static void configs_of_models(void) { fuzz("model_json"); }
static void llm_c_weights(void) { fuzz("llm_c"); }
static void checkpoints(void) { fuzz("checkpoint"); }
static void vocabularies(void) { fuzz("vocabulary"); }
static void choices(void) { fuzz("choices"); }

int main(int argc, char **argv) {
    const Test tests[] = {TEST(configs),       TEST(studies),     TEST(logs_of_studies),
                          TEST(token_files),   TEST(safetensors), TEST(configs_of_models),
                          TEST(llm_c_weights), TEST(checkpoints), TEST(vocabularies),
                          TEST(choices)};
    return harness_run(argc, argv, "fuzzing", tests, COUNT(tests));
}
