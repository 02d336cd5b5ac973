#include "launch/study/tuning_log.h"

#include "launch/base/text_file.h"
#include "launch/study/metric.h"

#include <limits.h>
#include <math.h>
#include <string.h>

enum { LOG_BYTES = 4096 };

static void log_path(const StudyPoint *point, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/rungs.log", point->directory);
}

static const char *reduce_of(const ConfigReport *report) {
    return config_name("report.reduce", (int)report->reduce);
}

/* "rung SHARE LOSS STEP TRAIN_S METRIC REDUCE" */
static bool line_read(const char *line, const ConfigReport *report, double *share, double *loss) {
    char metric[128], reduce[16];
    int read = sscanf(line, "rung %lf %lf %*s %*s %127s %15s", share, loss, metric, reduce);
    return read == 2 || (read == 4 && strcmp(metric, report->metric) == 0 &&
                         strcmp(reduce, reduce_of(report)) == 0);
}

Status tuning_log_read(const StudyPoint *point, const ConfigReport *report, const double *shares,
                       int count, double *losses) {
    char path[PATH_MAX], text[LOG_BYTES], *rest = text;
    log_path(point, path);
    for (int i = 0; i < count; i++) losses[i] = NAN;
    TRY(text_file_tail(path, text, sizeof text));
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        double share, loss;
        if (!line_read(line, report, &share, &loss)) continue;
        for (int i = 0; i < count; i++) {
            if (fabs(share - shares[i]) < 1e-6) losses[i] = loss;
        }
    }
    return OK;
}

Status tuning_log_add(const StudyPoint *point, const ConfigReport *report, double share,
                      double loss) {
    char path[PATH_MAX], line[320];
    const PointStatus *s = &point->status;
    log_path(point, path);
    snprintf(line, sizeof line, "rung %.10g %.17g %lld %.6f %s %s", share, loss, (long long)s->step,
             s->train_s, report->metric, reduce_of(report));
    return text_file_append(path, line);
}

Status tuning_result(const StudyPoint *point, const ConfigReport *report, double share,
                     double *out) {
    bool is_beyond = metric_is_beyond(point_share(point), share);
    TRY(metric_read(point->directory, report->metric, reduce_of(report),
                    &point->config->training.stop, is_beyond ? share : 1, out));
    if (metric_is_rate(report->metric)) *out = -*out;
    if (isnan(*out)) *out = is_beyond ? -INFINITY : INFINITY;
    return OK;
}
