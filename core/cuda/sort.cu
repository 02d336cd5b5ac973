/* Two passes of 8 bits (three for vocabularies over 65536), each with three small kernels: digit
 * counts per block, their prefix sums in one block, and a scatter that preserves batch order. 65536
 * tokens are 2 MB in all: six launches of about 3 us. No comparison of floats, no atomics on global
 * memory: the same in every run. */
#include "core/cuda/sort.cuh"

#include "core/cuda/cuda_common.cuh"

enum { DIGITS = 256, THREADS = 256, WARPS = THREADS / 32, ROUNDS = 8, ITEMS = THREADS * ROUNDS };

static int64_t sort_blocks(int64_t count) { return (count + ITEMS - 1) / ITEMS; }
static int sort_passes(int64_t V) { return V <= 1 << 16 ? 2 : V <= 1 << 24 ? 3 : 4; }

/* The item of a lane in a round: a warp owns 32 * ROUNDS consecutive items. */
static __device__ __forceinline__ int64_t item_of(int round) {
    return (int64_t)blockIdx.x * ITEMS + (int)threadIdx.x / 32 * 32 * ROUNDS + round * 32 +
           (int)threadIdx.x % 32;
}

/* Lanes of the warp with the same digit. Lanes without an item use a digit that no item has. */
static __device__ __forceinline__ unsigned same_digit(bool valid, int digit) {
    return __match_any_sync(0xFFFFFFFFu, valid ? digit : DIGITS);
}

static __device__ void digits_count(const int32_t *keys, int64_t count, int shift,
                                    int (*counts)[DIGITS]) {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int w = 0; w < WARPS; w++) counts[w][threadIdx.x] = 0;
    __syncthreads();
    for (int round = 0; round < ROUNDS; round++) {
        int64_t i = item_of(round);
        bool valid = i < count;
        int digit = valid ? keys[i] >> shift & (DIGITS - 1) : 0;
        unsigned same = same_digit(valid, digit);
        if (valid && __ffs((int)same) - 1 == lane) counts[warp][digit] += __popc(same);
        __syncwarp();
    }
    __syncthreads();
}

static __global__ void __launch_bounds__(THREADS)
    count_kernel(int *totals, const int32_t *keys, int64_t count, int shift) {
    __shared__ int counts[WARPS][DIGITS];
    digits_count(keys, count, shift, counts);
    int sum = 0;
    for (int w = 0; w < WARPS; w++) sum += counts[w][threadIdx.x];
    totals[threadIdx.x * gridDim.x + blockIdx.x] = sum;
}

/* Exclusive prefix sums of n numbers in place, by one block: one run per thread, then the totals of
 * the runs. */
static __global__ void __launch_bounds__(1024) scan_kernel(int *x, int64_t n) {
    __shared__ int totals[1024];
    int64_t run = (n + 1023) / 1024, first = threadIdx.x * run,
            end = first + run < n ? first + run : n;
    int sum = 0;
    for (int64_t i = first; i < end; i++) sum += x[i];
    totals[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 1; step < 1024; step *= 2) {
        int before = (int)threadIdx.x >= step ? totals[threadIdx.x - step] : 0;
        __syncthreads();
        totals[threadIdx.x] += before;
        __syncthreads();
    }
    sum = totals[threadIdx.x] - sum;
    for (int64_t i = first; i < end; i++) {
        int own = x[i];
        x[i] = sum;
        sum += own;
    }
}

/* `rows` NULL: the rows are the indices of the items, as in the first pass. */
static __global__ void __launch_bounds__(THREADS)
    scatter_kernel(int32_t *keys_out, int32_t *rows_out, const int32_t *keys, const int32_t *rows,
                   const int *places, int64_t count, int shift) {
    __shared__ int next[WARPS][DIGITS];
    digits_count(keys, count, shift, next);
    int place = places[threadIdx.x * gridDim.x + blockIdx.x];
    for (int w = 0; w < WARPS; w++) {
        int own = next[w][threadIdx.x];
        next[w][threadIdx.x] = place;
        place += own;
    }
    __syncthreads();
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t i = item_of(round);
        bool valid = i < count;
        int32_t key = valid ? keys[i] : 0;
        int digit = key >> shift & (DIGITS - 1), to = valid ? next[warp][digit] : 0;
        unsigned same = same_digit(valid, digit);
        __syncwarp();
        if (valid) {
            to += __popc(same & ((1u << lane) - 1));
            keys_out[to] = key;
            rows_out[to] = rows == NULL ? (int32_t)i : rows[i];
            if (__ffs((int)same) - 1 == lane) next[warp][digit] += __popc(same);
        }
        __syncwarp();
    }
}

/* Passes alternate between the two halves of the memory. */
static int32_t *half_of(void *memory, int64_t count, int pass) {
    return (int32_t *)memory + pass % 2 * 2 * count;
}

void sorted_tokens(void *memory, int64_t count, int64_t V, const int32_t **keys,
                   const int32_t **rows) {
    *keys = half_of(memory, count, sort_passes(V) - 1);
    *rows = *keys + count;
}

Status sort_tokens(const int32_t *tokens, int64_t count, int64_t V, void *memory,
                   const int32_t **keys, const int32_t **rows, cudaStream_t stream) {
    int *places = (int *)memory + 4 * count;
    unsigned blocks = (unsigned)sort_blocks(count);
    *keys = tokens, *rows = NULL;
    for (int pass = 0; pass < sort_passes(V); pass++) {
        int32_t *out = half_of(memory, count, pass);
        count_kernel<<<blocks, THREADS, 0, stream>>>(places, *keys, count, pass * 8);
        scan_kernel<<<1, 1024, 0, stream>>>(places, (int64_t)DIGITS * blocks);
        scatter_kernel<<<blocks, THREADS, 0, stream>>>(out, out + count, *keys, *rows, places,
                                                       count, pass * 8);
        TRY(cuda_launched("sort_tokens"));
        *keys = out, *rows = out + count;
    }
    return Status{STATUS_OK};
}
