/* The tensor-core engine: mma.sync over tiles in shared memory.
 *
 * A warp owns 16 * MT rows of the block. Q (and in backward dO, or K and V) is a left operand: kept
 * in fragments if registers allow it, otherwise read from its tile each time. Weights go from one
 * product to the next in registers: the accumulator layout of S is the operand layout of P.
 *
 * tf32 shares all of this with the 16-bit types: eight rows of 16 bytes are four f32 instead of
 * eight 16-bit numbers, and ldmatrix hands each lane the word that the tf32 fragment wants. Only
 * the transposed operand of P V cannot be read this way, so its contraction is renumbered: slot t
 * of a step is column 2t of P and slot t + 4 is column 2t + 1, which is what a lane's accumulators
 * hold; the rows of V are read in the same order. Factors are rounded to nearest.
 *
 * Fragments (lane = 4 g + t): an accumulator block of 16 rows x 8 columns holds (g, 2t), (g, 2t+1),
 * (g+8, 2t), (g+8, 2t+1). Source: PTX ISA, "Matrix fragments for mma.m16n8k16", "... m16n8k8". */
#pragma once

#include "nn/attention/cuda/mem_efficient/mem_efficient.cuh"

/* acc += a b over 32 bytes of depth. */
template <typename T>
__device__ __forceinline__ void depth_multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                               uint32_t b1) {
    if constexpr (std::is_same_v<T, float>) {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, "
                     "{%4,%5,%6,%7}, {%8,%9}, "
                     "{%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    } else if constexpr (HAS_DEEP_PRODUCT) {
        multiply<T>(d, a, b0, b1);
    } else { /* sm_75: f16 in two halves */
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, "
                     "{%6}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(b0));
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, "
                     "{%6}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[2]), "r"(a[3]), "r"(b1));
    }
}

/* Converts a word of a fragment for the tensor core. */
template <typename T>
__device__ __forceinline__ uint32_t operand(uint32_t word) {
    if constexpr (std::is_same_v<T, float>)
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(__uint_as_float(word)));
    return word;
}

/* Two adjacent accumulator blocks as one left operand. */
template <typename T>
__device__ __forceinline__ void operand_pack(uint32_t (&a)[4], const float (&left)[4],
                                             const float (&right)[4]) {
    if constexpr (HAS_DEEP_PRODUCT) {
        flash_pack_a<T>(a, left, right);
    } else { /* sm_75 cannot convert two numbers at once */
#pragma unroll
        for (int w = 0; w < 4; w++) {
            const float *pair = (w < 2 ? left : right) + w % 2 * 2;
            const __half2 both = __floats2half2_rn(pair[0], pair[1]);
            a[w] = *(const uint32_t *)&both;
        }
    }
}

template <typename T>
__device__ __forceinline__ void operand_load(uint32_t (&f)[4], uint32_t address) {
    load_matrix(f, address);
#pragma unroll
    for (int w = 0; w < 4; w++) f[w] = operand<T>(f[w]);
}

/* HS_: columns of a tile; MT: blocks of 16 rows per warp; N_: rows of the tiles that a block
 * iterates over; STAGES_: number of these in flight; REGISTERS: left operands stay in fragments;
 * SPLIT: number of warps that share the same rows, each with a part of the columns of the sums. */
template <typename T, int HS_, int MT, int N_, int STAGES_, bool REGISTERS, int SPLIT = 1>
struct MmaEngine {
    using Memory = T;
    using Tile = T;
    static constexpr int HS = HS_, N = N_, STAGES = STAGES_, ROWS = 64 * MT, THREADS = 128 * SPLIT;
    static constexpr int PART = HS / SPLIT, E = (int)sizeof(T), PITCH = HS * E + 16,
                         STEPS = HS * E / 32;
    static constexpr int R = 2 * MT, C = N / 4, D = PART / 4, SCRATCH = 0;
    static constexpr bool PAIRS =
        true; /* scores are in pairs of columns, over four lanes; rows over lanes 4 apart */
    static constexpr int COLUMN_LANE = 1, ROW_LANE = 4;
    static constexpr bool COMPILES = HAS_DEEP_PRODUCT || std::is_same_v<T, __half>;

    template <int COLUMNS>
    struct Blocks {
        float x[MT][COLUMNS / 8][4];
        __device__ __forceinline__ float &at(int r, int c) {
            return x[r / 2][c / 2][r % 2 * 2 + c % 2];
        }
    };
    using Scores = Blocks<N>;
    using Sums = Blocks<PART>;

