/* Symmetric products on Hopper against f64, in outputs that start as NaN:
 *
 *     build/tests/gpu/test_symmetric [time]
 *
 * The operands are random and their product is not symmetric, so that the result shows which half
 * was computed: below the diagonal and in its 8 x 8 blocks the product, above them its mirror
 * image. Time: microseconds and the rate of the whole product, by CUDA events. */
#include "core/cuda/sm90/symmetric.cuh"
#include "core/rng.h"
#include "tests/gpu/cuda_check.cuh"

#include <cuda_fp16.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

/* b: a buffer of its own, or a. addend: none, a buffer of its own, or a, which is then square. */
enum Addend { NO_ADDEND, OWN_ADDEND, ADDEND_A };
struct Case {
    int64_t n, r, depth;
    bool squares;
    Addend addend;
};

static const Case CASES[] = {
    {2, 768, 3072, true, NO_ADDEND},  {3, 768, 768, true, ADDEND_A},
    {3, 768, 768, false, OWN_ADDEND}, {1, 768, 768, false, NO_ADDEND},
    {2, 192, 64, true, OWN_ADDEND},   {2, 384, 8, false, OWN_ADDEND},
    {3, 8, 8, false, ADDEND_A},       {2, 200, 136, false, OWN_ADDEND},
    {2, 200, 136, true, NO_ADDEND},   {1, 1000, 328, false, OWN_ADDEND},
    {5, 440, 440, true, ADDEND_A},
};

enum { GUARD = 4096 }; /* elements after the output, which stay as they are */

typedef std::vector<__half> Values;

struct Memory {
    Values a, b, addend;
    __half *device[4]; /* a, b, addend, out */
    size_t out_count;
};

static Values numbers(size_t count, uint64_t seed) {
    Values values(count);
    for (size_t i = 0; i < count; i++)
        values[i] = __float2half(rng_uniform(philox(seed, i, 0).word[0]) - 0.5f);
    return values;
}

static Memory memory_create(const Case &c) {
    const size_t operand = (size_t)(c.n * c.r * c.depth), square = (size_t)(c.n * c.r * c.r);
    Memory m = {numbers(operand, 1), numbers(operand, 2), numbers(square, 3), {}, square};
    const Values *from[3] = {&m.a, &m.b, &m.addend};
    for (int i = 0; i < 3; i++) {
        CUDA(cudaMalloc(&m.device[i], from[i]->size() * sizeof(__half)));
        CUDA(cudaMemcpy(m.device[i], from[i]->data(), from[i]->size() * sizeof(__half),
                        cudaMemcpyHostToDevice));
    }
    CUDA(cudaMalloc(&m.device[3], (square + GUARD) * sizeof(__half)));
    return m;
}

static void memory_destroy(Memory &m) {
    for (__half *p : m.device) CUDA(cudaFree(p));
}

static SymmetricProduct product_of(const Case &c, const Memory &m) {
    const void *addend = c.addend == NO_ADDEND    ? NULL
                         : c.addend == OWN_ADDEND ? m.device[2]
                                                  : m.device[0];
    return SymmetricProduct{c.n,         c.r,  c.depth, m.device[0], m.device[c.squares ? 0 : 1],
                            m.device[3], 1.5f, addend,  -0.75f};
}

static bool run(const SymmetricProduct &p) {
    Status status = symmetric_run(p, 0);
    if (status.code != STATUS_OK) printf("not launched\n");
    return status.code == STATUS_OK;
}

static std::vector<uint16_t> results_of(const Case &c, const Memory &m) {
    std::vector<uint16_t> bits(m.out_count + GUARD);
    CUDA(cudaMemset(m.device[3], 0xFF, bits.size() * 2));
    if (!run(product_of(c, m))) exit(1);
    CUDA(cudaMemcpy(bits.data(), m.device[3], bits.size() * 2, cudaMemcpyDeviceToHost));
    return bits;
}

/* Element (i, j) of a matrix, in f64. */
static double wanted_at(const Case &c, const Memory &m, int64_t matrix, int64_t i, int64_t j) {
    const __half *a = &m.a[(size_t)((matrix * c.r + i) * c.depth)],
                 *b = &(c.squares ? m.a : m.b)[(size_t)((matrix * c.r + j) * c.depth)];
    double sum = 0;
    for (int64_t k = 0; k < c.depth; k++)
        sum += (double)__half2float(a[k]) * (double)__half2float(b[k]);
    const size_t at = (size_t)((matrix * c.r + i) * c.r + j);
    const double addend = c.addend == NO_ADDEND    ? 0
                          : c.addend == OWN_ADDEND ? (double)__half2float(m.addend[at])
                                                   : (double)__half2float(m.a[at]);
    return 1.5 * sum - 0.75 * addend;
}

