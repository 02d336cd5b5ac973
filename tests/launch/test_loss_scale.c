#include "nn/optim/loss_scale.h"

#include "tests/harness.h"

static void halves_on_a_bad_step(void) {
    LossScale state = loss_scale_start(DTYPE_F16);
    double before = state.scale;
    CHECK(before > 1);
    CHECK(loss_scale_update(&state, DTYPE_F16, true));
    CHECK(loss_scale_update(&state, DTYPE_F16, false));
    CHECK(state.scale == before / 2);
    CHECK(state.updates == 1);
    CHECK(state.good_steps == 0);
}

static void doubles_after_good_steps_in_a_row(void) {
    LossScale state = loss_scale_start(DTYPE_F16);
    double before = state.scale;
    for (int i = 0; i < 1999; i++) CHECK(loss_scale_update(&state, DTYPE_F16, true));
    CHECK(state.scale == before);
    CHECK(loss_scale_update(&state, DTYPE_F16, true));
    CHECK(state.scale == 2 * before);
    CHECK(state.updates == 2000);
}

static void gives_up_at_one(void) {
    LossScale state = loss_scale_start(DTYPE_F16);
    int halvings = 0;
    while (loss_scale_update(&state, DTYPE_F16, false) && halvings < 100) halvings++;
    CHECK(state.scale == 1);
    CHECK(halvings == 16);
}

static void other_dtypes_keep_one_and_forgive_nothing(void) {
    LossScale state = loss_scale_start(DTYPE_BF16);
    for (int i = 0; i < 2001; i++) CHECK(loss_scale_update(&state, DTYPE_BF16, true));
    CHECK(state.scale == 1);
    CHECK(!loss_scale_update(&state, DTYPE_BF16, false));
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(halves_on_a_bad_step),
        TEST(doubles_after_good_steps_in_a_row),
        TEST(gives_up_at_one),
        TEST(other_dtypes_keep_one_and_forgive_nothing),
    };
    return harness_run(argc, argv, "loss scale", tests, COUNT(tests));
}
