/* Extreme floating-point values through every op on the CPU, in f32 and f64. */
#include "tests/core/op_edges_conv_helper.h"
#include "tests/core/op_edges_heads_helper.h"
#include "tests/core/op_edges_helper.h"
#include "tests/core/op_edges_loss_helper.h"
#include "tests/harness.h"

static Device *device;

static void cpu(void (*edges)(Device *device, DType dtype)) {
    edges(device, DTYPE_F32);
    edges(device, DTYPE_F64);
}

static void cross_entropy(void) { cpu(edges_of_cross_entropy); }
static void norm(void) { cpu(edges_of_norm); }
static void gelu(void) { cpu(edges_of_gelu); }
static void gated(void) { cpu(edges_of_gated); }
static void relu2(void) { cpu(edges_of_relu2); }
static void embedding(void) { cpu(edges_of_embedding); }
static void adamw(void) { cpu(edges_of_adamw); }
static void qk(void) { cpu(edges_of_qk); }

static void short_conv(void) {
    cpu(edges_of_short_conv);
    edges_of_short_conv(device, DTYPE_BF16);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(cross_entropy), TEST(norm),  TEST(gelu),
                          TEST(gated),         TEST(relu2), TEST(embedding),
                          TEST(adamw),         TEST(qk),    TEST(short_conv)};
    if (failed(device_open_cpu(2, &device))) return 1;
    int code = harness_run(argc, argv, "edges of the ops", tests, COUNT(tests));
    device_close(&device);
    return code;
}
