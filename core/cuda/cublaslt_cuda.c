/* The functions of <cublasLt.h> that core/cuda/ calls. Each passes its arguments on to the function
 * of the same name in the loaded library. They are hidden, so that the library's own calls do not
 * reach them. */
#include "core/cuda/cublaslt.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <stdio.h>

/* FORWARD(result, function, parameters, arguments) */
#define FUNCTIONS(FORWARD)                                                                         \
    FORWARD(cublasStatus_t, Create, (cublasLtHandle_t * h), (h))                                   \
    FORWARD(cublasStatus_t, Destroy, (cublasLtHandle_t h), (h))                                    \
    FORWARD(size_t, GetVersion, (void), ())                                                        \
    FORWARD(const char *, GetStatusString, (cublasStatus_t status), (status))                      \
    FORWARD(cublasStatus_t, MatrixLayoutCreate,                                                    \
            (cublasLtMatrixLayout_t * out, cudaDataType type, uint64_t rows, uint64_t columns,     \
             int64_t stride),                                                                      \
            (out, type, rows, columns, stride))                                                    \
    FORWARD(cublasStatus_t, MatrixLayoutDestroy, (cublasLtMatrixLayout_t layout), (layout))        \
    FORWARD(cublasStatus_t, MatrixLayoutSetAttribute,                                              \
            (cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t name,                  \
             const void *value, size_t bytes),                                                     \
            (layout, name, value, bytes))                                                          \
    FORWARD(cublasStatus_t, MatmulDescCreate,                                                      \
            (cublasLtMatmulDesc_t * out, cublasComputeType_t compute, cudaDataType_t scale),       \
            (out, compute, scale))                                                                 \
    FORWARD(cublasStatus_t, MatmulDescDestroy, (cublasLtMatmulDesc_t desc), (desc))                \
    FORWARD(cublasStatus_t, MatmulDescSetAttribute,                                                \
            (cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t name, const void *value,    \
             size_t bytes),                                                                        \
            (desc, name, value, bytes))                                                            \
    FORWARD(cublasStatus_t, MatmulPreferenceCreate, (cublasLtMatmulPreference_t * out), (out))     \
    FORWARD(cublasStatus_t, MatmulPreferenceDestroy, (cublasLtMatmulPreference_t p), (p))          \
    FORWARD(cublasStatus_t, MatmulPreferenceSetAttribute,                                          \
            (cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t name,              \
             const void *value, size_t bytes),                                                     \
            (p, name, value, bytes))                                                               \
    FORWARD(cublasStatus_t, MatmulAlgoGetHeuristic,                                                \
            (cublasLtHandle_t h, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,              \
             cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,         \
             cublasLtMatmulPreference_t p, int wanted, cublasLtMatmulHeuristicResult_t results[],  \
             int *found),                                                                          \
            (h, desc, a, b, c, d, p, wanted, results, found))                                      \
    FORWARD(cublasStatus_t, MatmulAlgoCheck,                                                       \
            (cublasLtHandle_t h, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,              \
             cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,         \
             const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *result),           \
            (h, desc, a, b, c, d, algo, result))                                                   \
    FORWARD(cublasStatus_t, Matmul,                                                                \
            (cublasLtHandle_t h, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,      \
             cublasLtMatrixLayout_t layout_a, const void *b, cublasLtMatrixLayout_t layout_b,      \
             const void *beta, const void *c, cublasLtMatrixLayout_t layout_c, void *d,            \
             cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t *algo, void *workspace,   \
             size_t bytes, cudaStream_t stream),                                                   \
            (h, desc, alpha, a, layout_a, b, layout_b, beta, c, layout_c, d, layout_d, algo,       \
             workspace, bytes, stream))

#define MEMBER(result, function, parameters, arguments) typeof(cublasLt##function) *function;
#define FORWARD(result, function, parameters, arguments)                                           \
    __attribute__((visibility("hidden"))) result cublasLt##function parameters {                   \
        return library.function arguments;                                                         \
    }
#define NAMED(result, function, parameters, arguments)                                             \
    {"cublasLt" #function, (void **)&library.function},

static struct { FUNCTIONS(MEMBER) } library;

FUNCTIONS(FORWARD)

Status cublaslt_load(void) {
    static const struct {
        const char *name;
        void **function;
    } functions[] = {FUNCTIONS(NAMED)};
    char file[32];
    snprintf(file, sizeof file, "libcublasLt.so.%d", CUBLAS_VER_MAJOR);
    void *handle = dlopen(file, RTLD_LAZY | RTLD_LOCAL); /* stays open: again, it costs nothing */
    if (handle == NULL)
        return ERROR(STATUS_CONFIG, "a GPU needs cuBLASLt: %s; install cuBLAS of CUDA %d",
                     dlerror(), CUBLAS_VER_MAJOR);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        *functions[i].function = dlsym(handle, functions[i].name);
        if (*functions[i].function == NULL)
            return ERROR(STATUS_CONFIG, "%s has no %s; install that of CUDA %d", file,
                         functions[i].name, CUBLAS_VER_MAJOR);
    }
    return OK;
}
