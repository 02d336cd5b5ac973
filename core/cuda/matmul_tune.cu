/* Selects the fastest algorithm for a product: runs cuBLASLt's suggestions, with and without the
 * epilogue fused, on random operands, and compares the fastest of a few runs. Zeros are unsuitable:
 * they run faster than real data. */
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/matmul_plan.cuh"
#include "core/ops/linear.h"
#include "core/rng.h"

#include <cfloat>
#include <cstdio>
#include <cstring>

enum { SUGGESTIONS = 32, RUNS = 6, TIMED_BATCH_BYTES = 256 << 20 };

struct Candidate {
    bool fused;
    cublasLtMatmulAlgo_t algo;
    float ms; /* 0: not timed */
};

/* True f32 products need GELUs in true f32; cuBLASLt has no accumulating bias gradient. */
static bool may_fuse(const MatmulShape *s) {
    bool gelu = s->epilogue == EPILOGUE_GELU || s->epilogue == EPILOGUE_GELU_GRADIENT;
    if (s->dtype == DTYPE_F32 && gelu) return false;
    return !(s->epilogue == EPILOGUE_COLUMN_SUMS_OF_A && s->accumulate_bias);
}

static Status suggestions(CudaDevice *device, const MatmulShape *shape, bool fused, int wanted,
                          Candidate *out, int *count) {
    MatmulPlan plan;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t results[SUGGESTIONS];
    uint64_t workspace = MATMUL_WORKSPACE;
    uint32_t alignment = (uint32_t)shape->alignment;
    int found = 0;
    TRY(matmul_plan_describe(shape, fused, &plan));
    BLAS_TRY(cublasLtMatmulPreferenceCreate(&preference));
    cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    BLAS_TRY(cublasLtMatmulPreferenceSetAttribute(
        preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
    for (auto name : alignments) {
        BLAS_TRY(
            cublasLtMatmulPreferenceSetAttribute(preference, name, &alignment, sizeof alignment));
    }
    /* A shape that cuBLASLt does not support in this form has no suggestions; that is not an
     * error. */
    if (cublasLtMatmulAlgoGetHeuristic(device->blas, plan.desc, plan.a, plan.b, plan.out, plan.out,
                                       preference, wanted, results,
                                       &found) != CUBLAS_STATUS_SUCCESS) {
        found = 0;
    }
    for (int i = 0; i < found; i++) {
        if (results[i].state == CUBLAS_STATUS_SUCCESS)
            out[(*count)++] = Candidate{fused, results[i].algo, 0};
    }
    cublasLtMatmulPreferenceDestroy(preference);
    matmul_plan_release(&plan);
    return Status{STATUS_OK};
}

static Status candidates(CudaDevice *device, const MatmulShape *shape, int each, Candidate *out,
                         int *count) {
    *count = 0;
    if (may_fuse(shape)) TRY(suggestions(device, shape, true, each, out, count));
    if (shape->epilogue != EPILOGUE_NONE && (each > 1 || *count == 0)) {
        TRY(suggestions(device, shape, false, each, out, count));
    }
    if (*count > 0) return Status{STATUS_OK};
    return ERROR(STATUS_FAILURE,
                 "cuBLASLt has no algorithm for a product of %lld x %lld x %lld in %s",
                 (long long)shape->rows, (long long)shape->columns, (long long)shape->depth,
                 dtype_name((DType)shape->dtype));
}

template <typename T>
static __global__ void random_kernel(T *out, int64_t count) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count;
         i += (int64_t)gridDim.x * blockDim.x) {
        out[i] = from_float<T>(rng_uniform(philox(1, (uint64_t)i, 0).word[0]) - 0.5f);
    }
}

/* Codes of finite values below 2 in both eight-bit formats; as f32 and in 16 bits they are finite,
 * too. */
static __global__ void random_codes_kernel(uint32_t *out, int64_t words) {
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < words;
         i += (int64_t)gridDim.x * blockDim.x) {
        out[i] = philox(1, (uint64_t)i, 0).word[0] & 0xBFBFBFBFu;
    }
}

