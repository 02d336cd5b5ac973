/* The engine for true f32: fused multiply-adds over tiles in shared memory, for every type in
 * memory.
 *
 * 64 threads, 8 x 8. A thread owns the rows ty, ty + 8, ... of the block: R x C scores (columns tx,
 * tx + 8, ...) and R x HS / 8 sums (four neighboring columns of every 32). Both products read
 * operands as float4: along HS for S, along the walked tile for P V, so that S takes R + C loads
 * for 4 R C multiply-adds, and P V takes R + HS / 8 for HS / 2 R. At HS 64 forward (R = 8, C = 4):
 * 12 loads for 128, 16 for 256. With a pitch of HS + 4 floats, rows are in different banks. Weights
 * pass through shared memory inside a warp, which holds all columns of its rows. */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient.cuh"

template <typename T, int HS_, int R_, int C_>
struct SimtEngine {
    using Memory = T;
    using Tile = float;
    static constexpr int HS = HS_, R = R_, C = C_, D = HS / 8, THREADS = 64, ROWS = 8 * R,
                         N = 8 * C, STAGES = 1;
    static constexpr int PITCH = HS * 4 + 16, WEIGHTS_PITCH = N + 4,
                         SCRATCH = ROWS * WEIGHTS_PITCH * 4;
    static constexpr bool PAIRS = false; /* columns are in adjacent lanes, rows in lanes 8 apart */
    static constexpr int COLUMN_LANE = 1, ROW_LANE = 8;
    static constexpr bool COMPILES =
        sizeof(T) == 4 || !HAS_DEEP_PRODUCT; /* from sm_80 on 16-bit types use the other engine */

    template <int COLUMNS>
    struct Block {
        float x[R][COLUMNS];
        __device__ __forceinline__ float &at(int r, int c) { return x[r][c]; }
    };
    using Scores = Block<C>;
    using Sums = Block<D>;

    __device__ static __forceinline__ int tx() { return threadIdx.x % 8; }
    __device__ static __forceinline__ int row(int r) { return threadIdx.x / 8 + 8 * r; }
    __device__ static __forceinline__ int column(int c) { return tx() + 8 * c; }
    __device__ static __forceinline__ int sums_column(int d) {
        return d / 4 * 32 + tx() * 4 + d % 4;
    }
    static constexpr int FORWARD_BLOCKS = 1, FORWARD_DROPOUT_BLOCKS = 1,
                         DQ_BLOCKS = 1;    /* limited by shared memory */
    static constexpr int OWN_COLUMNS = HS; /* of the sums: the warp's own */
    __device__ static __forceinline__ int first_column() { return 0; }
    __device__ static __forceinline__ bool is_first_of_row() { return tx() == 0; }
    __device__ static __forceinline__ float row_max(float x) {
        x = flash_quad_max(x);
        return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 4));
    }
    __device__ static __forceinline__ float row_sum(float x) {
        x = flash_quad_sum(x);
        return x + __shfl_xor_sync(0xFFFFFFFFu, x, 4);
    }

    struct Left {
        const char *rows;
        __device__ __forceinline__ void load(const char *tile) {
            rows = tile + threadIdx.x / 8 * PITCH;
        }
    };

    __device__ static __forceinline__ void add_product(float &sum, float4 a, float4 b) {
        sum = fmaf(a.x, b.x, sum);
        sum = fmaf(a.y, b.y, sum);
        sum = fmaf(a.z, b.z, sum);
        sum = fmaf(a.w, b.w, sum);
    }

    /* s = left bT, b being N rows. */
    __device__ static __forceinline__ void product_rows(Scores &s, const Left &left,
                                                        const char *b) {
        const char *at_b = b + tx() * PITCH;
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int c = 0; c < C; c++) s.x[r][c] = 0.0f;
#pragma unroll 4
        for (int k = 0; k < HS / 4; k++) {
            float4 fb[C];
#pragma unroll
            for (int c = 0; c < C; c++) fb[c] = *(const float4 *)(at_b + c * 8 * PITCH + k * 16);
#pragma unroll
            for (int r = 0; r < R; r++) {
                const float4 fa = *(const float4 *)(left.rows + r * 8 * PITCH + k * 16);
#pragma unroll
                for (int c = 0; c < C; c++) add_product(s.x[r][c], fa, fb[c]);
            }
        }
    }

    /* sums += s b, b being N rows. */
    __device__ static __forceinline__ void product_weights(Sums &sums, Scores &s, const char *b,
                                                           char *scratch) {
        float *weights = (float *)scratch + threadIdx.x / 8 * WEIGHTS_PITCH;
        const char *at_b = b + tx() * 16;
        __syncwarp();
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int c = 0; c < C; c++) weights[r * 8 * WEIGHTS_PITCH + column(c)] = s.x[r][c];
        __syncwarp();
#pragma unroll 2
        for (int k = 0; k < N / 4; k++) {
            float4 fa[R];
#pragma unroll
            for (int r = 0; r < R; r++)
                fa[r] = *(const float4 *)(weights + r * 8 * WEIGHTS_PITCH + k * 4);
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int d = 0; d < D / 4; d++) {
                    const float4 fb = *(const float4 *)(at_b + (k * 4 + e) * PITCH + d * 128);
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        const float a = e == 0   ? fa[r].x
                                        : e == 1 ? fa[r].y
                                        : e == 2 ? fa[r].z
                                                 : fa[r].w;
                        float *sum = &sums.x[r][d * 4];
                        sum[0] = fmaf(a, fb.x, sum[0]);
                        sum[1] = fmaf(a, fb.y, sum[1]);
                        sum[2] = fmaf(a, fb.z, sum[2]);
                        sum[3] = fmaf(a, fb.w, sum[3]);
                    }
                }
        }
    }
};
