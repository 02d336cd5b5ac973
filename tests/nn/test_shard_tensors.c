/* Groups with SHARD_TENSORS: each rank holds whole tensors, and each tensor is on one rank. */
#include "nn/model.h"
#include "nn/optim/groups.h"
#include "nn/optim/muon.h"
#include "tests/harness.h"

#include <stdlib.h>
#include <string.h>

typedef struct Layout {
    Store *store;
    Parameters *parameters;
    Model *model;
} Layout;

static bool layout_create(int rank, int ranks, bool is_sharded, int64_t C, Layout *out) {
    const ModelConfig config = {
        MODEL_CONFIG_DEFAULTS, .V = 61, .Vp = 64, .T = 16, .L = 3, .NH = 4, .C = C};
    GroupOptions kinds[PARAMETER_KINDS];
    *out = (Layout){0};
    groups_adamw(kinds, (OptimizerOptions){0}, 0.1);
    kinds[PARAMETER_MATRIX].optimizer = &normuon_optimizer;
    if (!CHECK_OK(store_create(&out->store)) ||
        !CHECK_OK(parameters_create(out->store, DTYPE_F32, true, &out->parameters)))
        return false;
    out->parameters->sharding = (Sharding){rank, ranks, is_sharded};
    return CHECK_OK(groups_add(out->parameters, NULL, kinds)) &&
           CHECK_OK(model_create(&config, out->parameters, &out->model));
}

static void layout_destroy(Layout *layout) {
    model_destroy(&layout->model);
    parameters_destroy(&layout->parameters);
    store_destroy(&layout->store);
}

static int state_of(const Layout *layout, const char *name) {
    return parameters_find_state(layout->parameters, name);
}

static bool is_matrix(const Parameter *parameter) {
    return parameter_kind(parameter) == PARAMETER_MATRIX;
}

enum { RANKS_MOST = 5 };

static void owners_check(int ranks, int64_t C) {
    Layout layouts[RANKS_MOST];
    bool ready = true;
    for (int r = 0; r < ranks; r++) ready &= layout_create(r, ranks, ranks > 1, C, &layouts[r]);
    int count = ready ? layouts[0].parameters->count : 0;
    for (int i = 0; i < count; i++) {
        int owners = 0, row_owners = 0;
        bool matrix = is_matrix(layouts[0].parameters->list[i]);
        for (int r = 0; r < ranks; r++) {
            const Parameters *p = layouts[r].parameters;
            int momentum = state_of(&layouts[r], "momentum"),
                rows = state_of(&layouts[r], "row_moments");
            int64_t place = parameters_state_place(p, momentum, p->list[i]),
                    row = parameters_state_place(p, rows, p->list[i]);
            CHECK((place >= 0) == (row >= 0));
            CHECK(place % STORE_ALIGNMENT <= 0 && row % STORE_ALIGNMENT <= 0);
            owners += place >= 0;
            row_owners += row >= 0;
        }
        CHECK(owners == matrix && row_owners == matrix);
    }
    for (int r = 0; r < ranks; r++) layout_destroy(&layouts[r]);
}

static void each_matrix_is_on_one_rank(void) {
    for (int ranks = 1; ranks <= RANKS_MOST; ranks++) {
        owners_check(ranks, 32);
        owners_check(ranks, 36);
    }
}

/* The layout of the weights is the same for all ranks, sharded or not; on one rank it is AdamW's.
 */
static void one_layout_for_all_ranks(void) {
    for (int ranks = 1; ranks <= 4; ranks++) {
        Layout a, b;
        if (layout_create(0, ranks, false, 32, &a) &&
            layout_create(ranks - 1, ranks, ranks > 1, 32, &b)) {
            CHECK(a.parameters->n_buckets == b.parameters->n_buckets);
            CHECK(a.parameters->weights->buffer.bytes == b.parameters->weights->buffer.bytes);
            for (int i = 0; i < a.parameters->count; i++)
                CHECK(a.parameters->list[i]->weight->offset ==
                      b.parameters->list[i]->weight->offset);
        }
        layout_destroy(&a);
        layout_destroy(&b);
    }
}

/* Bytes of a rank: 12 matrices of equal layers divide by 3 almost evenly. */
static void states_are_divided(void) {
    Layout whole, part;
    if (layout_create(0, 1, false, 64, &whole) && layout_create(1, 3, true, 64, &part)) {
        const Parameters *a = whole.parameters, *b = part.parameters;
        int64_t all = parameters_state_elements(a, state_of(&whole, "momentum"));
        int64_t mine = tensor_count(parameters_state(b, state_of(&part, "momentum"))->flat);
        CHECK(mine * 3 >= all && mine * 3 <= all + all / 4);
        int64_t rows = parameters_state_elements(a, state_of(&whole, "row_moments"));
        CHECK(rows >= 3 * (3 + 1 + 4 + 1) * 64 && rows <= 3 * 10 * 64);
        int64_t own_rows = tensor_count(parameters_state(b, state_of(&part, "row_moments"))->flat);
        CHECK(own_rows * 3 >= rows && own_rows * 3 <= 2 * rows);
    }
    layout_destroy(&whole);
    layout_destroy(&part);
}

/* Values that are written by name are where the optimizer reads them. */
static void states_are_written(void) {
    enum { RANKS = 3, C = 32 };
    Device *device = NULL;
    int found = 0, matrices = 0;
    REQUIRE_OK(device_open_cpu(1, &device));
    for (int rank = 0; rank < RANKS; rank++) {
        Layout layout;
        if (!layout_create(rank, RANKS, true, C, &layout)) continue;
        const Parameters *p = layout.parameters;
        int kind = state_of(&layout, "row_moments");
        CHECK_OK(store_allocate(layout.store, device));
        for (int i = 0; i < p->count; i++) {
            float values[4 * C];
            for (int k = 0; k < 4 * C; k++) values[k] = (float)(1000 * i + k + 1);
            CHECK_OK(parameters_write(p, device, kind, i, values));
        }
        const float *state = tensor_data(parameters_state(p, kind)->flat);
        for (int i = 0; i < p->count; i++) {
            int64_t place = parameters_state_place(p, kind, p->list[i]);
            matrices += rank == 0 && is_matrix(p->list[i]);
            for (int64_t k = 0; place >= 0 && k < p->list[i]->shape[0]; k++)
                CHECK(state[place + k] == (float)(1000 * i + k + 1));
            found += place >= 0;
        }
        layout_destroy(&layout);
    }
    CHECK(found == matrices && matrices == 12);
    device_close(&device);
}

/* q, k and v are updated each by itself. */
static void packed_matrices_are_split(void) {
    Layout layout;
    if (layout_create(0, 1, false, 32, &layout)) {
        for (int i = 0; i < layout.parameters->count; i++) {
            const Parameter *parameter = layout.parameters->list[i];
            bool packed = strstr(parameter->name, "c_attn.weight") != NULL;
            for (int k = 0; k < PARAMETER_MAX_SPLITS; k++)
                CHECK(parameter->splits[k] == (packed ? 32 : 0));
        }
    }
    layout_destroy(&layout);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(each_matrix_is_on_one_rank), TEST(one_layout_for_all_ranks),
                          TEST(states_are_divided), TEST(states_are_written),
                          TEST(packed_matrices_are_split)};
    return harness_run(argc, argv, "sharding by tensors", tests, COUNT(tests));
}
