/* The shapes of the pass over keys: flash_sm90_dkdv.cu explains them. */
#pragma once

#include "nn/attention/cuda/flash_sm90/flash_sm90_columns.cuh"

/* How the two warpgroups of a block cooperate: not at all; each with its 64 keys, the last product
 * of a tile overlapping the first of the next while its stage is held; or on the same 64 keys, one
 * for dV and one for dK. */
enum Teamwork { ALONE, DEFER, SPLIT };

/* GROUPS warpgroups, which iterate over QUERIES queries at a time. */
template <int HS_, int GROUPS_, int QUERIES_, int STAGES_, int BLOCKS_, Teamwork WORK_>
struct DkdvShape {
    static constexpr int HS = HS_, GROUPS = GROUPS_, QUERIES = QUERIES_, STAGES = STAGES_,
                         BLOCKS = BLOCKS_;
    static constexpr Teamwork WORK = WORK_;
    static constexpr int OWNERS = WORK == SPLIT ? 1 : GROUPS; /* tiles of 64 keys */
    static constexpr int ROWS = 64 * OWNERS, THREADS = 128 * GROUPS,
                         TILE = Tile<HS>::bytes(QUERIES);
    static constexpr int K = 0, V = Tile<HS>::bytes(ROWS), Q = 2 * V, DOUT = Q + STAGES * TILE;
    static constexpr int LSE = DOUT + STAGES * TILE, DELTA = LSE + STAGES * QUERIES * 4;
    static constexpr int CONTROL = DELTA + STAGES * QUERIES * 4;
    using Tiles = Ring<STAGES, 4 * GROUPS>;
    static constexpr int BYTES = CONTROL + 16 + Tiles::CONTROL_BYTES;
};
