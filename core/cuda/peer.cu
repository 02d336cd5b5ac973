/* Bound by memory: two ranks' parts are read and one is written, 12 bytes per element of f32, while
 * copies bring the next part. The terms are added as a tree for any number of ranks, so the sum
 * equals the CPU's. */
#include "core/cuda/peer.h"

#include "core/cuda/cuda_common.cuh"

#include <cuda.h>
#include <dlfcn.h>

enum { THREADS = 256 };

/* Driver functions are looked up by name, so the program also starts without a driver. */
struct Driver {
    decltype(cuStreamWaitValue32) *wait;
    decltype(cuStreamWriteValue32) *write;
    decltype(cuMemGetAddressRange) *range;
    decltype(cuPointerGetAttribute) *attribute;
};

static Driver driver_open() {
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    Driver d = {};
    if (library == NULL) return d;
    *(void **)&d.wait = dlsym(library, "cuStreamWaitValue32_v2");
    *(void **)&d.write = dlsym(library, "cuStreamWriteValue32_v2");
    *(void **)&d.range = dlsym(library, "cuMemGetAddressRange_v2");
    *(void **)&d.attribute = dlsym(library, "cuPointerGetAttribute");
    return d;
}

static const Driver &driver() {
    static const Driver d = driver_open();
    return d;
}

static Status driver_check(CUresult result, const char *what) {
    if (result == CUDA_SUCCESS) return Status{STATUS_OK};
    return ERROR(STATUS_FAILURE, "CUDA driver: %s: error %d", what, (int)result);
}

extern "C" Status peer_check(void) {
    const Driver &d = driver();
    if (d.wait != NULL && d.write != NULL && d.range != NULL && d.attribute != NULL)
        return Status{STATUS_OK};
    return ERROR(STATUS_UNSUPPORTED, "this NVIDIA driver has no stream memory operations");
}

extern "C" Status peer_flag_set(void *stream, uint32_t *flag) {
    return driver_check(
        driver().write((CUstream)stream, (CUdeviceptr)flag, 1, CU_STREAM_WRITE_VALUE_DEFAULT),
        "setting a flag");
}

extern "C" Status peer_flag_await(void *stream, uint32_t *flag) {
    TRY(driver_check(driver().wait((CUstream)stream, (CUdeviceptr)flag, 1, CU_STREAM_WAIT_VALUE_EQ),
                     "waiting for a flag"));
    return driver_check(
        driver().write((CUstream)stream, (CUdeviceptr)flag, 0, CU_STREAM_WRITE_VALUE_DEFAULT),
        "clearing a flag");
}

extern "C" Status peer_allocation(const void *data, void **base, uint64_t *id) {
    CUdeviceptr start = 0;
    size_t bytes = 0;
    unsigned long long number = 0;
    TRY(driver_check(driver().range(&start, &bytes, (CUdeviceptr)data), "finding an allocation"));
    TRY(driver_check(driver().attribute(&number, CU_POINTER_ATTRIBUTE_BUFFER_ID, start),
                     "naming an allocation"));
    *base = (void *)start;
    *id = number;
    return Status{STATUS_OK};
}

template <typename T>
struct SumParams {
    T *out;
    const T *terms[PEER_MOST_RANKS];
    int64_t packs;
};

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) sum_ranks_kernel(SumParams<T> p) {
    constexpr int W = 16 / sizeof(T), POWER = N >= 8 ? 8 : N >= 4 ? 4 : 2;
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < p.packs; i += step) {
        T v[N][W];
#pragma unroll
        for (int r = 0; r < N; r++) *(int4 *)v[r] = *(const int4 *)(p.terms[r] + i * W);
#pragma unroll
        for (int r = POWER; r < N; r++) {
#pragma unroll
            for (int k = 0; k < W; k++) v[r - POWER][k] += v[r][k];
        }
#pragma unroll
        for (int distance = 1; distance < POWER; distance *= 2) {
#pragma unroll
            for (int r = 0; r < POWER; r += 2 * distance) {
#pragma unroll
                for (int k = 0; k < W; k++) v[r][k] += v[r + distance][k];
            }
        }
        *(int4 *)(p.out + i * W) = *(const int4 *)v[0];
    }
}

template <typename T>
static Status sum_launch(void *stream, T *out, const void *const *terms, int n, int64_t count) {
    constexpr int W = 16 / sizeof(T);
    SumParams<T> p = {out, {}, count / W};
    for (int r = 0; r < n; r++) p.terms[r] = (const T *)terms[r];
    unsigned blocks = blocks_for(p.packs, THREADS), most = 1024;
    if (blocks > most) blocks = most;
    cudaStream_t s = (cudaStream_t)stream;
    switch (n) {
    case 2: sum_ranks_kernel<T, 2><<<blocks, THREADS, 0, s>>>(p); break;
    case 3: sum_ranks_kernel<T, 3><<<blocks, THREADS, 0, s>>>(p); break;
    case 4: sum_ranks_kernel<T, 4><<<blocks, THREADS, 0, s>>>(p); break;
    case 5: sum_ranks_kernel<T, 5><<<blocks, THREADS, 0, s>>>(p); break;
    case 6: sum_ranks_kernel<T, 6><<<blocks, THREADS, 0, s>>>(p); break;
    case 7: sum_ranks_kernel<T, 7><<<blocks, THREADS, 0, s>>>(p); break;
    case 8: sum_ranks_kernel<T, 8><<<blocks, THREADS, 0, s>>>(p); break;
    default: return ERROR(STATUS_UNSUPPORTED, "copies between GPUs cannot sum %d ranks", n);
    }
    return cuda_launched("peer_sum");
}

extern "C" Status peer_sum(void *stream, void *out, const void *const *terms, int n, int64_t count,
                           DType dtype) {
    if (count == 0) return Status{STATUS_OK};
    if (dtype == DTYPE_F32) return sum_launch<float>(stream, (float *)out, terms, n, count);
    if (dtype == DTYPE_F64) return sum_launch<double>(stream, (double *)out, terms, n, count);
    return ERROR(STATUS_UNSUPPORTED, "copies between GPUs cannot sum %s", dtype_name(dtype));
}
