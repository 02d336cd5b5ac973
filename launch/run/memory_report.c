#include "launch/run/memory_report.h"

#include "core/base/escape.h"
#include "launch/base/text_file.h"
#include "launch/run/memory_search.h"
#include "launch/run/run_schedule.h"

#include <jansson.h>

/* Anonymous and shared pages; mapped token files belong to the page cache. */
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

/* Memory of a GPU in addition to tensors. */
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
        size_t bytes = e->planned.by_kind[kind];
        if (bytes > 0)
            fprintf(file, "%-24s %12.1f\n", buffer_kind_name((BufferKind)kind), mebibytes(bytes));
    }
    fprintf(file, "%-24s %12.1f\n", "packing", mebibytes(e->planned.packing_bytes));
    for (int i = 0; i < EXTRAS; i++) {
        if (extras[i].bytes > 0)
            fprintf(file, "%-24s %12.1f\n", extras[i].name, mebibytes(extras[i].bytes));
    }
    fprintf(file, "%-24s %12.1f\n", "planned", mebibytes(e->planned.bytes));
}

/* FLOP/s of the model over those of all ranks' data sheets; 0: unknown. */
static double predicted_mfu(const Experiment *e, double seconds) {
    double peak = e->device->peak_flops * (double)experiment_ranks(e),
           tokens = (double)experiment_tokens_per_step(e);
    if (peak <= 0) return 0;
    return experiment_flops_per_token(e) * tokens / seconds / peak;
}

static void ceilings_print(const Experiment *e, FILE *file) {
    const Ceilings *ceilings = &e->ceilings;
    fprintf(file, " (%s ", ceilings->measured ? "measured" : "supposing");
    if (e->device->target.kind == DEVICE_CPU)
        fprintf(file, "%.1f GFLOP/s and %.1f GB/s)\n", 1e-9 * ceilings->flops,
                1e-9 * ceilings->bytes);
    else
        fprintf(file, "%.0f TFLOP/s and %.2f TB/s)\n", 1e-12 * ceilings->flops,
                1e-12 * ceilings->bytes);
}

static void communication_print(const Experiment *e, FILE *file) {
    const Timeline *step = &e->planned.step;
    int64_t ranks = experiment_ranks(e), hosts = e->plan.hosts;
    fprintf(file, "communication %.2f ms a step, %.2f ms of it exposed (%lld rank%s on %lld host%s",
            1e3 * step->communication, 1e3 * step->exposed, (long long)ranks, ranks == 1 ? "" : "s",
            (long long)hosts, hosts == 1 ? ")\n" : "s, ");
    if (hosts > 1) fprintf(file, "%g Gb/s each)\n", 8e-9 * e->plan.network);
}

/* Prints nothing if the prediction is unknown. */
static void prediction_print(const Experiment *e, FILE *file) {
    bool communicates = e->planned.step.seconds > 0;
    double seconds = communicates ? e->planned.step.seconds : e->planned.seconds[0],
           tokens = (double)experiment_tokens_per_step(e), mfu;
    if (seconds <= 0) return;
    fprintf(file, "predicted %.2f ms a step, %.0f tokens/s", 1e3 * seconds, tokens / seconds);
    if (!communicates && experiment_ranks(e) > 1) fputs(" without communication", file);
    if (communicates && (mfu = predicted_mfu(e, seconds)) > 0)
        fprintf(file, ", MFU %.1f%%", 100 * mfu);
    ceilings_print(e, file);
    if (communicates) communication_print(e, file);
}

static void phases_print(const Experiment *e, FILE *file) {
    int count = experiment_phases(e).count;
    char text[512];
    for (int i = 0; i < count && count > 1; i++) {
        phase_describe(e, i, text, sizeof text);
        fprintf(file, "%s\n", text);
    }
}

static void data_print(const Experiment *e, FILE *file) {
    if (e->train_tokens == NULL) {
        fprintf(file, "data.train is missing: ");
        escape_print(file, e->missing.message);
        fputc('\n', file);
        return;
    }
    int files = token_set_files(e->train_tokens);
    int64_t tokens = token_set_count(e->train_tokens);
    fprintf(file, "data.train: %lld tokens in %d file%s, %.4g steps an epoch\n", (long long)tokens,
            files, files == 1 ? "" : "s", (double)tokens / (double)experiment_tokens_per_step(e));
}

