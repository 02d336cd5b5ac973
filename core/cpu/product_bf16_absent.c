/* In a build without oneDNN. */
#include "core/cpu/product_bf16.h"

const char *product_bf16_refusal(void) {
    return "needs oneDNN; install libdnnl-dev and run scons again";
}

size_t product_bf16_bytes(const ProductShape *shape, int threads) {
    (void)shape, (void)threads;
    return 0;
}

Status product_bf16(const ProductShape *shape, const void *a, const void *b, const void *bias,
                    void *out, void *scratch) {
    (void)shape, (void)a, (void)b, (void)bias, (void)out, (void)scratch;
    return ERROR(STATUS_CONFIG, "a product in bf16 %s", product_bf16_refusal());
}
