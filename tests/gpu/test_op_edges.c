/* Extreme floating-point values through every op on the GPU. */
#include "tests/core/op_edges_conv_helper.h"
#include "tests/core/op_edges_heads_helper.h"
#include "tests/core/op_edges_helper.h"
#include "tests/core/op_edges_loss_helper.h"
#include "tests/gpu/cases_helper.h"

static void gpu(void (*edges)(Device *device, DType dtype)) {
    if (device_count_cuda() == 0) SKIP("no GPU");
    Device *device = case_gpu();
    if (device == NULL) return;
    edges(device, DTYPE_F32);
    edges(device, DTYPE_F16);
    edges(device, DTYPE_BF16);
}

static void cross_entropy(void) { gpu(edges_of_cross_entropy); }
static void norm(void) { gpu(edges_of_norm); }
static void gelu(void) { gpu(edges_of_gelu); }
static void gated(void) { gpu(edges_of_gated); }
static void relu2(void) { gpu(edges_of_relu2); }
static void embedding(void) { gpu(edges_of_embedding); }
static void adamw(void) { gpu(edges_of_adamw); }
static void qk(void) { gpu(edges_of_qk); }
static void short_conv(void) { gpu(edges_of_short_conv); }

int main(int argc, char **argv) {
    const Test tests[] = {TEST(cross_entropy), TEST(norm),  TEST(gelu),
                          TEST(gated),         TEST(relu2), TEST(embedding),
                          TEST(adamw),         TEST(qk),    TEST(short_conv)};
    return harness_run(argc, argv, "edges of the ops on a GPU", tests, COUNT(tests));
}
