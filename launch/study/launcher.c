#include "launch/study/launcher.h"

#include "core/base/program_file.h"
#include "core/device.h"
#include "launch/base/process.h"
#include "launch/study/shell_word.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *launcher_programs(Arena *arena) {
    char self[PROGRAM_PATH_BYTES], here[PROGRAM_PATH_BYTES];
    if (!program_folder(self)) return ".";
    if (getcwd(here, sizeof here) != NULL && strcmp(here, self) == 0) return ".";
    return arena_strdup(arena, self);
}

/* If several points run at a time, each gets separate GPUs; two points on one GPU would compete for
 * its memory. */
static Status share_gpus(const Study *study, Launcher *l) {
    const Config *c = study->config;
    if (l->parallel == 1 || c->device == CONFIG_DEVICE_CPU) return OK;
    l->gpus = device_count_cuda();
    int64_t each = c->share_gpu ? 0 : l->ranks;
    if (l->gpus == 0 || l->parallel * each <= l->gpus) return OK;
    return ERROR(
        STATUS_CONFIG,
        "%lld points at a time with %lld ranks each need %lld GPUs, but this machine has %d; "
        "lower --parallel",
        (long long)l->parallel, (long long)l->ranks, (long long)(l->parallel * each), l->gpus);
}

Status launcher_check_ranks(int64_t ranks, const char *way_out) {
    enum { MOST_PER_CORE = 64 };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t most = MOST_PER_CORE * (int64_t)(cores > 0 ? cores : 1);
    if (ranks <= most) return OK;
    return ERROR(STATUS_CONFIG,
                 "%lld ranks on this host of %ld cores: at most %lld, %d per core; %s",
                 (long long)ranks, cores, (long long)most, MOST_PER_CORE, way_out);
}

Status launcher_open(const Study *study, int64_t ranks, int64_t parallel, Launcher *out) {
    const ConfigLocal *local = &study->config->launch.local;
    *out = (Launcher){.ranks = ranks > 0 ? ranks : local->ranks,
                      .parallel = parallel > 0 ? parallel : local->parallel};
    const char *directory = launcher_programs(&out->arena);
    out->train = directory == NULL ? NULL : arena_printf(&out->arena, "%s/train", directory);
    if (out->train == NULL) return OUT_OF_MEMORY("a command");
    if (out->ranks > 1 && !process_can_find("mpirun")) {
        return ERROR(
            STATUS_CONFIG,
            "%lld ranks need mpirun, which is not in PATH; install Open MPI, or set --ranks=1",
            (long long)out->ranks);
    }
    TRY(launcher_check_ranks(out->ranks, "lower --ranks or launch.local.ranks"));
    return share_gpus(study, out);
}

/* ./train places its own threads. */
char **launcher_arguments(Launcher *l, const StudyPoint *point) {
    Arena *arena = &l->arena;
    enum { MOST = 12 };
    char limit[LIMIT_BYTES];
    char **all = arena_alloc(arena, MOST * sizeof *all);
    if (all == NULL) return NULL;
    char *train = l->train, *ranks = arena_printf(arena, "%lld", (long long)l->ranks);
    char *config = arena_printf(arena, "%s/config.yaml", point->directory);
    if (ranks == NULL || config == NULL) return NULL;
    char *const mpirun[] = {"mpirun", "--bind-to", "none", "--oversubscribe", "-np", ranks, NULL};
    int n = 0;
    for (; l->ranks > 1 && mpirun[n] != NULL; n++) all[n] = mpirun[n];
    all[n++] = train;
    all[n++] = config;
    if (*point_limit(point, limit) == '\0') return all;
    all[n] = arena_strdup(arena, limit);
    return all[n] == NULL ? NULL : all;
}

Status launcher_print(Launcher *l, const StudyPoint *point, FILE *file) {
    char **arguments = launcher_arguments(l, point);
    if (arguments == NULL) return OUT_OF_MEMORY("a command");
    for (; *arguments != NULL; arguments++) {
        shell_word(*arguments, file);
        fputc(arguments[1] == NULL ? '\n' : ' ', file);
    }
    return OK;
}

/* The slot's share of the cores that this process may use; all of them if there are too few to
 * divide. */
static void share_cores(const Launcher *l, int slot, cpu_set_t *share) {
    cpu_set_t all;
    CPU_ZERO(share);
    if (sched_getaffinity(0, sizeof all, &all) != 0) return;
    int64_t count = CPU_COUNT(&all), first = count * slot / l->parallel,
            end = count * (slot + 1) / l->parallel, index = 0;
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &all)) continue;
        if (index >= first && index < end) CPU_SET(core, share);
        index++;
    }
    if (first == end) *share = all;
}

char *launcher_gpus(Arena *arena, const char *visible, int gpus, int64_t parallel, int slot) {
    char *copy = visible == NULL ? NULL : arena_strdup(arena, visible), *rest = copy;
    char *text = arena_strdup(arena, "CUDA_VISIBLE_DEVICES=");
    int64_t first = (int64_t)gpus * slot / parallel, end = (int64_t)gpus * (slot + 1) / parallel;
    if (first == end) end = first + 1; /* shared, as the config allows */
    for (int64_t i = 0; i < end && text != NULL; i++) {
        const char *name =
            copy == NULL ? arena_printf(arena, "%lld", (long long)i) : strsep(&rest, ",");
        if (name == NULL) break;
        if (i >= first) text = arena_printf(arena, "%s%s%s", text, i > first ? "," : "", name);
    }
    return text;
}

Status launcher_start(Launcher *l, const StudyPoint *point, int slot, pid_t *out) {
    char *variables[4] = {NULL}, errors[PATH_MAX];
    int n = 0;
    cpu_set_t cores;
    if (geteuid() == 0) { /* mpirun requires it for root, as in containers */
        variables[n++] = "OMPI_ALLOW_RUN_AS_ROOT=1";
        variables[n++] = "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    }
    if (l->gpus > 0) {
        variables[n] =
            launcher_gpus(&l->arena, getenv("CUDA_VISIBLE_DEVICES"), l->gpus, l->parallel, slot);
    }
    snprintf(errors, sizeof errors, "%s/stderr.log", point->directory);
    share_cores(l, slot, &cores);
    ProcessPlan plan = {
        .arguments = launcher_arguments(l, point),
        .errors = errors,
        .variables = variables,
        .cores = l->parallel > 1 ? &cores : NULL,
    };
    if (plan.arguments == NULL || (l->gpus > 0 && variables[n] == NULL))
        return OUT_OF_MEMORY("a command");
    return process_start(&plan, out);
}
