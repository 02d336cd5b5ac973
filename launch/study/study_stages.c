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

Status study_check(const Study *study) {
    TRY(trunks_check(study));
    return tunings_check(study);
}

bool study_has_stages(const Study *study) {
    return study->sweep->n_combinations + study->sweep->n_trunks > 0;
}