/* Memory for one set of operands, filled with random numbers; NULL if the device has too little. */
struct Scratch {
    char *memory;
    MatmulOperands operands;
};

static size_t padded(int64_t elements, int32_t dtype) {
    return ((size_t)elements * dtype_size((DType)dtype) + 255) / 256 * 256;
}

static Status scratch_create(const MatmulShape *s, cudaStream_t stream, Scratch *scratch) {
    size_t a = padded(s->rows * s->depth * s->batch, s->dtype),
           b = padded(s->columns * s->depth * s->batch, s->b_dtype);
    size_t out = padded(s->rows * s->columns * s->batch, s->out_dtype), aux = s->has_aux ? out : 0;
    size_t bias = padded(s->rows > s->columns ? s->rows : s->columns, DTYPE_F32);
    size_t bytes = a + b + out + aux + bias * (1 + LINEAR_BIAS_PARTS_CUDA);
    if (cudaMalloc(&scratch->memory, bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        scratch->memory = NULL;
        return Status{STATUS_OK};
    }
    char *at = scratch->memory;
    MatmulOperands *o = &scratch->operands;
    o->a = at, o->b = at + a, o->out = at + a + b;
    o->aux = s->has_aux ? at + a + b + out : NULL;
    o->bias = s->has_bias ? at + a + b + out + aux : NULL;
    o->parts = (float *)(at + a + b + out + aux + bias);
    if (is_eight_bit(s->dtype)) {
        random_codes_kernel<<<1024, 256, 0, stream>>>((uint32_t *)scratch->memory,
                                                      (int64_t)(bytes / sizeof(uint32_t)));
        return cuda_launched("random_codes");
    }
    return dispatch_real((DType)s->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        random_kernel<T>
            <<<1024, 256, 0, stream>>>((T *)scratch->memory, (int64_t)((bytes - bias) / sizeof(T)));
        return cuda_launched("random");
    });
}

/* Milliseconds of the fastest of a few runs; FLT_MAX if the candidate fails. Stops early if it is
 * far slower than `best`. */
static Status candidate_time(CudaDevice *device, const MatmulPlan *plan,
                             const MatmulOperands *operands, cudaEvent_t start, cudaEvent_t end,
                             float best, float *ms) {
    *ms = FLT_MAX;
    for (int i = 0; i <= RUNS; i++) {
        float run;
        CUDA_TRY(cudaEventRecord(start, device->stream));
        if (failed(matmul_plan_run(device, plan, operands, device->stream))) {
            (void)cudaGetLastError();
            return Status{STATUS_OK};
        }
        CUDA_TRY(cudaEventRecord(end, device->stream));
        CUDA_TRY(cudaEventSynchronize(end));
        CUDA_TRY(cudaEventElapsedTime(&run, start, end));
        if (i == 0) continue; /* the first run loads the code */
        if (run < *ms) *ms = run;
        if (run > 1.5f * best) return Status{STATUS_OK};
    }
    return Status{STATUS_OK};
}

static Status candidates_time(CudaDevice *device, const MatmulShape *shape, Candidate *list,
                              int count, const MatmulOperands *operands, int *winner) {
    cudaEvent_t start, end;
    CUDA_TRY(cudaEventCreate(&start));
    CUDA_TRY(cudaEventCreate(&end));
    float best = FLT_MAX;
    for (int i = 0; i < count; i++) {
        MatmulPlan plan;
        float ms;
        TRY(matmul_plan_describe(shape, list[i].fused, &plan));
        plan.algo = list[i].algo;
        Status status = candidate_time(device, &plan, operands, start, end, best, &ms);
        matmul_plan_release(&plan);
        if (failed(status)) return status;
        list[i].ms = ms;
        if (ms < best) best = ms, *winner = i;
    }
    CUDA_TRY(cudaEventDestroy(start));
    return cudaEventDestroy(end) == cudaSuccess
               ? Status{STATUS_OK}
               : ERROR(STATUS_FAILURE, "CUDA: cannot destroy an event");
}

