#include "core/perf/timeline.h"

#include "core/ops/collective.h"
#include "core/perf/predict.h"

#include <math.h>

static void delay(Timeline *t, double seconds) {
    t->exposed += seconds;
    t->seconds += seconds;
}

static void collective_start(Timeline *t, CollectiveCost cost, const Ceilings *ceilings) {
    t->free_at = fmax(t->free_at, t->seconds) + cost.seconds;
    t->communication += cost.seconds;
    t->ends[t->started++ % TIMELINE_IN_FLIGHT] = t->free_at;
    if (cost.bytes > 0) delay(t, cost.bytes / ceilings->bytes);
}

static void collectives_wait(Timeline *t, int left) {
    int64_t last = t->started - 1 - left;
    if (last < 0) return;
    delay(t, fmax(0, t->ends[last % TIMELINE_IN_FLIGHT] - t->seconds));
}

void timeline_add(Timeline *t, const Program *p, const Ceilings *ceilings,
                  CollectiveModel collectives) {
    CollectiveStep step;
    for (int i = 0; i < p->n_nodes; i++) {
        if (!collective_step(p->nodes[i], &step)) {
            t->seconds += predict_node(p->nodes[i], ceilings);
        } else if (step.waits) {
            collectives_wait(t, step.left);
        } else {
            collective_start(t, collectives.cost(collectives.self, step.kind, step.bytes),
                             ceilings);
        }
    }
}
