/* oneDNN keeps the code that it generates for a shape, so a primitive is made anew for each
 * product: 10 us. It packs operands into the scratch memory, which the plan holds. Its threads are
 * those of OpenMP, which the kernels use too.
 *
 * Debian 12 has version 2 of the interface, later systems have version 3. */
#include "core/cpu/product_bf16.h"

#include <dnnl.h>
#include <omp.h>
#include <pthread.h>

enum { OPERANDS = 4, SCRATCH = OPERANDS, ARGUMENTS = 5 }; /* a, b, bias, out, scratch */

static const int argument_names[ARGUMENTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS,
                                              DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};

static struct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_status_t status;
} library;

static void library_open(void) {
    library.status = dnnl_engine_create(&library.engine, dnnl_cpu, 0);
    if (library.status == dnnl_success)
        library.status = dnnl_stream_create(&library.stream, library.engine, 0);
}

static dnnl_status_t library_ready(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_open);
    return library.status;
}

const char *product_bf16_refusal(void) {
    unsigned has = (unsigned)dnnl_get_effective_cpu_isa(), needs = dnnl_cpu_isa_avx512_core_bf16;
    if ((has & needs) != needs) return "needs a processor with AVX512_BF16 or AMX";
    return library_ready() == dnnl_success ? NULL : "needs oneDNN, which cannot start";
}

/* The interface that the two versions share. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t MatrixDesc;
typedef const_dnnl_memory_desc_t MatrixDescRef;

static MatrixDescRef desc_ref(const MatrixDesc *desc) { return *desc; }

static void desc_free(MatrixDesc *desc) {
    if (*desc != NULL) dnnl_memory_desc_destroy(*desc);
}

static dnnl_status_t desc_create(MatrixDesc *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                 const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(out, 2, dims, type, strides);
}

static dnnl_status_t sum_append(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

static dnnl_status_t matmul_create(dnnl_primitive_desc_t *out, const MatrixDesc *descs,
                                   bool has_bias, dnnl_primitive_attr_t attr) {
    return dnnl_matmul_primitive_desc_create(out, library.engine, descs[0], descs[1],
                                             has_bias ? descs[2] : NULL, descs[3], attr);
}
#else
typedef dnnl_memory_desc_t MatrixDesc;
typedef const dnnl_memory_desc_t *MatrixDescRef;

static MatrixDescRef desc_ref(const MatrixDesc *desc) { return desc; }

static void desc_free(MatrixDesc *desc) { (void)desc; }

static dnnl_status_t desc_create(MatrixDesc *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                 const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides);
}

static dnnl_status_t sum_append(dnnl_post_ops_t ops) { return dnnl_post_ops_append_sum(ops, 1); }

static dnnl_status_t matmul_create(dnnl_primitive_desc_t *out, const MatrixDesc *descs,
                                   bool has_bias, dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t desc;
    dnnl_status_t status =
        dnnl_matmul_desc_init(&desc, &descs[0], &descs[1], has_bias ? &descs[2] : NULL, &descs[3]);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(out, &desc, attr, library.engine, NULL);
}
#endif

/* A product's descriptions; zeroed before `matmul_open`, then closed even if that failed. */
typedef struct Matmul {
    MatrixDesc descs[OPERANDS];
    dnnl_post_ops_t sum;
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t desc;
} Matmul;

static dnnl_status_t matrix(MatrixDesc *out, int64_t rows, int64_t columns, bool turned,
                            dnnl_data_type_t type) {
    dnnl_dims_t dims = {rows, columns}, strides = {turned ? 1 : columns, turned ? rows : 1};
    return desc_create(out, dims, type, strides);
}

