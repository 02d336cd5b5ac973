#include "nn/optim/loss_scale.h"

enum { START = 65536, GROWTH_STEPS = 2000 };

LossScale loss_scale_start(DType dtype) {
    return (LossScale){.scale = dtype == DTYPE_F16 ? START : 1};
}

bool loss_scale_update(LossScale *state, DType dtype, bool finite) {
    if (finite) {
        state->updates++;
        state->good_steps++;
        if (dtype != DTYPE_F16 || state->good_steps < GROWTH_STEPS) return true;
        state->scale *= 2;
        state->good_steps = 0;
        return true;
    }
    if (dtype != DTYPE_F16 || state->scale <= 1) return false;
    state->scale /= 2;
    state->good_steps = 0;
    return true;
}