/* Batched products, of quadratic attention, are timed (some 90 ms each) only if they move much
 * data. */
static bool is_large(const MatmulShape *s) {
    int64_t elements =
        s->batch * (s->rows * s->depth + s->columns * s->depth + s->rows * s->columns);
    return elements * (int64_t)dtype_size((DType)s->dtype) >= TIMED_BATCH_BYTES;
}

static Status choose(CudaDevice *device, const MatmulShape *shape, Candidate *out) {
    Candidate list[2 * SUGGESTIONS];
    int count, winner = 0;
    bool timed = device->base.autotune && (shape->batch == 1 || is_large(shape));
    TRY(candidates(device, shape, timed ? SUGGESTIONS : 1, list, &count));
    Scratch scratch = {};
    if (timed && count > 1) TRY(scratch_create(shape, device->stream, &scratch));
    Status status = Status{STATUS_OK};
    if (scratch.memory != NULL) {
        status = candidates_time(device, shape, list, count, &scratch.operands, &winner);
        cudaFree(scratch.memory);
    }
    *out = list[winner];
    return status;
}

static void key_of(const MatmulShape *s, char *key, size_t capacity) {
    static const char *const forms[] = {"nt", "nn", "tn"};
    static const char *const epilogues[] = {"none", "bias", "gelu", "gelu_gradient", "column_sums"};
    snprintf(key, capacity,
             "%s %lldx%lldx%lldx%lld %s %s %s accumulate=%d,%d bias=%d aux=%d tf32=%d align=%d",
             forms[s->form], (long long)s->rows, (long long)s->columns, (long long)s->depth,
             (long long)s->batch, dtype_name((DType)s->dtype), dtype_name((DType)s->out_dtype),
             epilogues[s->epilogue], s->accumulate, s->accumulate_bias, s->has_bias, s->has_aux,
             s->tf32, s->alignment);
    if (is_eight_bit(s->dtype)) {
        size_t used = strlen(key);
        snprintf(key + used, capacity - used, " b=%s fast=%d", dtype_name((DType)s->b_dtype),
                 s->fast);
    }
}

/* Whether this library can run a choice from the disk. */
static bool is_usable(CudaDevice *device, const MatmulPlan *plan) {
    cublasLtMatmulHeuristicResult_t result;
    return cublasLtMatmulAlgoCheck(device->blas, plan->desc, plan->a, plan->b, plan->out, plan->out,
                                   &plan->algo, &result) == CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= MATMUL_WORKSPACE;
}

static Status find_locked(CudaDevice *device, const MatmulShape *shape, int cache,
                          MatmulPlan *out) {
    static_assert(sizeof(MatmulChoice::algo) == sizeof(cublasLtMatmulAlgo_t),
                  "an algorithm is 64 opaque bytes");
    char key[256];
    MatmulChoice choice;
    key_of(shape, key, sizeof key);
    if (matmul_cache_find(cache, key, &choice)) {
        TRY(matmul_plan_describe(shape, choice.fused, out));
        memcpy(&out->algo, choice.algo, sizeof out->algo);
        if (is_usable(device, out)) return Status{STATUS_OK};
        matmul_plan_release(out);
    }
    Candidate best = {};
    TRY(choose(device, shape, &best));
    choice.fused = best.fused;
    choice.us = best.ms * 1e3;
    memcpy(choice.algo, &best.algo, sizeof choice.algo);
    matmul_cache_add(cache, key, &choice);
    TRY(matmul_plan_describe(shape, best.fused, out));
    out->algo = best.algo;
    return Status{STATUS_OK};
}

Status matmul_plan_find(CudaDevice *device, const MatmulShape *shape, MatmulPlan *out) {
    int cache =
        device->base.autotune ? matmul_cache_lock(device->base.name, cublasLtGetVersion()) : -1;
    Status status = find_locked(device, shape, cache, out);
    matmul_cache_unlock(cache);
    return status;
}
