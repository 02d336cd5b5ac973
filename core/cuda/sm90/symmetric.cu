/* Symmetric products by TMA and wgmma: see core/cuda/sm90/symmetric.cuh.
 *
 * A block computes one tile of 192 x 192 on or below the diagonal, by three warpgroups of 64 x 192,
 * and writes it there and, transposed, above. 192 divides 768 into 4, so that 10 of 16 tiles are
 * computed: of 128 x 128, 21 of 36 would be (7% fewer FLOPs), but each FLOP would load half again
 * as much from the L2 cache, which bounds them. A batch of 12 matrices of 768 x 768 is 120 blocks,
 * one for each of 132 multiprocessors.
 *
 * Three stages of 64 columns of a and b, 48 KB each, and a tile of 72 KB, which first holds the
 * addend and then the result; the transposed result takes the stages' memory. stmatrix transposes
 * blocks of 8 x 8. On the diagonal the blocks above it are copied from the transposed tile.
 *
 * Blocks start where the launch before leaves multiprocessors idle, create their barriers and wait
 * for its end: Muon's products follow each other, and each is one to four waves of blocks.
 *
 * 192 x 192 x 768: 57 MFLOP, 7.6 us at an H200's peak; 12 matrices load 71 MB through the L2
 * cache, 57 MB where a is b. */
#include "core/cuda/sm90/symmetric.cuh"

#include "core/cuda/cuda_common.cuh"
#include "core/cuda/sm90/dependent_launch.cuh"
#include "core/cuda/sm90/tensor_map.cuh"
#include "core/cuda/sm90/tiles.cuh"

constexpr int SIDE = 192, STEP = 64, STAGES = 3, WARPS = 12, THREADS = 32 * WARPS;
constexpr int CHUNKS = SIDE / STEP, CHUNK = SIDE * STEP * 2, STAGE = 2 * CHUNK,
              TILE = CHUNKS * CHUNK;
constexpr int OUT = STAGES * STAGE, CONTROL = OUT + TILE;
constexpr int BYTES = CONTROL + 16 + Ring<STAGES, WARPS>::CONTROL_BYTES;
static_assert(TILE <= OUT, "the transposed tile takes the stages' memory");

typedef Tile<STEP> StepTile;
typedef Tile<SIDE> ResultTile;

/* Over (column, row, matrix, 1), with boxes of STEP columns and SIDE rows. */
struct SymmetricMaps {
    CUtensorMap a, b, addend, out;
};

struct SymmetricShape {
    int depth;
    bool squares, adds; /* squares: a is b */
    float scale, addend_scale;
};

/* A block's tile, in tiles, of the given matrix. */
struct SymmetricPlace {
    int row, column, matrix;
    __device__ __forceinline__ bool is_diagonal() const { return row == column; }
};

static __device__ __forceinline__ SymmetricPlace place_of(int tile, int matrix) {
    int row = 0;
    while ((row + 1) * (row + 2) / 2 <= tile) row++;
    return SymmetricPlace{row, tile - row * (row + 1) / 2, matrix};
}

/* Starts the copies of step `at`; on the diagonal of a square product both operands are one. */
static __device__ __forceinline__ void load_step(const SymmetricMaps &maps,
                                                 const Ring<STAGES, WARPS> &ring, uint32_t shared,
                                                 const SymmetricPlace &place, bool both, int at,
                                                 int steps, int stage) {
    if (at >= steps) return;
    const uint32_t to = shared + stage * STAGE, full = ring.full(stage);
    barrier_expect(full, both ? STAGE : CHUNK);
    copy_box(to, maps.a, full, at * STEP, place.row * SIDE, place.matrix, 0);
    if (both) copy_box(to + CHUNK, maps.b, full, at * STEP, place.column * SIDE, place.matrix, 0);
}

static __device__ __forceinline__ void load_addend(const SymmetricMaps &maps, uint32_t shared,
                                                   const SymmetricPlace &place) {
    const uint32_t full = shared + CONTROL;
    barrier_expect(full, TILE);
    for (int c = 0; c < CHUNKS; c++)
        copy_box(shared + OUT + c * CHUNK, maps.addend, full, place.column * SIDE + c * STEP,
                 place.row * SIDE, place.matrix, 0);
}

