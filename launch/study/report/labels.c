#include "launch/study/report/labels.h"

#include "launch/study/report/text.h"

#include <stdio.h>
#include <string.h>

typedef struct MetricName {
    const char *key, *label, *unit, *short_unit; /* of axes; of numbers in sentences */
} MetricName;

static const MetricName metric_names[] = {
    {"val/loss", "validation loss", "nats per token", "nats"},
    {"val/stderr", "standard error of the validation loss", "nats per token", "nats"},
    {"val/bpb", "validation loss", "bits per byte", "bits per byte"},
    {"train/loss", "training loss", "nats per token", "nats"},
    {"tok_per_s", "throughput", "tokens/s", "tokens/s"},
    {"tok_per_joule", "energy efficiency", "tokens/J", "tokens/J"},
    {"mfu", "model FLOPS utilization", "share of the peak", ""},
    {"grad_norm", "gradient norm", "", ""},
    {"noise_scale", "gradient noise scale", "tokens", "tokens"},
    {"joules", "energy", "J", "J"},
    {"mem_bytes", "memory", "bytes", "bytes"},
    {"lr", "learning rate", "", ""},
    {"train_s", "training time", "s", "s"},
};

static const MetricName *metric_find(const char *key) {
    for (size_t i = 0; i < sizeof metric_names / sizeof *metric_names; i++) {
        if (strcmp(metric_names[i].key, key) == 0) return &metric_names[i];
    }
    return NULL;
}

const char *metric_label(const char *metric) {
    const MetricName *name = metric_find(metric);
    return name == NULL ? metric : name->label;
}

const char *metric_axis_label(Results *s) {
    const MetricName *name = metric_find(s->metric);
    if (name == NULL || *name->unit == 0) return metric_label(s->metric);
    return or_empty(arena_printf(&s->arena, "%s, %s", name->label, name->unit));
}

const char *metric_unit(const char *metric) {
    const MetricName *name = metric_find(metric);
    return name == NULL ? "" : name->short_unit;
}

bool metric_is_loss(const char *metric) {
    return strncmp(metric, "val/", 4) == 0 || strcmp(metric, "train/loss") == 0;
}

const char *metric_title(Results *s) {
    const char *first = strcmp(s->reduce, "last") == 0   ? "Last"
                        : strcmp(s->reduce, "mean") == 0 ? "Mean"
                                                         : "Best";
    const char *after = *s->budget == 0 ? "" : " after ";
    return or_empty(
        arena_printf(&s->arena, "%s %s%s%s", first, metric_label(s->metric), after, s->budget));
}

const char *axis_label(Results *s, const char *key) {
    if (key == NULL) return "";
    if (strcmp(key, "data.batch_size") == 0) return "batch, sequences per rank";
    return or_empty(arena_printf(&s->arena, "%s", key));
}

const char *x_text(Results *s, double x) {
    bool is_time = s->x_key != NULL && strcmp(s->x_key, "training.stop.time") == 0;
    if (s->x_names == NULL && is_time) return seconds_text(&s->arena, x);
    return s->x_names != NULL ? s->x_names[(int)x] : number_text(&s->arena, "%.6g", x);
}

Color series_color(int series, double shade) {
    static const unsigned char palette[][3] = {{0, 114, 178},   {213, 94, 0},  {0, 158, 115},
                                               {204, 121, 167}, {230, 159, 0}, {86, 180, 233},
                                               {110, 110, 110}};
    const unsigned char *base = palette[(size_t)series % (sizeof palette / sizeof *palette)];
    double target = shade < 0 ? 255 : 0, share = shade < 0 ? -0.5 * shade : 0.5 * shade;
    int rgb[3];
    Color color;
    for (int i = 0; i < 3; i++) rgb[i] = (int)(base[i] + (target - base[i]) * share + 0.5) & 255;
    snprintf(color.hex, sizeof color.hex, "#%02x%02x%02x", (unsigned)rgb[0] & 255u,
             (unsigned)rgb[1] & 255u, (unsigned)rgb[2] & 255u);
    return color;
}

int series_point(int series, bool hollow) {
    static const int types[] = {
        7, 5, 9, 13, 11, 15}; /* disc, square, triangle, diamond, inverted triangle, pentagon */
    return types[(size_t)series % (sizeof types / sizeof *types)] - hollow;
}
