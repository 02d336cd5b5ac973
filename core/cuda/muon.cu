/* Matrices of one shape are updated together, by batched products (core/cuda/muon_iterate.cu) over
 * copies in the workspace: a single 768 x 768 product fills a quarter of an H200. The copies are X,
 * in f16 if the weights have 16 bits; kernels that copy transpose tall matrices, so that the
 * products' inner matrices A have the shorter side. Bf16 would round eight times more; the range of
 * f16 suffices, because |X| is at most 1 at first and its singular values stay below 2.
 *
 * Bytes a weight beside the products, for 16-bit weights: the momentum 12, X 10, the update 12, row
 * moments 2: 3.1 GB and 0.75 ms for the 85 M weights in GPT-2 124M's blocks. */
#include "core/cuda/muon.cuh"

#include "core/cuda/muon_iterate.cuh"

/* Whether each row, and each column, consists of whole packs of four elements. */
template <typename T, typename X>
static bool batch_fits_packs(const MuonParams<T, X> &p, int n) {
    bool fit = p.rows % 4 == 0;
    for (int i = 0; i < n; i++) {
        const CudaMuonMatrix &m = p.matrices[i];
        fit &= fits_packs<float>(p.columns, p.grad + m.first, p.momentum + m.momentum,
                                 p.master + (p.half_weight == NULL ? m.first : m.master)) &&
               (p.half_weight == NULL || (uintptr_t)(p.half_weight + m.first) % 8 == 0);
    }
    return fit;
}

template <typename T, typename X>
static dim3 tiles_of(const MuonParams<T, X> &p, int n) {
    return dim3(blocks_for(p.columns, TILE), blocks_for(p.rows, TILE), (unsigned)n);
}

template <typename T, typename X, bool TALL, int W>
static Status rows_launch(const MuonParams<T, X> &p, int n, cudaStream_t stream) {
    if (p.row_moments == NULL) return Status{STATUS_OK};
    if constexpr (TALL) {
        dim3 grid(blocks_for(p.rows, 32 * W), (unsigned)n);
        tall_rows_kernel<T, X, W><<<grid, THREADS, 0, stream>>>(p);
    } else {
        dim3 grid(blocks_for(p.rows, WARPS), (unsigned)n);
        wide_rows_kernel<T, X, W><<<grid, THREADS, 0, stream>>>(p);
    }
    TRY(cuda_launched("muon's rows"));
    scale_kernel<<<(unsigned)n, THREADS, 0, stream>>>(p);
    return cuda_launched("muon's scales");
}

template <bool TALL, int W, typename T, typename X>
static Status batch_run(MuonParams<T, X> &p, int n, char *workspace, const MuonPlaces &places,
                        cudaStream_t stream) {
    const MuonIterate products = {p.attrs.iteration,
                                  std::is_same_v<X, float> ? DTYPE_F32 : DTYPE_F16,
                                  n,
                                  TALL ? p.columns : p.rows,
                                  TALL ? p.rows : p.columns,
                                  workspace,
                                  places};
    void *x;
    dim3 parts(MUON_NORM_PARTS, (unsigned)n);
    momentum_kernel<T, X, W><<<parts, THREADS, 0, stream>>>(p);
    TRY(cuda_launched("muon's momentum"));
    stage_kernel<T, X, TALL, W><<<tiles_of(p, n), THREADS, 0, stream>>>(p);
    TRY(cuda_launched("muon's copy"));
    TRY(muon_iterate(products, &x, stream));
    p.x = (X *)x;
    TRY((rows_launch<T, X, TALL, W>(p, n, stream)));
    weights_kernel<T, X, TALL, W><<<tiles_of(p, n), THREADS, 0, stream>>>(p);
    return cuda_launched("muon's update");
}

template <typename T, typename X>
static void batch_describe(MuonParams<T, X> &p, const MuonWork *work, MuonBatch batch,
                           char *workspace, const MuonPlaces &places) {
    const MuonMatrix *matrices = work->matrices + batch.first;
    p.rows = matrices->rows, p.columns = matrices->columns;
    p.norm_factor = (float)muon_norm_factor(work->attrs.iteration);
    p.shape_scale = (float)muon_shape_scale(matrices);
    p.x = (X *)(workspace + places.x);
    p.parts = (float *)(workspace + places.parts);
    p.sums = (float *)(workspace + places.sums);
    p.scales = (float *)(workspace + places.scales);
    for (int i = 0; i < batch.count; i++) {
        p.matrices[i] = CudaMuonMatrix{matrices[i].first, matrices[i].master, matrices[i].momentum,
                                       matrices[i].row};
    }
}

extern "C" Status muon_cuda(const Node *node, void *stream) {
    const Tensor *weight = node->outputs[0], *master = node->outputs[1];
    const MuonWork *work = (const MuonWork *)node->attrs;
    char *workspace = data_of<char>(node->workspace);
    TRY(need_f32(node->inputs[0], "muon's gradient"));
    if (master == NULL) TRY(need_f32(weight, "a weight without a master copy"));
    return dispatch_real(weight->dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        using X = std::conditional_t<std::is_same_v<T, float>, float, __half>;
        MuonParams<T, X> p = {};
        p.grad = data_of<float>(node->inputs[0]), p.norm = data_of<float>(node->inputs[1]);
        p.step = data_of<StepState>(node->inputs[2]);
        p.master = data_of<float>(master == NULL ? weight : master);
        p.half_weight = master == NULL ? NULL : data_of<T>(weight);
        p.momentum = data_of<float>(node->outputs[2]);
        p.row_moments = data_of<float>(node->outputs[3]);
        p.first_nonfinite = data_of<unsigned long long>(node->outputs[4]);
        p.offset = (int64_t)(node->inputs[0]->offset / sizeof(float));
        p.attrs = work->attrs;
        for (int i = 0; i < work->n_batches; i++) {
            MuonBatch batch = work->batches[i];
            MuonPlaces places = muon_places(&work->matrices[batch.first], batch.count, sizeof(X));
            batch_describe(p, work, batch, workspace, places);
            TRY(dispatch_width<float>(batch_fits_packs(p, batch.count), [&](auto width) {
                constexpr int W = decltype(width)::value;
                auto run =
                    p.rows > p.columns ? batch_run<true, W, T, X> : batch_run<false, W, T, X>;
                return run(p, batch.count, workspace, places, (cudaStream_t)stream);
            }));
        }
        return Status{STATUS_OK};
    });
}
