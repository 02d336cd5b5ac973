#include "launch/run/memory_report.h"

#include "launch/base/text_file.h"
#include "launch/run/attention_choice.h"
#include "launch/run/memory_search.h"
#include "launch/run/schedule_fit.h"
#include "launch/run/state.h"

#include <jansson.h>

/* Mapped token files are the page cache's, not ours: only anonymous and shared pages count. */
size_t memory_resident(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0, sum = 0;
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "RssAnon: %llu", &kib) == 1 || sscanf(line, "RssShmem: %llu", &kib) == 1)
            sum += kib;
    }
    fclose(file);
    return (size_t)sum * 1024;
}

/* A kind's bytes: what the store keeps of it, and what the arena holds of it at its fullest
 * moment. */
static size_t kind_bytes(const Experiment *e, BufferKind kind) {
    return store_kind_bytes(e->store, kind) + training_largest_plan(e->training)->by_kind[kind];
}

static size_t packing_bytes(const Experiment *e) {
    const Plan *plan = training_largest_plan(e->training);
    return plan->bytes - plan->live_bytes;
}

/* What a GPU gives beside tensors. */
enum { EXTRAS = 3 };
typedef struct Extra {
    const char *name;
    size_t bytes;
} Extra;

static void extras_of(const Experiment *e, Extra extras[EXTRAS]) {
    extras[0] = (Extra){"context and code", e->device->context_bytes};
    extras[1] = (Extra){"product workspace", e->device->workspace_bytes};
    extras[2] = (Extra){"communication", e->communication_bytes};
}

static double mebibytes(size_t bytes) { return (double)bytes / 0x1p20; }

static void kinds_print(const Experiment *e, FILE *file) {
    Extra extras[EXTRAS];
    extras_of(e, extras);
    for (int kind = 0; kind < BUFFER_KINDS; kind++) {
        size_t bytes = kind_bytes(e, (BufferKind)kind);
        if (bytes > 0)
            fprintf(file, "%-24s %12.1f\n", buffer_kind_name((BufferKind)kind), mebibytes(bytes));
    }
    fprintf(file, "%-24s %12.1f\n", "packing", mebibytes(packing_bytes(e)));
    for (int i = 0; i < EXTRAS; i++) {
        if (extras[i].bytes > 0)
            fprintf(file, "%-24s %12.1f\n", extras[i].name, mebibytes(extras[i].bytes));
    }
    fprintf(file, "%-24s %12.1f\n", "planned", mebibytes(experiment_planned_bytes(e)));
}

/* Where a step's time can be told from the plan. */
static void prediction_print(const Experiment *e, FILE *file) {
    const Ceilings *ceilings = &e->ceilings;
    double seconds = fit_step_seconds(e), tokens = (double)experiment_tokens_per_step(e);
    if (seconds <= 0) return;
    fprintf(file, "predicted %.2f ms a step, %.0f tokens/s%s (%s %.0f TFLOP/s and %.2f TB/s)\n",
            1e3 * seconds, tokens / seconds,
            experiment_ranks(e) > 1 ? " without communication" : "",
            ceilings->measured ? "measured" : "supposing", 1e-12 * ceilings->flops,
            1e-12 * ceilings->bytes);
}

Status memory_print(const Experiment *e, FILE *file) {
    const Config *c = e->config;
    size_t room;
    char remark[256];
    TRY(fit_room(e, &room));
    fprintf(file, "%-24s %12s   on %s\n", "memory", "MiB", e->device->name);
    kinds_print(e, file);
    fprintf(file, "%-24s %12.1f   (within memory_budget and free%s)\n", "may be taken",
            mebibytes(room), experiment_planned_bytes(e) > room ? ": IT DOES NOT FIT" : "");
    fprintf(file, "%-24s %12.1f   (host memory of rank 0, to save from)\n", "checkpoint",
            mebibytes(saver_bytes(e)));
    fprintf(file, "%-24s %12.1f   (this process without the plan)\n", "base",
            mebibytes(memory_resident()));
    fprintf(file,
            "attention %s | %lld parameters | %lld ranks x batch %lld x accumulation %lld x T %lld "
            "= %lld tokens a step\n",
            e->attention_name, (long long)parameters_count(e->parameters),
            (long long)experiment_ranks(e), (long long)c->data.batch_size,
            (long long)c->training.gradient_accumulation_steps, (long long)e->T,
            (long long)experiment_tokens_per_step(e));
    prediction_print(e, file);
    attention_print(e, file);
    schedule_remark(e, remark, sizeof remark);
    if (remark[0] != '\0') fprintf(file, "%s\n", remark);
    return OK;
}

static json_t *kinds_json(const Experiment *e) {
    json_t *kinds = json_object();
    for (int kind = 0; kind < BUFFER_KINDS; kind++) {
        size_t bytes = kind_bytes(e, (BufferKind)kind);
        json_object_set_new(kinds, buffer_kind_name((BufferKind)kind),
                            json_integer((json_int_t)bytes));
    }
    json_object_set_new(kinds, "packing", json_integer((json_int_t)packing_bytes(e)));
    Extra extras[EXTRAS];
    extras_of(e, extras);
    for (int i = 0; i < EXTRAS; i++) {
        if (extras[i].bytes > 0) {
            json_object_set_new(kinds, extras[i].name, json_integer((json_int_t)extras[i].bytes));
        }
    }
    return kinds;
}

Status memory_write(const Experiment *e, const char *path) {
    json_t *plan = json_object();
    json_object_set_new(plan, "planned_bytes",
                        json_integer((json_int_t)experiment_planned_bytes(e)));
    json_object_set_new(plan, "checkpoint_bytes", json_integer((json_int_t)saver_bytes(e)));
    json_object_set_new(plan, "by_kind", kinds_json(e));
    json_object_set_new(plan, "attention", json_string(e->attention_name));
    json_object_set_new(plan, "backends", attention_json(e));
    json_object_set_new(plan, "parameters", json_integer(parameters_count(e->parameters)));
    json_object_set_new(plan, "batch_size", json_integer(e->config->data.batch_size));
    json_object_set_new(plan, "world_size", json_integer(experiment_ranks(e)));
    json_object_set_new(plan, "tokens_per_step", json_integer(experiment_tokens_per_step(e)));
    double seconds = fit_step_seconds(e);
    if (seconds > 0) json_object_set_new(plan, "predicted_step_s", json_real(seconds));
    return text_file_replace_json(path, plan, JSON_INDENT(2));
}
