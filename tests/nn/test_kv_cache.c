/* Generation with a cache of keys and values gives the logits of the whole text at once. */
#include "tests/harness.h"
#include "tests/nn/kv_cache_helper.h"

#include <stdio.h>
#include <string.h>

static Device *device;

static void same_logits(const CachedCase *family) {
    static const int64_t prompts[] = {0, 8, 21}; /* the later ones over a full cache */
    CachedModel m;
    double worst = 0;
    if (CHECK_OK(cached_open(family->config, 16, device, DTYPE_F32, &m)) &&
        CHECK_OK(cached_run_whole(&m))) {
        for (size_t i = 0; i < COUNT(prompts); i++) {
            CHECK_OK(cached_compare(&m, &m, prompts[i], &worst));
            CHECK_CLOSE(worst, 0, 1e-5);
        }
        printf("\n    %s: %.1e", family->name, worst);
    }
    cached_close(&m);
}

static void every_family_has_the_same_logits(void) {
    for (int i = 0; i < n_cached_cases; i++) same_logits(&cached_cases[i]);
}

/* A window as long as the text masks nothing; layers with equal windows share their ranges. */
static void windows_share_ranges(void) {
    CachedModel m;
    ModelConfig config = cached_cases[1].config;
    config.window = (LayerPattern){3, {5, T, 5}};
    if (CHECK_OK(cached_open(config, 16, device, DTYPE_F32, &m))) {
        CHECK(m.cache->windows[0] == 5 && m.cache->windows[1] == 0);
        CHECK(m.next.key_ranges[0] == m.next.key_ranges[2]);
        CHECK(m.next.key_ranges[0] != m.next.key_ranges[1]);
        CHECK(kv_cache_row_bytes(&m.model->config, DTYPE_F32, T) ==
              (size_t)3 * T * 2 * 2 * 4 * sizeof(float));
    }
    cached_close(&m);
}

/* Generation in bf16 on an H100: every op has a kernel, and attention is flash's. */
static void records_for_a_gpu(ModelConfig config) {
    CachedModel m = {0};
    Target hopper = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
    config.V = V, config.Vp = VP, config.T = T, config.L = 3, config.C = 128;
    CHECK_OK(store_create(&m.store));
    CHECK_OK(parameters_create(m.store, DTYPE_BF16, false, &m.parameters));
    CHECK_OK(model_create(&config, m.parameters, &m.model));
    CHECK_OK(kv_cache_create(m.store, &m.model->config, DTYPE_BF16, B, T, &m.cache));
    CHECK_OK(kv_tokens_create(m.store, m.cache, 1, &m.next));
    CHECK_OK(program_create(hopper, false, &m.programs[0].program));
    ForwardContext context = {.attention = &m.attention, .cached = &m.next};
    model_forward(m.programs[0].program, m.model, m.next.tokens, &context);
    CHECK_OK(bound_programs_plan(m.programs, 1));
    for (int i = 0; i < m.programs[0].program->n_nodes; i++) {
        const Node *node = m.programs[0].program->nodes[i];
        if (node->op == &attention_op) CHECK(strcmp(node_name(node), "attention_flash") == 0);
    }
    cached_close(&m);
}

static void every_family_is_recorded_for_gpus(void) {
    for (int i = 0; i < n_cached_cases; i++) records_for_a_gpu(cached_cases[i].config);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(every_family_has_the_same_logits), TEST(windows_share_ranges),
                          TEST(every_family_is_recorded_for_gpus)};
    if (failed(device_open_cpu(2, &device))) return 1;
    int code = harness_run(argc, argv, "KV cache", tests, COUNT(tests));
    device_close(&device);
    return code;
}
