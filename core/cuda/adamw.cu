/* Bound by memory: 16 bytes read and 14 written per weight (f32 gradient, m, v and master, bf16
 * weight), so 3.7 GB and 0.89 ms for 124 M weights at 4.2 TB/s. One launch covers a whole section,
 * or many ranges of it, because the GPU is underused at the start and the end of each launch. Each
 * block computes the bias corrections and the clipped scale once, from the norm and the step on the
 * device. */
#include "core/ops/adamw.h"

#include "core/cuda/cuda_common.cuh"
#include "core/step.h"

/* PACKS per thread: 4 * 256 * W weights share the block's set-up. */
enum { THREADS = 256, PACKS = 4, RANGES_A_LAUNCH = 96 };

struct CudaAdamwUpdate {
    float beta1, beta2, rest1, rest2; /* rest: 1 - beta, computed in double; in single precision it
                                         would be 0 for a beta near 1 */
    float eps, lr, decay, gradient_scale, correction1, correction2;
};

static __device__ CudaAdamwUpdate update_of(const AdamwAttrs &attrs, const StepState *step,
                                            double norm) {
    double t = (double)step->adam_step;
    CudaAdamwUpdate u;
    u.beta1 = (float)attrs.beta1;
    u.beta2 = (float)attrs.beta2;
    u.rest1 = (float)(1 - attrs.beta1);
    u.rest2 = (float)(1 - attrs.beta2);
    u.eps = (float)attrs.eps;
    u.lr = step->lr * (float)attrs.lr_scale;
    u.decay = (float)attrs.weight_decay;
    u.gradient_scale = (float)adamw_gradient_scale(attrs.clip, (double)step->loss_scale, norm);
    u.correction1 = (float)adamw_correction(attrs.beta1, t);
    u.correction2 = (float)adamw_correction(attrs.beta2, t);
    return u;
}

/* `master` is the f32 weight; `half_weight` its 16-bit copy, or NULL if the weight itself is f32.
 * The ranges are kernel arguments. */
template <typename T>
struct AdamwParams {
    const float *grad, *norm;
    const StepState *step;
    float *master, *m, *v;
    T *half_weight;
    unsigned long long *first_nonfinite; /* or NULL */
    int64_t offset;                      /* the element of the section at index 0 of the gradient */
    AdamwAttrs attrs;
    AdamwRange ranges[RANGES_A_LAUNCH];
};

/* The addresses of one range. */
template <typename T>
struct Views {
    const float *grad;
    float *master, *m, *v;
    T *half_weight;
};

template <typename T>
static __device__ Views<T> views_of(const AdamwParams<T> &p, const AdamwRange &range) {
    bool has_half = p.half_weight != NULL;
    return Views<T>{p.grad + range.first, p.master + (has_half ? range.place : range.first),
                    p.m + range.place, p.v + range.place,
                    has_half ? p.half_weight + range.first : NULL};
}

template <typename T, int W>
static __device__ void update_pack(const Views<T> &p, const CudaAdamwUpdate &u, int64_t i) {
    float g[W], w[W], m[W], v[W];
    load<W>(p.grad + i, g);
    load<W>(p.master + i, w);
    load<W>(p.m + i, m);
    load<W>(p.v + i, v);
#pragma unroll
    for (int k = 0; k < W; k++) {
        float gradient = g[k] * u.gradient_scale;
        m[k] = u.beta1 * m[k] + u.rest1 * gradient;
        v[k] = u.beta2 * v[k] + u.rest2 * gradient * gradient;
        float root = sqrtf(v[k] * u.correction2);
        w[k] -= u.lr * (m[k] * u.correction1 / (root + u.eps) + u.decay * w[k]);
    }
    store<W>(p.m + i, m);
    store<W>(p.v + i, v);
    store<W>(p.master + i, w);
    if (p.half_weight != NULL) store<W>(p.half_weight + i, w);
}

