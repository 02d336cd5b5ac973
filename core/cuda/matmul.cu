/* Runs products: see core/cuda/matmul.cuh. cuBLASLt does the arithmetic. A row-major matrix is the
 * column-major matrix of its transpose, so out = a b is computed as out^T = b^T a^T: cuBLASLt's A
 * is our b. */
#include "core/cuda/matmul.cuh"

#include "core/cuda/columns.cuh"
#include "core/cuda/cuda_common.cuh"
#include "core/cuda/epilogue.cuh"
#include "core/cuda/matmul_plan.cuh"

#include <stdlib.h>
#include <string.h>

static cudaDataType_t cuda_type(int32_t dtype) {
    switch (dtype) {
    case DTYPE_F16: return CUDA_R_16F;
    case DTYPE_BF16: return CUDA_R_16BF;
    case DTYPE_F8E4M3: return CUDA_R_8F_E4M3;
    case DTYPE_F8E5M2: return CUDA_R_8F_E5M2;
    default: return CUDA_R_32F;
    }
}

static Status layout_create(cublasLtMatrixLayout_t *out, int32_t dtype, int64_t rows,
                            int64_t columns, int64_t batch) {
    /* our (rows, columns) row-major is their (columns, rows) with leading dimension `columns` */
    BLAS_TRY(cublasLtMatrixLayoutCreate(out, cuda_type(dtype), (uint64_t)columns, (uint64_t)rows,
                                        columns));
    if (batch == 1) return Status{STATUS_OK};
    int32_t count = (int32_t)batch;
    int64_t stride = rows * columns;
    BLAS_TRY(cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                              sizeof count));
    BLAS_TRY(cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                              &stride, sizeof stride));
    return Status{STATUS_OK};
}

static cublasLtEpilogue_t epilogue_of(const MatmulShape *s) {
    switch (s->epilogue) {
    case EPILOGUE_BIAS: return CUBLASLT_EPILOGUE_BIAS;
    case EPILOGUE_GELU:
        if (s->has_aux)
            return s->has_bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
        return s->has_bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case EPILOGUE_GELU_GRADIENT: return CUBLASLT_EPILOGUE_DGELU;
    case EPILOGUE_COLUMN_SUMS_OF_A: return CUBLASLT_EPILOGUE_BGRADB;
    default: return CUBLASLT_EPILOGUE_DEFAULT;
    }
}

#define SET(desc, name, value)                                                                     \
    BLAS_TRY(cublasLtMatmulDescSetAttribute((desc), CUBLASLT_MATMUL_DESC_##name, &(value),         \
                                            sizeof(value)))

static Status epilogue_describe(const MatmulShape *s, cublasLtMatmulDesc_t desc) {
    cublasLtEpilogue_t epilogue = epilogue_of(s);
    void *any = (void *)(uintptr_t)256; /* any address satisfies the heuristic; runs set it */
    SET(desc, EPILOGUE, epilogue);
    if (s->has_bias) {
        cudaDataType_t type =
            cuda_type(s->epilogue == EPILOGUE_COLUMN_SUMS_OF_A ? DTYPE_F32 : s->out_dtype);
        SET(desc, BIAS_DATA_TYPE, type);
        SET(desc, BIAS_POINTER, any);
    }
    if (s->has_aux) {
        int64_t stride = s->columns;
        SET(desc, EPILOGUE_AUX_LD, stride);
        SET(desc, EPILOGUE_AUX_POINTER, any);
    }
    return Status{STATUS_OK};
}

Status matmul_plan_describe(const MatmulShape *s, bool fused, MatmulPlan *plan) {
    memset(plan, 0, sizeof *plan);
    plan->shape = *s;
    plan->fused = fused;
    bool wide = s->dtype == DTYPE_F32;
    BLAS_TRY(cublasLtMatmulDescCreate(
        &plan->desc, wide && s->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
        CUDA_R_32F));
    cublasOperation_t op_a = s->form == MATMUL_NT ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t op_b = s->form == MATMUL_TN ? CUBLAS_OP_T : CUBLAS_OP_N;
    SET(plan->desc, TRANSA, op_a);
    SET(plan->desc, TRANSB, op_b);
    if (fused) TRY(epilogue_describe(s, plan->desc));
    int8_t fast = 1;
    if (s->fast) SET(plan->desc, FAST_ACCUM, fast);
    bool a_turned = s->form == MATMUL_TN, b_turned = s->form != MATMUL_NT;
    TRY(layout_create(&plan->b, s->dtype, a_turned ? s->depth : s->rows,
                      a_turned ? s->rows : s->depth, s->batch));
    TRY(layout_create(&plan->a, s->b_dtype, b_turned ? s->depth : s->columns,
                      b_turned ? s->columns : s->depth, s->batch));
    return layout_create(&plan->out, s->out_dtype, s->rows, s->columns, s->batch);
}

void matmul_plan_release(MatmulPlan *plan) {
    if (plan->desc != NULL) cublasLtMatmulDescDestroy(plan->desc);
    if (plan->a != NULL) cublasLtMatrixLayoutDestroy(plan->a);
    if (plan->b != NULL) cublasLtMatrixLayoutDestroy(plan->b);
    if (plan->out != NULL) cublasLtMatrixLayoutDestroy(plan->out);
    memset(plan, 0, sizeof *plan);
}

/* The epilogue as a separate kernel, after a plain product. */
static Status epilogue_run(const MatmulShape *s, const MatmulOperands *o, cudaStream_t stream) {
    DType dtype = (DType)s->out_dtype;
    switch (s->epilogue) {
    case EPILOGUE_BIAS:
    case EPILOGUE_GELU:
        return bias_gelu(
            BiasGelu{o->out, o->aux, o->bias, s->rows, s->columns, s->epilogue == EPILOGUE_GELU},
            dtype, stream);
    case EPILOGUE_GELU_GRADIENT:
        return gelu_gradient(o->out, o->aux, dtype, s->rows * s->columns, stream);
    default: return Status{STATUS_OK};
    }
}