static bool is_close(double found, double wanted, int64_t depth) {
    return fabs(found - wanted) <= fabs(wanted) / 2000 + 1e-6 * (double)depth; /* false for a NaN */
}

/* Every row up to 256, else a sample of the rows and columns; the columns mirrored too. */
static bool check(const Case &c) {
    Memory m = memory_create(c);
    const std::vector<uint16_t> found = results_of(c, m), again = results_of(c, m);
    const int64_t step = c.r > 256 ? 7 : 1;
    int64_t wrong = 0;
    for (int64_t matrix = 0; matrix < c.n; matrix++)
        for (int64_t i = 0; i < c.r; i += step)
            for (int64_t j = 0; j < c.r; j++) {
                if (step > 1 && j % 5 != i % 5) continue;
                const bool above = j / 8 > i / 8;
                const double wanted = wanted_at(c, m, matrix, above ? j : i, above ? i : j);
                __half_raw raw = {found[(size_t)((matrix * c.r + i) * c.r + j)]};
                wrong += !is_close((double)__half2float(__half(raw)), wanted, c.depth);
            }
    for (int64_t i = 0; i < c.n * c.r * c.r; i++) {
        const int64_t row = i / c.r % c.r, column = i % c.r, matrix = i / (c.r * c.r);
        const int64_t mirrored = (matrix * c.r + column) * c.r + row;
        wrong += row / 8 != column / 8 && found[(size_t)i] != found[(size_t)mirrored];
        wrong += (found[(size_t)i] & 0x7FFF) > 0x7C00; /* NaN */
    }
    for (size_t i = m.out_count; i < found.size(); i++) wrong += found[i] != 0xFFFF;
    wrong += found != again;
    memory_destroy(m);
    printf("n=%d r=%d depth=%d%s addend=%d: %s (%d wrong)\n", (int)c.n, (int)c.r, (int)c.depth,
           c.squares ? " squares" : "", c.addend, wrong == 0 ? "ok" : "FAILED", (int)wrong);
    return wrong == 0;
}

/* Rows that are no multiples of 16 bytes and addresses that are none. */
static bool check_refusals() {
    SymmetricProduct p = {1, 384, 64, NULL, NULL, NULL, 1, NULL, 0};
    bool right = symmetric_takes(p) && symmetric_pays(p);
    p.r = 385, right &= !symmetric_takes(p);
    p.r = 384, p.depth = 60, right &= !symmetric_takes(p);
    p.depth = 64, p.addend = (const void *)8, right &= !symmetric_takes(p);
    p.r = 128, right &= !symmetric_pays(p);
    printf("refusals: %s\n", right ? "ok" : "FAILED");
    return right;
}

static void time_of(const Case &c) {
    enum { RUNS = 20 };
    Memory m = memory_create(c);
    cudaEvent_t start, end;
    CUDA(cudaEventCreate(&start));
    CUDA(cudaEventCreate(&end));
    for (int i = -3; i < RUNS; i++) {
        if (i == 0) CUDA(cudaEventRecord(start));
        if (!run(product_of(c, m))) exit(1);
    }
    float ms = 0;
    CUDA(cudaEventRecord(end));
    CUDA(cudaEventSynchronize(end));
    CUDA(cudaEventElapsedTime(&ms, start, end));
    const double us = (double)ms * 1e3 / RUNS,
                 flops = 2.0 * (double)(c.n * c.r * c.r) * (double)c.depth;
    printf("n=%d r=%d depth=%d: %.1f us, %.0f TFLOP/s of the whole product\n", (int)c.n, (int)c.r,
           (int)c.depth, us, flops / us / 1e6);
    memory_destroy(m);
}

int main(int count, char **arguments) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess || properties.major != 9) {
        printf("no GPU of sm_90\n0 passed, 0 failed, 1 skipped\n");
        return 0;
    }
    if (count > 1 && strcmp(arguments[1], "time") == 0) {
        for (const Case &c :
             {Case{12, 768, 768, false, OWN_ADDEND}, Case{12, 768, 3072, true, NO_ADDEND},
              Case{48, 768, 768, true, NO_ADDEND}, Case{48, 768, 768, true, ADDEND_A}})
            time_of(c);
        return 0;
    }
    int passed = check_refusals(), failed = !passed;
    for (const Case &c : CASES) {
        const bool right = check(c);
        passed += right, failed += !right;
        fflush(stdout);
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
