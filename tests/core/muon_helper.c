#include "tests/core/muon_helper.h"

#include "core/ops/reduce.h"
#include "core/step.h"

#include <string.h>

enum { SKIPPED = 64 };

static MuonProblem placed(const MuonProblem *problem, MuonRun *run) {
    MuonProblem p = *problem;
    for (int i = 0; i < p.count; i++) {
        MuonMatrix *m = &p.matrices[i];
        m->first = run->elements;
        m->master = m->momentum = run->elements + run->skipped;
        m->row = run->rows + run->skipped;
        run->elements += m->rows * m->columns;
        run->rows += m->rows;
    }
    return p;
}

bool muon_run_open(MuonRun *run, Device *device, DType dtype, const MuonProblem *problem,
                   const double *weights) {
    *run = (MuonRun){.skipped = problem->offset ? SKIPPED : 0};
    MuonProblem p = placed(problem, run);
    Edge *e = &run->e;
    bool is_half = edge_is_half(dtype);
    if (!edge_begin(e, device, dtype)) return false;
    int64_t n = run->elements, states = n + run->skipped;
    run->grad = edge_tensor(e, e->wide, SHAPE(n));
    run->norm = edge_tensor(e, e->wide, SHAPE(1));
    run->step = edge_step(e);
    run->weight = edge_tensor(e, e->tested, SHAPE(n));
    run->master = is_half ? edge_tensor(e, e->wide, SHAPE(states)) : NULL;
    run->momentum = edge_tensor(e, e->wide, SHAPE(states));
    run->row_moments = p.normuon ? edge_tensor(e, e->wide, SHAPE(run->rows + run->skipped)) : NULL;
    run->first_nonfinite = edge_tensor(e, e->bytes, SHAPE(8));
    l2_norm_of_record(e->program, run->norm, run->grad);
    muon_record(e->program, p.attrs,
                (MuonTensors){.grad = run->grad,
                              .norm = run->norm,
                              .step = run->step,
                              .weight = run->weight,
                              .master = run->master,
                              .momentum = run->momentum,
                              .row_moments = run->row_moments,
                              .first_nonfinite = run->first_nonfinite,
                              .matrices = p.matrices,
                              .n_matrices = p.count});
    if (!edge_ready(e)) return false;
    edge_write(e, run->weight, weights);
    if (is_half) {
        double *masters = calloc((size_t)states, sizeof *masters);
        memcpy(masters + run->skipped, weights, (size_t)n * sizeof *masters);
        edge_write(e, run->master, masters);
        free(masters);
    }
    return true;
}

void muon_run_close(MuonRun *run) { edge_end(&run->e); }

void muon_run_step(MuonRun *run, uint64_t step, double lr, const double *grads) {
    StepState state = {
        .step = step, .adam_step = (int64_t)step + 1, .lr = (float)lr, .loss_scale = 1};
    edge_write(&run->e, run->grad, grads);
    CHECK_OK(device_upload(run->e.device, run->step, &state));
    CHECK_OK(device_replay(run->e.device, run->e.program));
}

double *muon_run_weights(MuonRun *run) {
    if (run->master == NULL) return edge_read(&run->e, run->weight);
    double *all = edge_read(&run->e, run->master);
    memmove(all, all + run->skipped, (size_t)run->elements * sizeof *all);
    return all;
}
