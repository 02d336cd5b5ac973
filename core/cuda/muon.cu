/* Matrices of one shape, tall or wide, are updated together, by batched products
 * (core/cuda/muon_iterate.cu) over copies in the workspace: a single 768 x 768 product fills a
 * quarter of an H200. The copies are X, in f16 if the weights have 16 bits; kernels that copy
 * transpose tall matrices, so that the products' inner matrices A have the shorter side. Bf16 would
 * round eight times more; the range of f16 suffices, because |X| is at most 1 at first and its
 * singular values stay below 2.
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

/* X. */
template <bool TALL, int W, typename T, typename X>
static Status shape_begin(const MuonParams<T, X> &p, int n, cudaStream_t stream) {
    dim3 parts(MUON_NORM_PARTS, (unsigned)n);
    momentum_kernel<T, X, W><<<parts, THREADS, 0, stream>>>(p);
    TRY(cuda_launched("muon's momentum"));
    stage_kernel<T, X, TALL, W><<<tiles_of(p, n), THREADS, 0, stream>>>(p);
    return cuda_launched("muon's copy");
}

/* The weights. */
template <bool TALL, int W, typename T, typename X>
static Status shape_end(const MuonParams<T, X> &p, int n, cudaStream_t stream) {
    TRY((rows_launch<T, X, TALL, W>(p, n, stream)));
    weights_kernel<T, X, TALL, W><<<tiles_of(p, n), THREADS, 0, stream>>>(p);
    return cuda_launched("muon's update");
}

/* `n` matrices of one shape, the first of which is number `at` of its batch. */
template <typename T, typename X>
static void shape_describe(MuonParams<T, X> &p, const MuonMatrix *matrices, int n, int64_t at,
                           void *x, const MuonBatchMemory &memory) {
    p.rows = matrices->rows, p.columns = matrices->columns;
    p.shape_scale = (float)muon_shape_scale(matrices);
    p.x = (X *)x + at * p.rows * p.columns;
    p.parts = (float *)(memory.workspace + memory.places.parts) + at * MUON_NORM_PARTS;
    p.sums = (float *)(memory.workspace + memory.places.sums) + at * muon_long_side(matrices);
    p.scales = (float *)(memory.workspace + memory.places.scales) + at;
    for (int i = 0; i < n; i++) {
        p.matrices[i] = CudaMuonMatrix{matrices[i].first, matrices[i].master, matrices[i].momentum,
                                       matrices[i].row};
    }
}

/* f(n, is tall, width of a pack) for the matrices that are not tall, then for the tall ones; p
 * describes them. */
template <typename T, typename X, typename F>
static Status each_shape(MuonParams<T, X> &p, const MuonWork *work, MuonBatch batch, void *x,
                         const MuonBatchMemory &memory, F f) {
    const MuonMatrix *matrices = work->matrices + batch.first;
    for (int at = 0, n; at < batch.count; at += n) {
        for (n = 1; at + n < batch.count && matrices[at + n].rows == matrices[at].rows;) n++;
        shape_describe(p, matrices + at, n, at, x, memory);
        TRY(dispatch_width<float>(batch_fits_packs(p, n), [&](auto width) {
            return p.rows > p.columns ? f(n, std::true_type{}, width)
                                      : f(n, std::false_type{}, width);
        }));
    }
    return Status{STATUS_OK};
}

template <typename T, typename X>
static Status batch_run(MuonParams<T, X> &p, const MuonWork *work, MuonBatch batch, char *workspace,
                        cudaStream_t stream) {
    const MuonMatrix *shape = work->matrices + batch.first;
    const MuonBatchMemory memory = {workspace, muon_places(shape, batch.count, sizeof(X))};
    const MuonIterate products = {
        work->attrs.iteration, std::is_same_v<X, float> ? DTYPE_F32 : DTYPE_F16,
        batch.count,           muon_side(shape),
        muon_long_side(shape), memory};
    void *x = workspace + memory.places.x;
    TRY(each_shape(p, work, batch, x, memory, [&](int n, auto tall, auto width) {
        return shape_begin<tall.value, width.value>(p, n, stream);
    }));
    TRY(muon_iterate(products, &x, stream));
    return each_shape(p, work, batch, x, memory, [&](int n, auto tall, auto width) {
        return shape_end<tall.value, width.value>(p, n, stream);
    });
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
        p.norm_factor = (float)muon_norm_factor(work->attrs.iteration);
        for (int i = 0; i < work->n_batches; i++)
            TRY(batch_run(p, work, work->batches[i], workspace, (cudaStream_t)stream));
        return Status{STATUS_OK};
    });
}
