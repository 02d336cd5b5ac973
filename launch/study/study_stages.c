/* What runs next in a study whose points run in stages. */
#include "launch/study/study.h"
#include "launch/study/trunk.h"
#include "launch/study/tuning.h"

Status study_advance(Study *study) {
    TRY(trunks_advance(study));
    return tunings_advance(study);
}

bool study_has_stages(const Study *study) {
    return study->sweep->n_combinations + study->sweep->n_trunks > 0;
}