/* acc = the warpgroup's 64 rows of a b^T. */
static __device__ __forceinline__ void multiply(float (&acc)[SIDE / 2], const SymmetricMaps &maps,
                                                const Ring<STAGES, WARPS> &ring, uint32_t shared,
                                                const SymmetricPlace &place, bool both, int steps) {
    const uint32_t b = StepTile::descriptor(shared + (both ? CHUNK : 0), SIDE),
                   a = StepTile::descriptor(shared + threadIdx.x / 128 * 64 * StepTile::ROW_BYTES,
                                            SIDE);
    Cursor<STAGES> c;
    int last = 0; /* the stage of the products that may still run */
    while (c.at < steps) {
        ring.wait(c.stage, c.parity);
        const uint32_t stage = (uint32_t)(c.stage * STAGE >> 4);
        group_fence(acc);
#pragma unroll
        for (int k = 0; k < STEP / 16; k++)
            wgmma_shared<__half, SIDE, StepTile::HIGH>(
                acc, StepTile::columns_at(a + stage, SIDE, k),
                StepTile::columns_at(b + stage, SIDE, k), c.at > 0 || k > 0);
        group_commit();
        group_wait<1>();
        if (c.at > 0 && ring.release(last))
            load_step(maps, ring, shared, place, both, c.at - 1 + STAGES, steps, last);
        last = c.stage;
        c.advance();
    }
    group_wait<0>(acc);
}

static __device__ __forceinline__ float2 unpack(uint32_t pair) {
    return __half22float2(*reinterpret_cast<__half2 *>(&pair));
}

static __device__ __forceinline__ uint32_t pack(float x, float y) {
    __half2 pair = __floats2half2_rn(x, y);
    return *reinterpret_cast<uint32_t *>(&pair);
}

/* Four blocks of 8 x 8, as they are or transposed; a lane has the address of a block's row. */
template <bool TRANSPOSED>
static __device__ __forceinline__ void store_blocks(uint32_t address, const uint32_t (&x)[4]) {
    if constexpr (TRANSPOSED)
        asm volatile(
            "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
            "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
            : "memory");
    else
        asm volatile(
            "stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
            "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
            : "memory");
}

/* scale acc + addend_scale addend as f16, of row `row` and of columns `column` and the next. */
static __device__ __forceinline__ uint32_t result_pair(const SymmetricShape &s, uint32_t out,
                                                       float x, float y, int row, int column) {
    x *= s.scale, y *= s.scale;
    if (s.adds) {
        uint32_t pair;
        asm volatile("ld.shared.b32 %0, [%1];"
                     : "=r"(pair)
                     : "r"(out + ResultTile::offset(SIDE, row, column))
                     : "memory");
        const float2 addend = unpack(pair);
        x += s.addend_scale * addend.x, y += s.addend_scale * addend.y;
    }
    return pack(x, y);
}

/* The warp's 16 rows of the result, in place of the addend, and transposed. */
static __device__ __forceinline__ void write_tiles(const float (&acc)[SIDE / 2],
                                                   const SymmetricShape &s, uint32_t out,
                                                   uint32_t transposed) {
    const int first = threadIdx.x / 32 * 16, lane = threadIdx.x % 32, block = lane / 8;
    const int row = first + lane / 4, column = lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < SIDE / 8; n += 2) {
        uint32_t x[4];
#pragma unroll
        for (int i = 0; i < 4; i++) { /* blocks: (low, n), (high, n), (low, n + 1), (high, n + 1) */
            const float *from = acc + 4 * (n + i / 2) + i % 2 * 2;
            x[i] = result_pair(s, out, from[0], from[1], row + i % 2 * 8, 8 * (n + i / 2) + column);
        }
        __syncwarp(); /* all lanes have read the addend */
        const int to_row = first + block % 2 * 8, to_column = 8 * (n + block / 2);
        store_blocks<false>(out + ResultTile::offset(SIDE, to_row + lane % 8, to_column), x);
        store_blocks<true>(transposed + ResultTile::offset(SIDE, to_column + lane % 8, to_row), x);
    }
}

/* The blocks above the diagonal, from the transposed tile. */
static __device__ __forceinline__ void mirror(uint8_t *out, const uint8_t *transposed) {
    for (int i = threadIdx.x; i < SIDE * SIDE / 8; i += THREADS) {
        const int row = i / (SIDE / 8), column = i % (SIDE / 8) * 8;
        if (column / 8 <= row / 8) continue;
        const uint32_t at = ResultTile::offset(SIDE, row, column);
        *(uint4 *)(out + at) = *(const uint4 *)(transposed + at);
    }
}

