/* The shapes that attention_kernels.cu checks: one tile and its edges, ragged lengths, both alignments with Tq != Tk,
 * grouped key heads, windows, every head size, dropout. */
#pragma once

#include "nn/attention/sdpa.h"

struct Case {
    int64_t B, NH, NH_kv, Tq, Tk, HS;
    CausalMask causal;
    int64_t window;
    double dropout;
};

static const CausalMask FULL = CAUSAL_NONE, UPPER = CAUSAL_UPPER_LEFT, LOWER = CAUSAL_LOWER_RIGHT;
static const Case CHECKS[] = {
    {1, 1, 1, 64, 64, 64, FULL, 0, 0},       {1, 1, 1, 128, 128, 64, FULL, 0, 0},
    {1, 2, 2, 128, 128, 64, UPPER, 0, 0},    {2, 3, 3, 256, 256, 64, FULL, 0, 0},
    {2, 3, 3, 1024, 1024, 64, UPPER, 0, 0},  {1, 2, 2, 1000, 1000, 64, UPPER, 0, 0},
    {2, 2, 2, 1, 1, 64, UPPER, 0, 0},        {2, 2, 2, 63, 63, 64, UPPER, 0, 0},
    {2, 2, 2, 65, 65, 64, UPPER, 0, 0},      {2, 2, 2, 127, 127, 64, FULL, 0, 0},
    {1, 2, 2, 100, 300, 64, LOWER, 0, 0},    {1, 2, 2, 300, 100, 64, LOWER, 0, 0},
    {1, 2, 2, 300, 100, 64, UPPER, 0, 0},    {1, 2, 2, 100, 300, 64, UPPER, 0, 0},
    {1, 2, 2, 77, 333, 64, FULL, 0, 0},      {2, 4, 2, 200, 200, 64, UPPER, 0, 0},
    {1, 6, 1, 130, 257, 64, FULL, 0, 0},     {1, 2, 2, 700, 700, 64, UPPER, 100, 0},
    {1, 2, 2, 400, 600, 64, LOWER, 150, 0},  {1, 2, 2, 500, 500, 64, UPPER, 1, 0},
    {2, 2, 2, 256, 256, 32, UPPER, 0, 0},    {2, 2, 2, 333, 333, 32, FULL, 0, 0},
    {1, 4, 2, 200, 313, 32, LOWER, 0, 0},    {2, 2, 2, 256, 256, 96, UPPER, 0, 0},
    {2, 2, 2, 333, 333, 96, FULL, 0, 0},     {1, 4, 2, 200, 313, 96, LOWER, 0, 0},
    {2, 2, 2, 256, 256, 128, UPPER, 0, 0},   {2, 2, 2, 333, 333, 128, FULL, 0, 0},
    {1, 4, 2, 200, 313, 128, LOWER, 0, 0},   {1, 2, 2, 1024, 1024, 128, UPPER, 0, 0},
    {1, 2, 2, 256, 256, 256, UPPER, 0, 0},   {1, 2, 2, 200, 313, 256, LOWER, 0, 0},
    {1, 1, 1, 4096, 4096, 64, UPPER, 0, 0},  {2, 2, 2, 256, 256, 64, UPPER, 0, 0.2},
    {1, 4, 2, 201, 313, 64, LOWER, 0, 0.1},  {1, 2, 2, 130, 130, 32, FULL, 0, 0.5},
    {1, 2, 2, 130, 130, 128, UPPER, 0, 0.3}, {1, 2, 2, 130, 131, 96, FULL, 0, 0.3},
    {1, 2, 2, 70, 70, 256, UPPER, 0, 0.3},
};
