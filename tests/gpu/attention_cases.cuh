/* The shapes of test_attention_kernels.cu: one tile and its edges, ragged lengths, both alignments
 * with Tq != Tk, grouped key heads, windows, every head size, dropout, ranges. */
#pragma once

#include "nn/attention/sdpa.h"

/* The kind of a case's ranges; see attention_ranges.cuh. */
enum RangeKind { NO_RANGES, DOCUMENTS, UNEVEN_DOCUMENTS, EQUAL_DOCUMENTS, PADDING, RAGGED };

struct Case {
    int64_t B, NH, NH_kv, Tq, Tk, HS;
    CausalMask causal;
    int64_t window;
    double dropout;
    RangeKind ranges = NO_RANGES;
    int64_t mean = 0; /* mean length of the documents */
};

static const CausalMask FULL = CAUSAL_NONE, UPPER = CAUSAL_UPPER_LEFT, LOWER = CAUSAL_LOWER_RIGHT;
static const Case CHECKS[] = {
    {1, 1, 1, 64, 64, 64, FULL, 0, 0},
    {1, 1, 1, 128, 128, 64, FULL, 0, 0},
    {1, 2, 2, 128, 128, 64, UPPER, 0, 0},
    {2, 3, 3, 256, 256, 64, FULL, 0, 0},
    {2, 3, 3, 1024, 1024, 64, UPPER, 0, 0},
    {1, 2, 2, 1000, 1000, 64, UPPER, 0, 0},
    {2, 2, 2, 1, 1, 64, UPPER, 0, 0},
    {2, 2, 2, 63, 63, 64, UPPER, 0, 0},
    {2, 2, 2, 65, 65, 64, UPPER, 0, 0},
    {2, 2, 2, 127, 127, 64, FULL, 0, 0},
    {1, 2, 2, 100, 300, 64, LOWER, 0, 0},
    {1, 2, 2, 300, 100, 64, LOWER, 0, 0},
    {1, 2, 2, 300, 100, 64, UPPER, 0, 0},
    {1, 2, 2, 100, 300, 64, UPPER, 0, 0},
    {1, 2, 2, 77, 333, 64, FULL, 0, 0},
    {2, 4, 2, 200, 200, 64, UPPER, 0, 0},
    {1, 6, 1, 130, 257, 64, FULL, 0, 0},
    {1, 2, 2, 700, 700, 64, UPPER, 100, 0},
    {1, 2, 2, 400, 600, 64, LOWER, 150, 0},
    {1, 2, 2, 500, 500, 64, UPPER, 1, 0},
    {2, 2, 2, 256, 256, 32, UPPER, 0, 0},
    {2, 2, 2, 333, 333, 32, FULL, 0, 0},
    {1, 4, 2, 200, 313, 32, LOWER, 0, 0},
    {2, 2, 2, 256, 256, 96, UPPER, 0, 0},
    {2, 2, 2, 333, 333, 96, FULL, 0, 0},
    {1, 4, 2, 200, 313, 96, LOWER, 0, 0},
    {2, 2, 2, 256, 256, 128, UPPER, 0, 0},
    {2, 2, 2, 333, 333, 128, FULL, 0, 0},
    {1, 4, 2, 200, 313, 128, LOWER, 0, 0},
    {1, 2, 2, 1024, 1024, 128, UPPER, 0, 0},
    {1, 2, 2, 256, 256, 256, UPPER, 0, 0},
    {1, 2, 2, 200, 313, 256, LOWER, 0, 0},
    {1, 1, 1, 4096, 4096, 64, UPPER, 0, 0},
    {2, 2, 2, 256, 256, 64, UPPER, 0, 0.2},
    {1, 4, 2, 201, 313, 64, LOWER, 0, 0.1},
    {1, 2, 2, 130, 130, 32, FULL, 0, 0.5},
    {1, 2, 2, 130, 130, 128, UPPER, 0, 0.3},
    {1, 2, 2, 130, 131, 96, FULL, 0, 0.3},
    {1, 2, 2, 70, 70, 256, UPPER, 0, 0.3},
    {2, 2, 2, 333, 333, 256, FULL, 0, 0},
    {1, 4, 2, 700, 700, 256, UPPER, 150, 0},
    {1, 2, 1, 200, 316, 256, LOWER, 0, 0.2},
    {2, 2, 2, 520, 520, 128, UPPER, 0, 0.2},
    {2, 2, 2, 520, 520, 32, UPPER, 0, 0.1},
    {2, 2, 2, 516, 516, 96, UPPER, 0, 0.2},
    {2, 2, 2, 256, 256, 80, UPPER, 0, 0},
    {1, 4, 2, 200, 313, 80, LOWER, 0, 0.2},
    {2, 2, 1, 300, 300, 8, UPPER, 0, 0},
    {2, 2, 2, 333, 333, 24, FULL, 0, 0},
    {1, 2, 2, 200, 313, 40, LOWER, 50, 0},
    {2, 2, 2, 256, 256, 48, UPPER, 0, 0.1},
    {2, 2, 2, 256, 256, 112, UPPER, 0, 0},
    {1, 2, 2, 130, 131, 120, FULL, 0, 0.3},
    {1, 2, 2, 200, 313, 136, LOWER, 0, 0},
    {1, 2, 2, 256, 256, 192, UPPER, 0, 0},
    {1, 2, 1, 200, 316, 248, LOWER, 0, 0.2},
    {2, 2, 2, 300, 300, 48, FULL, 0, 0, DOCUMENTS, 40},
    {2, 2, 2, 300, 300, 72, UPPER, 0, 0, PADDING},
    {3, 2, 2, 1024, 1024, 64, UPPER, 0, 0, DOCUMENTS, 256},
    {2, 2, 2, 1000, 1000, 64, UPPER, 0, 0, UNEVEN_DOCUMENTS, 100},
    {2, 2, 2, 300, 300, 64, FULL, 0, 0, DOCUMENTS, 40},
    {2, 2, 2, 512, 512, 64, UPPER, 64, 0, DOCUMENTS, 200},
    {3, 2, 2, 333, 333, 64, FULL, 0, 0, PADDING},
    {3, 2, 2, 300, 300, 64, UPPER, 0, 0, PADDING},
    {3, 4, 2, 200, 313, 64, LOWER, 0, 0, PADDING},
    {2, 4, 2, 700, 500, 64, FULL, 0, 0, RAGGED},
    {1, 2, 2, 100, 140, 64, FULL, 0, 0, RAGGED},
    {2, 2, 2, 500, 700, 32, FULL, 0, 0, RAGGED},
    {2, 2, 2, 500, 700, 96, FULL, 0, 0, RAGGED},
    {2, 4, 2, 500, 700, 128, FULL, 0, 0, RAGGED},
    {2, 4, 2, 500, 700, 256, FULL, 0, 0, RAGGED},
    {2, 2, 2, 600, 600, 32, UPPER, 0, 0, UNEVEN_DOCUMENTS, 80},
    {2, 2, 2, 600, 600, 96, UPPER, 0, 0, UNEVEN_DOCUMENTS, 80},
    {2, 2, 2, 600, 600, 128, UPPER, 0, 0, UNEVEN_DOCUMENTS, 80},
    {2, 2, 2, 600, 600, 256, UPPER, 0, 0, UNEVEN_DOCUMENTS, 80},
    {1, 2, 2, 300, 300, 64, UPPER, 0, 0, DOCUMENTS, 2},
    {1, 1, 1, 4096, 4096, 64, UPPER, 0, 0, UNEVEN_DOCUMENTS, 256},
    {2, 2, 2, 512, 512, 64, UPPER, 0, 0.2, DOCUMENTS, 100},
    {1, 4, 2, 301, 315, 128, FULL, 0, 0.1, RAGGED},
    {1, 2, 2, 256, 256, 256, UPPER, 0, 0.1, PADDING},
    /* enough rows that blocks take up to eight items
     * (nn/attention/cuda/flash_sm90/flash_sm90_items.cuh) */
    {24, 12, 12, 1024, 1024, 64, UPPER, 0, 0, UNEVEN_DOCUMENTS, 256},
    {70, 8, 4, 180, 300, 64, FULL, 0, 0, RAGGED},
    {360, 12, 12, 60, 70, 64, FULL, 0, 0, RAGGED},
    /* long enough for the fused backward pass (nn/attention/cuda/flash_sm90/flash_sm90_fused.cu) */
    {2, 10, 10, 2048, 2048, 64, UPPER, 0, 0},
    {1, 3, 3, 2500, 2500, 64, UPPER, 0, 0},
    {1, 2, 2, 2100, 2300, 64, FULL, 0, 0},
    {1, 3, 1, 2100, 2300, 64, LOWER, 0, 0},
    {1, 2, 2, 2300, 2100, 64, LOWER, 0, 0},
    {1, 2, 2, 2100, 2500, 64, UPPER, 0, 0},
    {1, 4, 2, 2100, 2100, 64, UPPER, 300, 0},
    {1, 2, 2, 2048, 2049, 48, UPPER, 0, 0},
    {2, 2, 2, 2048, 2048, 128, UPPER, 0, 0},
    {1, 8, 2, 2100, 2300, 128, LOWER, 0, 0},
    {1, 2, 2, 2111, 2065, 128, FULL, 0, 0},
    {1, 2, 2, 2300, 2100, 128, LOWER, 200, 0},
    {1, 3, 3, 2100, 2500, 120, UPPER, 0, 0},
    {3, 4, 4, 1024, 1100, 128, UPPER, 0, 0},
    {2, 12, 4, 1024, 1024, 64, UPPER, 0, 0},
    {1, 2, 2, 8200, 8200, 128, UPPER, 0, 0},
    {1, 6, 2, 4100, 4000, 64, FULL, 0, 0},
};