    __device__ static __forceinline__ int lane() { return threadIdx.x % 32; }
    __device__ static __forceinline__ int warp_row() { return threadIdx.x / 32 % 4 * 16 * MT; }
    __device__ static __forceinline__ int part() {
        return SPLIT == 1 ? 0 : (int)threadIdx.x / 128 * PART;
    }
    __device__ static __forceinline__ int row(int r) {
        return warp_row() + r / 2 * 16 + r % 2 * 8 + lane() / 4;
    }
    __device__ static __forceinline__ int column(int c) {
        return c / 2 * 8 + lane() % 4 * 2 + c % 2;
    }
    __device__ static __forceinline__ int sums_column(int d) { return part() + column(d); }
    /* Blocks per multiprocessor for which registers must suffice. */
    static constexpr bool NARROW = E == 2 && MT == 1;
    static constexpr int FORWARD_BLOCKS = NARROW && HS <= 64 ? 4 : 1,
                         DQ_BLOCKS = NARROW && HS <= 128 ? 3 : 1;
    static constexpr int FORWARD_DROPOUT_BLOCKS = NARROW && HS <= 128 ? 3 : 1;
    static constexpr int OWN_COLUMNS = PART; /* of the sums: the warp's own */
    __device__ static __forceinline__ int first_column() { return part(); }
    __device__ static __forceinline__ bool is_first_of_row() {
        return lane() % 4 == 0 && threadIdx.x < 128;
    }
    __device__ static __forceinline__ float row_max(float x) { return flash_quad_max(x); }
    __device__ static __forceinline__ float row_sum(float x) { return flash_quad_sum(x); }

    struct Left {
        uint32_t fragment[MT][REGISTERS ? STEPS : 1][4];
        uint32_t address;

        __device__ __forceinline__ void load(const char *tile) {
            address = shared_address(tile + (warp_row() + lane() % 16) * PITCH + lane() / 16 * 16);
            if constexpr (REGISTERS)
#pragma unroll
                for (int m = 0; m < MT; m++)
#pragma unroll
                    for (int k = 0; k < STEPS; k++)
                        operand_load<T>(fragment[m][k], address + m * 16 * PITCH + k * 32);
        }
    };

    /* s = left bT, b being N rows. */
    __device__ static __forceinline__ void product_rows(Scores &s, Left &left, const char *b) {
        const uint32_t at_b =
            shared_address(b + (lane() % 8 + lane() / 16 * 8) * PITCH + lane() / 8 % 2 * 16);
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int n = 0; n < N / 8; n++)
                s.x[m][n][0] = s.x[m][n][1] = s.x[m][n][2] = s.x[m][n][3] = 0.0f;
#pragma unroll
        for (int k = 0; k < STEPS; k++) {
            const int held = REGISTERS ? k : 0;
            if constexpr (!REGISTERS)
#pragma unroll
                for (int m = 0; m < MT; m++)
                    operand_load<T>(left.fragment[m][0], left.address + m * 16 * PITCH + k * 32);
#pragma unroll
            for (int n = 0; n < N / 16; n++) {
                uint32_t fb[4];
                operand_load<T>(fb, at_b + n * 16 * PITCH + k * 32);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    depth_multiply<T>(s.x[m][2 * n], left.fragment[m][held], fb[0], fb[1]);
                    depth_multiply<T>(s.x[m][2 * n + 1], left.fragment[m][held], fb[2], fb[3]);
                }
            }
        }
    }

    /* sums += s b, b being N rows. */
    __device__ static __forceinline__ void product_weights(Sums &sums, Scores &s, const char *b,
                                                           char *) {
        if constexpr (E == 4)
            product_weights_wide(sums, s, (const float *)b + part());
        else
            product_weights_narrow(sums, s, b + part() * E);
    }

    __device__ static __forceinline__ void product_weights_narrow(Sums &sums, Scores &s,
                                                                  const char *b) {
        const uint32_t at_b = shared_address(b + lane() % 16 * PITCH + lane() / 16 * 16);
#pragma unroll
        for (int k = 0; k < N / 16; k++) {
            uint32_t fa[MT][4], fb[4];
#pragma unroll
            for (int m = 0; m < MT; m++) operand_pack<T>(fa[m], s.x[m][2 * k], s.x[m][2 * k + 1]);
#pragma unroll
            for (int n = 0; n < PART / 16; n++) {
                load_matrix_transposed(fb, at_b + k * 16 * PITCH + n * 32);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    depth_multiply<T>(sums.x[m][2 * n], fa[m], fb[0], fb[1]);
                    depth_multiply<T>(sums.x[m][2 * n + 1], fa[m], fb[2], fb[3]);
                }
            }
        }
    }

    __device__ static __forceinline__ void product_weights_wide(Sums &sums, Scores &s,
                                                                const float *b) {
        const float *at = b + lane() % 4 * 2 * (PITCH / 4) + lane() / 4;
#pragma unroll
        for (int k = 0; k < N / 8; k++) {
            uint32_t fa[MT][4];
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int w = 0; w < 4; w++)
                    fa[m][w] = operand<T>(__float_as_uint(s.x[m][k][w % 2 * 2 + w / 2]));
#pragma unroll
            for (int n = 0; n < PART / 8; n++) {
                const float *two = at + k * 8 * (PITCH / 4) + n * 8;
                const uint32_t b0 = operand<T>(__float_as_uint(two[0]));
                const uint32_t b1 = operand<T>(__float_as_uint(two[PITCH / 4]));
#pragma unroll
                for (int m = 0; m < MT; m++) depth_multiply<T>(sums.x[m][n], fa[m], b0, b1);
            }
        }
    }
};
