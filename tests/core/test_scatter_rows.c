/* scatter_rows: rows go where they should, and nothing else changes. */
#include "core/ops/scatter_rows.h"

#include "core/bound_program.h"
#include "core/store.h"
#include "tests/harness.h"

#include <string.h>

enum { B = 2, T = 3, C = 5, ROWS = 4, W = 2, FIRST = 3 };

typedef struct Run {
    Device *device;
    Store *store;
    Tensor *x, *positions, *out;
    BoundProgram bound;
} Run;

static Status run_open(Run *r, int64_t width) {
    Section *reals, *integers;
    *r = (Run){0};
    TRY(device_open_cpu(1, &r->device));
    TRY(store_create(&r->store));
    TRY(store_section(r->store, "reals", BUFFER_INPUTS, DTYPE_F32, &reals));
    TRY(store_section(r->store, "integers", BUFFER_INPUTS, DTYPE_I32, &integers));
    TRY(section_add(r->store, reals, "x", 3, (int64_t[]){B, T, C}, &r->x));
    TRY(section_add(r->store, reals, "out", 3, (int64_t[]){B, ROWS, width}, &r->out));
    TRY(section_add(r->store, integers, "positions", 2, (int64_t[]){B, T}, &r->positions));
    TRY(store_allocate(r->store, r->device));
    return program_create(r->device->target, false, &r->bound.program);
}

static void run_close(Run *r) {
    bound_programs_destroy(&r->bound, 1);
    store_destroy(&r->store);
    device_close(&r->device);
}

static void rows_go_to_their_positions(void) {
    static const int32_t positions[B * T] = {2, 0, 4, -1, 3, 1}; /* 4 and -1 are outside */
    static const float wanted[B * ROWS * W] = {8,  9,  -1, -1, 3,  4,  -1, -1,
                                               -1, -1, 28, 29, -1, -1, 23, 24};
    Run r;
    if (CHECK_OK(run_open(&r, W))) {
        float *x = tensor_data(r.x), *out = tensor_data(r.out);
        for (int i = 0; i < B * T * C; i++) x[i] = (float)i;
        for (int i = 0; i < B * ROWS * W; i++) out[i] = -1;
        memcpy(tensor_data(r.positions), positions, sizeof positions);
        scatter_rows_record(r.bound.program, r.out, r.x, r.positions, FIRST);
        CHECK_OK(bound_programs_plan(&r.bound, 1));
        CHECK_OK(bound_programs_bind(&r.bound, 1, r.device, "a test"));
        CHECK_OK(device_replay(r.device, r.bound.program));
        CHECK(memcmp(out, wanted, sizeof wanted) == 0);
    }
    run_close(&r);
}

static void columns_that_do_not_exist(void) {
    Run r;
    if (CHECK_OK(run_open(&r, C - FIRST + 1))) {
        scatter_rows_record(r.bound.program, r.out, r.x, r.positions, FIRST);
        CHECK_ERROR(bound_programs_plan(&r.bound, 1), STATUS_CONFIG, "does not fit");
    }
    run_close(&r);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(rows_go_to_their_positions), TEST(columns_that_do_not_exist)};
    return harness_run(argc, argv, "scatter rows", tests, COUNT(tests));
}