/* Column sums do not depend on the product: they fork before it and use the idle
 * multiprocessors. */
static Status sums_fork(CudaDevice *device, const MatmulShape *s, const MatmulOperands *o,
                        cudaStream_t stream) {
    CUDA_TRY(cudaEventRecord(device->forked, stream));
    CUDA_TRY(cudaStreamWaitEvent(device->beside, device->forked, 0));
    TRY(columns_gradient((float *)o->bias, s->accumulate_bias, (DType)s->dtype, o->a, s->depth,
                         s->rows, o->parts, device->beside));
    CUDA_TRY(cudaEventRecord(device->joined, device->beside));
    return Status{STATUS_OK};
}

Status matmul_plan_run(CudaDevice *device, const MatmulPlan *plan, const MatmulOperands *o,
                       cudaStream_t stream) {
    const MatmulShape *s = &plan->shape;
    bool adds = o->addend != NULL;
    float alpha = adds ? o->scale : 1.0f, beta = adds            ? o->addend_scale
                                                 : s->accumulate ? 1.0f
                                                                 : 0.0f;
    void *out = o->out;
    if (plan->fused) {
        if (s->has_bias) SET(plan->desc, BIAS_POINTER, o->bias);
        if (s->has_aux) SET(plan->desc, EPILOGUE_AUX_POINTER, o->aux);
    } else if (s->epilogue == EPILOGUE_GELU && o->aux != NULL) {
        out = o->aux; /* the argument of the GELU, the input of the separate kernel */
    }
    if (is_eight_bit(s->dtype)) {
        SET(plan->desc, A_SCALE_POINTER, o->scale_b);
        SET(plan->desc, B_SCALE_POINTER, o->scale_a);
    }
    bool forks = !plan->fused && s->epilogue == EPILOGUE_COLUMN_SUMS_OF_A;
    if (forks) TRY(sums_fork(device, s, o, stream));
    BLAS_TRY(cublasLtMatmul(device->blas, plan->desc, &alpha, o->b, plan->a, o->a, plan->b, &beta,
                            adds ? o->addend : out, plan->out, out, plan->out, &plan->algo,
                            device->blas_workspace, MATMUL_WORKSPACE, stream));
    if (forks) CUDA_TRY(cudaStreamWaitEvent(stream, device->joined, 0));
    return plan->fused ? Status{STATUS_OK} : epilogue_run(s, o, stream);
}

static int32_t common_alignment(const MatmulOperands *o) {
    uintptr_t bits = (uintptr_t)o->a | (uintptr_t)o->b | (uintptr_t)o->out | (uintptr_t)o->bias |
                     (uintptr_t)o->aux | (uintptr_t)o->addend | 16;
    return (int32_t)(bits & (~bits + 1));
}

static const MatmulPlan *plan_of(const CudaDevice *device, const MatmulShape *shape) {
    for (int i = 0; i < device->n_plans; i++) {
        if (memcmp(&device->plans[i].shape, shape, sizeof *shape) == 0) return &device->plans[i];
    }
    return NULL;
}

/* Adds a plan. During a capture nothing can be timed, so only the shape is recorded. */
static Status plan_add(CudaDevice *device, const MatmulShape *shape) {
    if (device->n_plans == device->plan_capacity) {
        int capacity = device->plan_capacity == 0 ? 64 : 2 * device->plan_capacity;
        MatmulPlan *grown = (MatmulPlan *)realloc(device->plans, (size_t)capacity * sizeof *grown);
        if (grown == NULL) return OUT_OF_MEMORY("matrix product plans");
        device->plans = grown;
        device->plan_capacity = capacity;
    }
    MatmulPlan *plan = &device->plans[device->n_plans];
    memset(plan, 0, sizeof *plan);
    plan->shape = *shape;
    if (device->capturing) {
        device->n_unplanned++;
    } else {
        TRY(matmul_plan_find(device, shape, plan));
    }
    device->n_plans++;
    return Status{STATUS_OK};
}

Status matmul_plans_complete(CudaDevice *device) {
    for (int i = 0; i < device->n_plans; i++) {
        MatmulShape shape = device->plans[i].shape;
        if (device->plans[i].desc == NULL) TRY(matmul_plan_find(device, &shape, &device->plans[i]));
    }
    device->n_unplanned = 0;
    return Status{STATUS_OK};
}

Status matmul_run(MatmulShape shape, const MatmulOperands *operands, cudaStream_t stream) {
    CudaDevice *device = cuda_device_current();
    if (shape.rows * shape.columns * shape.batch == 0) return Status{STATUS_OK};
    shape.alignment = common_alignment(operands);
    shape.has_bias = operands->bias != NULL, shape.has_aux = operands->aux != NULL;
    shape.tf32 = device->base.tf32 && shape.dtype == DTYPE_F32;
    if (!is_eight_bit(shape.dtype)) shape.b_dtype = shape.dtype;
    if (plan_of(device, &shape) == NULL) TRY(plan_add(device, &shape));
    const MatmulPlan *plan = plan_of(device, &shape);
    return plan->desc == NULL ? Status{STATUS_OK} : matmul_plan_run(device, plan, operands, stream);
}

void matmul_plans_destroy(CudaDevice *device) {
    for (int i = 0; i < device->n_plans; i++) matmul_plan_release(&device->plans[i]);
    free(device->plans);
    device->plans = NULL;
    device->n_plans = device->plan_capacity = 0;
}