static dnnl_status_t attributes_set(Matmul *m, bool accumulate) {
    dnnl_status_t status = dnnl_primitive_attr_create(&m->attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(m->attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !accumulate) return status;
    status = dnnl_post_ops_create(&m->sum);
    if (status == dnnl_success) status = sum_append(m->sum);
    return status == dnnl_success ? dnnl_primitive_attr_set_post_ops(m->attr, m->sum) : status;
}

static dnnl_status_t matmul_open(Matmul *m, const ProductShape *s) {
    dnnl_data_type_t type = s->wide ? dnnl_f32 : dnnl_bf16;
    dnnl_status_t status[] = {
        library_ready(),
        matrix(&m->descs[0], s->rows, s->depth, s->a_turned, dnnl_bf16),
        matrix(&m->descs[1], s->depth, s->columns, s->b_turned, dnnl_bf16),
        matrix(&m->descs[2], 1, s->columns, false, dnnl_bf16),
        matrix(&m->descs[3], s->rows, s->columns, false, type),
        attributes_set(m, s->accumulate),
    };
    for (size_t i = 0; i < sizeof status / sizeof *status; i++) {
        if (status[i] != dnnl_success) return status[i];
    }
    return matmul_create(&m->desc, m->descs, s->has_bias, m->attr);
}

static void matmul_close(Matmul *m) {
    for (int i = 0; i < OPERANDS; i++) desc_free(&m->descs[i]);
    if (m->desc != NULL) dnnl_primitive_desc_destroy(m->desc);
    if (m->attr != NULL) dnnl_primitive_attr_destroy(m->attr);
    if (m->sum != NULL) dnnl_post_ops_destroy(m->sum);
}

static MatrixDescRef scratch_desc(const Matmul *m) {
    return dnnl_primitive_desc_query_md(m->desc, dnnl_query_scratchpad_md, 0);
}

size_t product_bf16_bytes(const ProductShape *shape, int threads) {
    Matmul m = {0};
    int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    bool is_open = matmul_open(&m, shape) == dnnl_success;
    size_t bytes = is_open ? dnnl_memory_desc_get_size(scratch_desc(&m)) : 0;
    omp_set_num_threads(before);
    matmul_close(&m);
    return bytes;
}

static dnnl_status_t matmul_run(const Matmul *m, bool has_bias, void *const data[ARGUMENTS]) {
    dnnl_exec_arg_t arguments[ARGUMENTS];
    dnnl_memory_t memories[ARGUMENTS] = {0};
    dnnl_primitive_t primitive = NULL;
    dnnl_status_t status = dnnl_primitive_create(&primitive, m->desc);
    int count = 0;
    for (int i = 0; i < ARGUMENTS && status == dnnl_success; i++) {
        MatrixDescRef desc = i == SCRATCH ? scratch_desc(m) : desc_ref(&m->descs[i]);
        if (i == 2 && !has_bias) continue;
        status = dnnl_memory_create(&memories[i], desc, library.engine, data[i]);
        arguments[count++] = (dnnl_exec_arg_t){argument_names[i], memories[i]};
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(primitive, library.stream, count, arguments);
    if (status == dnnl_success) status = dnnl_stream_wait(library.stream);
    for (int i = 0; i < ARGUMENTS; i++) {
        if (memories[i] != NULL) dnnl_memory_destroy(memories[i]);
    }
    if (primitive != NULL) dnnl_primitive_destroy(primitive);
    return status;
}

Status product_bf16(const ProductShape *shape, const void *a, const void *b, const void *bias,
                    void *out, void *scratch) {
    Matmul m = {0};
    void *data[ARGUMENTS] = {(void *)a, (void *)b, (void *)bias, out, scratch};
    dnnl_status_t status = matmul_open(&m, shape);
    if (status == dnnl_success) status = matmul_run(&m, shape->has_bias, data);
    matmul_close(&m);
    if (status == dnnl_success) return OK;
    return ERROR(STATUS_FAILURE, "oneDNN failed with status %d in a product %lld x %lld x %lld",
                 (int)status, (long long)shape->rows, (long long)shape->columns,
                 (long long)shape->depth);
}
