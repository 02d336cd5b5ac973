/* Bound by memory. The bias gradient reads dy once: at 65536 rows 24 us for 768 columns, 72 us for
 * 2304, 96 us for 3072 at 4.2 TB/s. 128 parts of the rows times columns / 256 blocks of 8 rows by
 * 32 packs fill 132 multiprocessors. Summing the lines reads 0.4 to 1.5 MB from the L2 cache: about
 * 3 us. */
#include "core/cuda/columns.cuh"

#include "core/cuda/cuda_common.cuh"

static __global__ void __launch_bounds__(1024)
    columns_sum_kernel(ColumnSum first, ColumnSum second, int n, int64_t stride, int64_t columns) {
    __shared__ float sums[32][33];
    ColumnSum job = blockIdx.y == 0 ? first : second;
    if (job.out == NULL) return;
    int64_t column = (int64_t)blockIdx.x * 32 + threadIdx.x;
    float sum = 0;
    if (column < columns) {
#pragma unroll 4
        for (int i = (int)threadIdx.y; i < n; i += 32) sum += job.parts[i * stride + column];
    }
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = warp_sum(sums[threadIdx.x][threadIdx.y]); /* warp y now holds the 32 sums of column y */
    int64_t mine = (int64_t)blockIdx.x * 32 + threadIdx.y;
    if (threadIdx.x == 0 && mine < columns)
        job.out[mine] = job.accumulate ? job.out[mine] + sum : sum;
}

Status columns_sum(ColumnSum first, ColumnSum second, int64_t n, int64_t stride, int64_t columns,
                   cudaStream_t stream) {
    dim3 grid(blocks_for(columns, 32), second.out == NULL ? 1 : 2);
    columns_sum_kernel<<<grid, dim3(32, 32), 0, stream>>>(first, second, (int)n, stride, columns);
    return cuda_launched("columns_sum");
}

/* Block index: (x, part): 32 packs of columns, 8 rows at a time. */
template <typename T, int W>
static __global__ void __launch_bounds__(256)
    columns_part_kernel(float *parts, const T *dy, int64_t rows, int64_t columns) {
    __shared__ float sums[8][32][W + (W > 1)];
    int64_t column = ((int64_t)blockIdx.x * 32 + threadIdx.x) * W;
    int64_t first = rows * blockIdx.y / COLUMN_PARTS, end = rows * (blockIdx.y + 1) / COLUMN_PARTS;
    float sum[W] = {};
    if (column < columns) {
#pragma unroll 4
        for (int64_t row = first + threadIdx.y; row < end; row += 8) {
            float x[W];
            load<W>(dy + row * columns + column, x);
#pragma unroll
            for (int i = 0; i < W; i++) sum[i] += x[i];
        }
    }
#pragma unroll
    for (int i = 0; i < W; i++) sums[threadIdx.y][threadIdx.x][i] = sum[i];
    __syncthreads();
    if (threadIdx.y != 0 || column >= columns) return;
    for (int y = 1; y < 8; y++) {
#pragma unroll
        for (int i = 0; i < W; i++) sum[i] += sums[y][threadIdx.x][i];
    }
    store<W>(parts + blockIdx.y * columns + column, sum);
}

Status columns_gradient(float *db, bool accumulate, DType dtype, const void *dy, int64_t rows,
                        int64_t columns, float *parts, cudaStream_t stream) {
    TRY(dispatch_real(dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        return dispatch_width<T>(fits_packs<T>(columns, dy, parts), [&](auto width) {
            constexpr int W = decltype(width)::value;
            dim3 grid(blocks_for(columns, 32 * W), COLUMN_PARTS);
            columns_part_kernel<T, W>
                <<<grid, dim3(32, 8), 0, stream>>>(parts, (const T *)dy, rows, columns);
            return cuda_launched("columns_part");
        });
    }));
    ColumnSum job = {db, parts, accumulate};
    return columns_sum(job, ColumnSum{}, COLUMN_PARTS, columns, columns, stream);
}