/* Runs only in a skipped step, so normal steps pay nothing. */
template <typename T, int W>
static __device__ void first_nonfinite_keep(const AdamwParams<T> &p, const AdamwRange &range,
                                            int64_t start) {
    if (p.first_nonfinite == NULL) return;
    int64_t end = start + PACKS * THREADS * W;
    if (end > range.count) end = range.count;
    for (int64_t i = start + threadIdx.x; i < end; i += THREADS) {
        if (isfinite(p.grad[range.first + i])) continue;
        atomicMax(p.first_nonfinite, (unsigned long long)adamw_first_nonfinite(
                                         p.step->step, p.offset + range.first + i));
        return; /* this thread's later elements have smaller codes */
    }
}

/* Block index: (part of a range, range). */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS) adamw_kernel(AdamwParams<T> p) {
    __shared__ CudaAdamwUpdate shared;
    const AdamwRange range = p.ranges[blockIdx.y];
    int64_t start = (int64_t)blockIdx.x * PACKS * THREADS * W;
    if (start >= range.count) return;
    float norm = *p.norm;
    if (!isfinite(norm)) {
        first_nonfinite_keep<T, W>(p, range, start);
        return;
    }
    if (threadIdx.x == 0) shared = update_of(p.attrs, p.step, norm);
    __syncthreads();
    CudaAdamwUpdate u = shared;
    const Views<T> views = views_of(p, range);
#pragma unroll
    for (int n = 0; n < PACKS; n++) {
        int64_t i = start + (n * THREADS + (int)threadIdx.x) * W;
        if (i < range.count) update_pack<T, W>(views, u, i);
    }
}

template <typename T>
static bool ranges_fit_packs(const AdamwParams<T> &p, const AdamwWork *work) {
    bool fit = true;
    for (int i = 0; i < work->n_ranges; i++) {
        const AdamwRange &range = work->ranges[i];
        const T *half_weight = p.half_weight == NULL ? NULL : p.half_weight + range.first;
        const float *master = p.master + (p.half_weight == NULL ? range.first : range.place);
        fit &= fits_packs<T>(range.count, p.grad + range.first, master, half_weight,
                             p.m + range.place, p.v + range.place);
    }
    return fit;
}

template <typename T, int W>
static Status launch(AdamwParams<T> p, const AdamwRange *ranges, int n, cudaStream_t stream) {
    int64_t most = 0;
    for (int i = 0; i < n; i++) {
        p.ranges[i] = ranges[i];
        if (ranges[i].count > most) most = ranges[i].count;
    }
    if (most == 0) return Status{STATUS_OK};
    dim3 grid(blocks_for(most, (int64_t)THREADS * PACKS * W), (unsigned)n);
    adamw_kernel<T, W><<<grid, THREADS, 0, stream>>>(p);
    return cuda_launched("adamw");
}

extern "C" Status adamw_cuda(const Node *node, void *stream) {
    const Tensor *weight = node->outputs[0], *master = node->outputs[1];
    const AdamwWork *work = (const AdamwWork *)node->attrs;
    TRY(need_f32(node->inputs[0], "adamw's gradient"));
    if (master == NULL) TRY(need_f32(weight, "a weight without a master copy"));
    return dispatch_real(weight->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        AdamwParams<T> p = {};
        p.grad = data_of<float>(node->inputs[0]), p.norm = data_of<float>(node->inputs[1]);
        p.step = data_of<StepState>(node->inputs[2]);
        p.master = data_of<float>(master == NULL ? weight : master);
        p.half_weight = master == NULL ? NULL : data_of<T>(weight);
        p.m = data_of<float>(node->outputs[2]), p.v = data_of<float>(node->outputs[3]);
        p.first_nonfinite = data_of<unsigned long long>(node->outputs[4]);
        p.offset = (int64_t)(node->inputs[0]->offset / sizeof(float));
        p.attrs = work->attrs;
        return dispatch_width<T>(ranges_fit_packs(p, work), [&](auto width) {
            constexpr int W = decltype(width)::value;
            for (int i = 0; i < work->n_ranges; i += RANGES_A_LAUNCH) {
                int n = work->n_ranges - i < RANGES_A_LAUNCH ? work->n_ranges - i : RANGES_A_LAUNCH;
                TRY((launch<T, W>(p, work->ranges + i, n, (cudaStream_t)stream)));
            }
            return Status{STATUS_OK};
        });
    });
}