static __device__ __forceinline__ void store_result(const SymmetricMaps &maps, uint32_t from,
                                                    int row, int column, int matrix) {
    for (int c = 0; c < CHUNKS; c++)
        store_box(maps.out, from + c * CHUNK, column * SIDE + c * STEP, row * SIDE, matrix, 0);
}

/* Block index: (tile, matrix). */
static __global__ void __launch_bounds__(THREADS, 1)
    symmetric_kernel(const __grid_constant__ SymmetricMaps maps, SymmetricShape s) {
    extern __shared__ __align__(1024) uint8_t memory[];
    const SymmetricPlace place = place_of((int)blockIdx.x, (int)blockIdx.y);
    const uint32_t shared = shared_address(memory);
    const Ring<STAGES, WARPS> ring = {shared + CONTROL + 16};
    const int steps = (s.depth + STEP - 1) / STEP;
    const bool both = !(s.squares && place.is_diagonal());
    if (threadIdx.x == 0) {
        barrier_create(shared + CONTROL, 1);
        ring.create();
        barriers_publish();
    }
    launch_next();
    __syncthreads();
    wait_for_last();
    if (threadIdx.x == 0)
        for (int at = 0; at < STAGES; at++)
            load_step(maps, ring, shared, place, both, at, steps, at);
    if (threadIdx.x == 32 && s.adds) load_addend(maps, shared, place);

    float acc[SIDE / 2];
    multiply(acc, maps, ring, shared, place, both, steps);
    __syncthreads(); /* all products have read the stages */
    if (s.adds) barrier_wait(shared + CONTROL, 0);
    write_tiles(acc, s, shared + OUT, shared);
    if (place.is_diagonal()) {
        __syncthreads();
        mirror(memory + OUT, memory);
    }
    publish_shared();
    __syncthreads();
    if (threadIdx.x != 0) return;
    store_result(maps, shared + OUT, place.row, place.column, place.matrix);
    if (!place.is_diagonal()) store_result(maps, shared, place.column, place.row, place.matrix);
    stores_commit();
    stores_read();
}

static int64_t tiles_of(int64_t r) {
    int64_t side = (r + SIDE - 1) / SIDE;
    return side * (side + 1) / 2;
}

static bool is_aligned(const void *pointer) { return ((uintptr_t)pointer & 15) == 0; }

bool symmetric_takes(const SymmetricProduct &p) {
    return p.r % 8 == 0 && p.depth % 8 == 0 && p.depth > 0 && p.depth <= INT32_MAX - STEP &&
           p.n <= 65535 && is_aligned(p.a) && is_aligned(p.b) && is_aligned(p.out) &&
           is_aligned(p.addend);
}

bool symmetric_pays(const SymmetricProduct &p) { return tiles_of(p.r) * SIDE * SIDE < p.r * p.r; }

static Status map_of(CUtensorMap *map, const void *pointer, int64_t n, int64_t rows,
                     int64_t columns) {
    const cuuint64_t row = (cuuint64_t)columns * 2, matrix = row * (cuuint64_t)rows;
    const TensorMapShape shape = {CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                                  4,
                                  {(cuuint64_t)columns, (cuuint64_t)rows, (cuuint64_t)n, 1},
                                  {row, matrix, matrix * (cuuint64_t)n},
                                  {STEP, SIDE, 1, 1},
                                  CU_TENSOR_MAP_SWIZZLE_128B,
                                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B};
    return tensor_map_encode(map, pointer, shape);
}

Status symmetric_run(const SymmetricProduct &p, cudaStream_t stream) {
    SymmetricMaps maps;
    TRY(map_of(&maps.a, p.a, p.n, p.r, p.depth));
    TRY(map_of(&maps.b, p.b, p.n, p.r, p.depth));
    TRY(map_of(&maps.addend, p.addend == NULL ? p.out : p.addend, p.n, p.r, p.r));
    TRY(map_of(&maps.out, p.out, p.n, p.r, p.r));
    const SymmetricShape shape = {(int)p.depth, p.a == p.b, p.addend != NULL, p.scale,
                                  p.addend_scale};
    (void)cudaFuncSetAttribute(symmetric_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               BYTES);
    dim3 grid((unsigned)tiles_of(p.r), (unsigned)p.n);
    return launch_dependent("symmetric_kernel", symmetric_kernel, grid, dim3(THREADS), BYTES,
                            stream, maps, shape);
}