/* The plan of a device that is not here. */
static void device_print(const Experiment *e, FILE *file) {
    const Device *device = e->device;
    if (device->planning_bytes == 0) return;
    fprintf(file, "for a GPU that this host lacks: compute capability %d.%d, %.4g GiB%s\n",
            device->target.sm / 10, device->target.sm % 10, (double)device->planning_bytes / 0x1p30,
            experiment_would_use_cpu(e) ? "; ./train takes the CPU here, which device=cpu plans"
                                        : "");
}

Status memory_print(const Experiment *e, FILE *file) {
    size_t capacity;
    char remark[256];
    TRY(memory_capacity(e, &e->planned, &capacity));
    device_print(e, file);
    fprintf(file, "%-24s %12s   on %s\n", "memory", "MiB", e->device->name);
    kinds_print(e, file);
    fprintf(file, "%-24s %12.1f   (within memory_budget and free%s)\n", "may be taken",
            mebibytes(capacity), e->planned.bytes > capacity ? ": IT DOES NOT FIT" : "");
    fprintf(file, "%-24s %12.1f   (host memory of rank 0, to save from)\n", "checkpoint",
            mebibytes(e->planned.checkpoint_bytes));
    fprintf(file, "%-24s %12.1f   (this process without the plan)\n", "base",
            mebibytes(memory_resident()));
    fprintf(file,
            "attention %s | %lld parameters | %lld ranks x batch %lld x accumulation %lld x T %lld "
            "= %lld tokens a step\n",
            e->planned.attention, (long long)e->planned.parameters, (long long)experiment_ranks(e),
            (long long)e->resolved.batch_size, (long long)experiment_accumulation(e),
            (long long)e->T, (long long)experiment_tokens_per_step(e));
    data_print(e, file);
    prediction_print(e, file);
    phases_print(e, file);
    backend_table_print(&e->backends, file);
    rates_remark(e, remark, sizeof remark);
    if (remark[0] != '\0') fprintf(file, "%s\n", remark);
    schedule_remark(e, remark, sizeof remark);
    if (remark[0] != '\0') fprintf(file, "%s\n", remark);
    return OK;
}

static json_t *kinds_json(const Experiment *e) {
    json_t *kinds = json_object();
    for (int kind = 0; kind < BUFFER_KINDS; kind++) {
        size_t bytes = e->planned.by_kind[kind];
        json_object_set_new(kinds, buffer_kind_name((BufferKind)kind),
                            json_integer((json_int_t)bytes));
    }
    json_object_set_new(kinds, "packing", json_integer((json_int_t)e->planned.packing_bytes));
    Extra extras[EXTRAS];
    extras_of(e, extras);
    for (int i = 0; i < EXTRAS; i++) {
        if (extras[i].bytes > 0) {
            json_object_set_new(kinds, extras[i].name, json_integer((json_int_t)extras[i].bytes));
        }
    }
    return kinds;
}

static json_t *phases_json(const Experiment *e) {
    Phases phases = experiment_phases(e);
    json_t *list = json_array();
    for (int i = 0; i < phases.count; i++) {
        Experiment then = *e;
        then.phase = i;
        json_t *phase =
            json_pack("{s:I}", "tokens_per_step", (json_int_t)experiment_tokens_per_step(&then));
        if (e->planned.seconds[i] > 0)
            json_object_set_new(phase, "predicted_step_s", json_real(e->planned.seconds[i]));
        json_array_append_new(list, phase);
    }
    return list;
}

Status memory_write(const Experiment *e, const char *path) {
    json_t *plan = json_object();
    json_object_set_new(plan, "planned_bytes", json_integer((json_int_t)e->planned.bytes));
    json_object_set_new(plan, "checkpoint_bytes",
                        json_integer((json_int_t)e->planned.checkpoint_bytes));
    json_object_set_new(plan, "by_kind", kinds_json(e));
    json_object_set_new(plan, "attention", json_string(e->planned.attention));
    json_object_set_new(plan, "backends", backend_table_json(&e->backends));
    json_object_set_new(plan, "parameters", json_integer(e->planned.parameters));
    json_object_set_new(plan, "batch_size", json_integer(e->resolved.batch_size));
    json_object_set_new(plan, "world_size", json_integer(experiment_ranks(e)));
    json_object_set_new(plan, "tokens_per_step", json_integer(experiment_tokens_per_step(e)));
    double seconds = e->planned.seconds[0];
    if (seconds > 0) json_object_set_new(plan, "predicted_step_s", json_real(seconds));
    if (experiment_phases(e).count > 1) json_object_set_new(plan, "phases", phases_json(e));
    return text_file_replace_json(path, plan, JSON_INDENT(2));
}
