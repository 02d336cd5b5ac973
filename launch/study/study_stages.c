/* What runs next in a study whose points run in stages. */
#include "launch/study/study.h"
#include "launch/study/trunk.h"
#include "launch/study/tuning.h"

Status study_advance(Study *study) {
    int before = study->count;
    TRY(trunks_advance(study));
    TRY(tunings_advance(study));
    return study_claim_points(study, before);
}

/* A tuning that has no best may find one. */
static void tuning_reopen(Study *study, Tuning *t) {
    if (t->best >= 0) return;
    t->is_decided = false;
    for (int i = 0; i < t->count; i++) study->points[t->candidates[i].point].is_result = false;
}

void study_ask(Study *study) {
    for (int i = 0; i < study->count; i++) study->points[i].is_asked = true;
    for (int i = 0; i < study->sweep->n_combinations; i++) tuning_reopen(study, &study->tunings[i]);
}

static Status fault_check(const char *fault) {
    return *fault == '\0' ? OK : ERROR(STATUS_FAILURE, "%s; the same command resumes", fault);
}

Status study_check(const Study *study) {
    for (int i = 0; i < study->sweep->n_trunks; i++) TRY(fault_check(study->trunks[i].fault));
    for (int i = 0; i < study->sweep->n_combinations; i++)
        TRY(fault_check(study->tunings[i].fault));
    return OK;
}

bool study_has_stages(const Study *study) {
    return study->sweep->n_combinations + study->sweep->n_trunks > 0;
}
