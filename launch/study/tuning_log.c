#include "launch/study/tuning_log.h"

#include "launch/base/text_file.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { LOG_BYTES = 4096 };

static void log_path(const StudyPoint *point, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/rungs.log", point->directory);
}

Status tuning_log_read(const StudyPoint *point, const double *shares, int count, double *losses) {
    char path[PATH_MAX], text[LOG_BYTES], *rest = text;
    log_path(point, path);
    for (int i = 0; i < count; i++) losses[i] = NAN;
    TRY(text_file_tail(path, text, sizeof text));
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        double share, loss;
        if (sscanf(line, "rung %lf %lf", &share, &loss) != 2) continue;
        for (int i = 0; i < count; i++) {
            if (fabs(share - shares[i]) < 1e-6) losses[i] = loss;
        }
    }
    return OK;
}

Status tuning_log_add(const StudyPoint *point, double share, double loss) {
    char path[PATH_MAX], line[160];
    const PointStatus *s = &point->status;
    log_path(point, path);
    snprintf(line, sizeof line, "rung %.10g %.17g %lld %.6f", share, loss, (long long)s->step,
             s->train_s);
    return text_file_append(path, line);
}
