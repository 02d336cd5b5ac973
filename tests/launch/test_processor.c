#include "launch/base/processor.h"
#include "tests/harness.h"

#include <string.h>

static uint32_t leaf7[4];
static uint32_t highest_leaf = 7;

/* A processor that has every feature of leaf 1, those of leaf7, and no extended leaves. */
static bool cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) {
    if (leaf > highest_leaf) return false;
    for (int i = 0; i < 4; i++) out[i] = leaf == 1 ? UINT32_MAX : subleaf == 0 ? leaf7[i] : 0;
    return true;
}

static const ProcessorFeature features[] = {
    {"fma", "1", 1, 0, 2, 12, 6},        {"avx2", "1", 7, 0, 1, 5, 6},
    {"avx512f", "1", 7, 0, 1, 16, 0xe6}, {"sha", "__SHA__", 7, 0, 1, 29, 0},
    {"gfni", "1", 7, 0, 2, 8, 0},        {"lzcnt", "1", 0x80000001, 0, 2, 5, 0},
};

static bool lacks(uint64_t state, size_t count, char *missing, size_t bytes) {
    Processor processor = {cpuid, state};
    return processor_lacks(&processor, features, count, missing, bytes);
}

static void each_feature_has_its_bit(void) {
    char missing[64];
    memset(leaf7, 0, sizeof leaf7);
    CHECK(lacks(0xe6, COUNT(features), missing, sizeof missing));
    CHECK(strcmp(missing, "avx2 avx512f gfni lzcnt") == 0); /* sha is not in use */
    leaf7[1] = 1 << 5 | 1 << 16;
    CHECK(lacks(0xe6, 5, missing, sizeof missing) && strcmp(missing, "gfni") == 0);
    leaf7[2] = 1 << 8;
    CHECK(!lacks(0xe6, 5, missing, sizeof missing) && *missing == '\0');
    highest_leaf = 6;
    CHECK(lacks(0xe6, 2, missing, sizeof missing) && strcmp(missing, "avx2") == 0);
    highest_leaf = 7;
}

static void the_system_must_enable_the_registers(void) {
    char missing[64];
    memset(leaf7, 0xff, sizeof leaf7);
    CHECK(lacks(0x6, 5, missing, sizeof missing) && strcmp(missing, "avx512f") == 0);
    CHECK(lacks(0, 5, missing, sizeof missing) && strcmp(missing, "fma avx2 avx512f") == 0);
}

static void names_that_do_not_fit_are_left_out(void) {
    char missing[9];
    memset(leaf7, 0, sizeof leaf7);
    CHECK(lacks(0xe6, 5, missing, sizeof missing) && strcmp(missing, "avx2") == 0);
    CHECK(lacks(0, 2, missing, sizeof missing) && strcmp(missing, "fma avx2") == 0);
    CHECK(lacks(0, 2, missing, 8) && strcmp(missing, "fma") == 0);
}

static void this_processor_is_the_one_of_the_build(void) {
    char missing[256];
    CHECK(!processor_lacks_features(missing, sizeof missing));
    CHECK(*processor_march != '\0' && strcmp(processor_march, "HOURGLASS_MARCH") != 0);
}

static bool same_bit(const ProcessorFeature *a, const ProcessorFeature *b) {
    return a->leaf == b->leaf && a->subleaf == b->subleaf && a->reg == b->reg && a->bit == b->bit;
}

static void no_bit_has_two_features(void) {
    for (size_t i = 0; i < processor_feature_count; i++) {
        for (size_t j = 0; j < i; j++)
            CHECK(!same_bit(&processor_features[i], &processor_features[j]));
    }
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(each_feature_has_its_bit), TEST(the_system_must_enable_the_registers),
        TEST(names_that_do_not_fit_are_left_out), TEST(this_processor_is_the_one_of_the_build),
        TEST(no_bit_has_two_features)};
    return harness_run(argc, argv, "processor", tests, COUNT(tests));
}
