#include "launch/supervise/supervisor.h"

#include "checkpoints/memory_snapshot.h"
#include "core/base/escape.h"
#include "launch/base/process.h"
#include "launch/base/signals.h"
#include "launch/run/run_checkpoint.h"
#include "launch/run/run_directory.h"
#include "launch/run/run_files.h"
#include "launch/run/run_lock.h"
#include "launch/study/launcher.h"
#include "launch/study/overdue.h"
#include "launch/study/slurm_command.h"
#include "launch/supervise/attempt.h"
#include "launch/supervise/hosts.h"
#include "launch/supervise/incidents.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const double LONGEST_PAUSE_SECONDS = 60;

typedef struct Supervisor {
    const Config *config;
    const SupervisorOptions *options;
    HostList hosts;  /* count 0: no hostfile */
    const char *job; /* of Slurm; NULL outside, and with a hostfile */
    Arena arena;
    Attempt attempt;            /* the current or last one */
    bool has_probed, has_hosts; /* the hosts of the hostfile; one of them has answered */
    bool is_unlogged;           /* incidents.jsonl has taken no line once, and it was said */
    int64_t checkpoint, failures;
    char first_cause[INCIDENT_CAUSE_BYTES];
} Supervisor;

/* ---- what an attempt starts with ------------------------------------------------------------- */

/* The most ranks, at most `limit`, that divide the micro-batches of a step among them evenly. */
static int64_t ranks_fit(int64_t batches, int64_t limit) {
    int64_t ranks = limit < batches ? limit : batches;
    while (batches % ranks != 0) ranks--;
    return ranks;
}

static void say_left_out(const HostList *hosts) {
    for (int i = 0; i < hosts->count; i++) {
        if (!hosts->items[i].answers)
            escape_say(stderr, "supervise: %s is left out: %s", hosts->items[i].name,
                       hosts->items[i].reason);
    }
}

static Status no_host(const Supervisor *s) {
    return ERROR(STATUS_FAILURE, "no host of %s answers; %s: %s; see that ssh reaches it",
                 s->options->hostfile, s->hosts.items[0].name, s->hosts.items[0].reason);
}

/* Chooses hosts and ranks. The product of ranks and accumulation stays that of the config on all
 * ranks. */
static Status attempt_choose(Supervisor *s) {
    const int64_t wanted = s->options->ranks;
    int64_t product = wanted * s->config->training.gradient_accumulation_steps, slots = wanted;
    if (s->hosts.count > 0) {
        TRY(hosts_probe(&s->hosts, &s->arena));
        slots = hosts_slots(&s->hosts);
        s->has_probed = true;
        s->has_hosts |= slots > 0;
        if (slots == 0) return no_host(s);
        say_left_out(&s->hosts);
    }
    int64_t ranks = ranks_fit(product, slots < wanted ? slots : wanted);
    s->attempt.ranks = ranks;
    s->attempt.accumulation = s->config->training.batch_schedule.count > 0 ? 0 : product / ranks;
    return OK;
}

/* ---- after a failure ------------------------------------------------------------------------- */

/* The step from which a run would resume: of the newest good checkpoint, or of a newer snapshot in
 * the memory of this host; -1: none. */
static int64_t checkpoint_newest(const Config *config) {
    char folder[MEMORY_FOLDER_BYTES];
    int64_t disk = run_checkpoint_step(config->output), memory = -1;
    if (memory_folder_find(config->output, folder)) memory = memory_snapshot_newest(folder);
    return memory > disk ? memory : disk;
}

/* Fails if a run uses the directory, and names it. */
static Status directory_check(const Config *config) {
    RunLock *lock = NULL;
    if (!run_lock_is_taken(config->output)) return OK;
    TRY(run_lock_take(config->output, &lock)); /* succeeds where there are no locks */
    run_lock_release(&lock);
    return OK;
}

/* Fails where no start can write. Slurm may give its job a host that can. */
static Status writable_check(const Supervisor *s) {
    return s->job != NULL ? OK : run_directory_check_writable(s->config->output);
}

/* Counts failures since the newest checkpoint was new, and keeps the cause of the first. A run that
 * still uses the directory is another one, whose checkpoints do not count. */
static void failure_count(Supervisor *s) {
    int64_t newest = checkpoint_newest(s->config);
    bool is_alone = !failed(directory_check(s->config));
    if (newest != s->checkpoint && is_alone) s->failures = 0;
    s->checkpoint = newest;
    if (s->failures++ == 0) snprintf(s->first_cause, sizeof s->first_cause, "%s", s->attempt.cause);
}

static Incident incident_of(const Supervisor *s) {
    const Attempt *a = &s->attempt;
    return (Incident){.attempt = a->number,
                      .ranks = a->ranks,
                      .hosts = &s->hosts,
                      .seconds = a->seconds,
                      .code = a->code,
                      .cause = a->cause,
                      .checkpoint = s->checkpoint,
                      .failures = s->failures,
                      .first_cause = s->first_cause};
}

static double pause_after(int64_t failures) {
    double pause = 1;
    for (int64_t i = 1; i < failures && pause < LONGEST_PAUSE_SECONDS; i++) pause *= 2;
    return pause < LONGEST_PAUSE_SECONDS ? pause : LONGEST_PAUSE_SECONDS;
}

/* The next start looks into the memory of all its hosts. The supervisor sees only this one, and
 * does not know which hosts a requeued job gets. */
static bool memory_is_unknown(const Supervisor *s) {
    char folder[MEMORY_FOLDER_BYTES];
    const char *run = s->config->output;
    if (memory_is_elsewhere(run)) return s->hosts.count > 0 || s->job != NULL;
    return s->job != NULL && memory_folder_find(run, folder);
}

static void say_failure(const Supervisor *s, const char *next) {
    char from[64] = "the beginning";
    bool others = memory_is_unknown(s);
    int64_t step = others ? run_checkpoint_step(s->config->output) : s->checkpoint;
    if (step >= 0) snprintf(from, sizeof from, "step %lld", (long long)step);
    escape_say(stderr, "supervise: attempt %lld failed after %.0f s (exit %d): %s; %s from %s%s",
               (long long)s->attempt.number, s->attempt.seconds, s->attempt.code, s->attempt.cause,
               next, others ? "the newest state in the memory of the hosts, or else " : "", from);
}

static Status give_up(const Supervisor *s) {
    return ERROR(STATUS_FAILURE,
                 "gave up after %lld failures without a new checkpoint; the first: %s; see "
                 "%s/incidents.jsonl",
                 (long long)s->failures, s->first_cause, s->config->output);
}

/* A resume repeats each step bit for bit; once more tells the arithmetic from a faulty machine. */
static bool has_diverged_again(Supervisor *s) {
    RunFacts facts;
    if (s->failures < 2 || strcmp(s->attempt.cause, s->first_cause) != 0) return false;
    if (failed(run_facts_read(s->config->output, &s->arena, &facts))) return false;
    return strcmp(facts.outcome, "diverged") == 0;
}

static Status give_up_diverged(const Supervisor *s) {
    return ERROR(STATUS_FAILURE, "gave up: the run diverged again in the same step: %s",
                 s->first_cause);
}

/* In the pause, or before there is a process: the same as a run that stops. */
static Status stopped(int64_t attempt) {
    int number = signals_number();
    return ERROR(STATUS_STOPPED, "stopped by %s before attempt %lld; the same command goes on",
                 strsignal(number == 0 ? SIGUSR1 : number), (long long)attempt);
}

static Status requeue(const char *job) {
    char *id = strdup(job), out[512], err[512];
    int code = 1;
    if (id == NULL) return OUT_OF_MEMORY("a command");
    char *command[] = {"scontrol", "requeue", id, NULL};
    Status status = slurm_command_run(command, out, err, sizeof out, &code);
    free(id);
    if (!failed(status) && code != 0)
        status = ERROR(STATUS_FAILURE, "scontrol requeue %s: %s", job, err);
    return status;
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* What keeps it from starting may pass, and is the cause of its failure: a host that is off, no
 * process or file that the system gives now. A wrong name of a host would cost all tries. */
static Status attempt_run(Supervisor *s) {
    Attempt *a = &s->attempt;
    *a = (Attempt){.number = a->number + 1, .code = status_exit_code(STATUS_FAILURE)};
    Status status = attempt_choose(s);
    if (!failed(status)) status = attempt_execute(a, s->config, s->options, &s->hosts);
    a->has_started = !failed(status);
    if (a->has_started) return OK;
    if (signals_request() != STOP_NONE) a->code = status_exit_code(STATUS_STOPPED);
    escape_text(status_message(), a->cause, sizeof a->cause);
    return s->has_probed && !s->has_hosts && signals_request() == STOP_NONE ? status : OK;
}

static bool is_over(const Attempt *a) {
    return a->code == 0 || a->code == status_exit_code(STATUS_STOPPED) ||
           point_exit_is_final(a->code) || signals_request() != STOP_NONE;
}

/* By SIGUSR1, which Slurm sends before the time limit; not by a signal that ends the job. */
static bool is_asked_to_save(const Attempt *a) {
    return a->code == status_exit_code(STATUS_STOPPED) && signals_request() == STOP_SAVE;
}

/* Slurm decides which hosts get the ranks of its job. */
static Status ranks_check(const Supervisor *s) {
    int64_t wanted = s->options->ranks, slots = hosts_slots_here(&s->hosts);
    if (s->job != NULL) return OK;
    if (s->hosts.count == 0)
        return launcher_check_ranks(wanted, "lower --ranks, or name more hosts by --hostfile");
    return launcher_check_ranks(slots < wanted ? slots : wanted,
                                "lower its slots in the hostfile, or --ranks");
}

/* A requeued job continues the count of its last incident; the lock of a dead host may outlive it.
 */
static Status start(Supervisor *s) {
    const char *restarts = getenv("SLURM_RESTART_COUNT");
    s->job = s->options->hostfile == NULL ? getenv("SLURM_JOB_ID") : NULL;
    if (s->job == NULL) TRY(directory_check(s->config));
    TRY(writable_check(s));
    s->checkpoint = checkpoint_newest(s->config);
    if (s->options->hostfile != NULL) TRY(hosts_read(s->options->hostfile, &s->arena, &s->hosts));
    TRY(ranks_check(s));
    if (s->job != NULL && restarts != NULL && atoi(restarts) > 0) {
        incident_last(s->config->output, &s->attempt.number, &s->checkpoint, &s->failures,
                      s->first_cause);
    }
    return OK;
}

/* Whether the next job can count this failure. A table that takes no line costs that line, and is
 * said once. */
static bool failure_note(Supervisor *s) {
    Incident incident = incident_of(s);
    bool is_noted, is_lost = failed(incident_write(s->config->output, &incident, &is_noted));
    if (is_lost && !s->is_unlogged)
        escape_say(stderr, "supervise: warning: %s; goes on without this line", status_message());
    s->is_unlogged |= is_lost;
    return is_noted;
}

static Status end_early(const Supervisor *s) {
    TRY(requeue(s->job));
    fputs("supervise: stopped early; the job is requeued\n", stderr);
    return OK;
}

/* False if Slurm refuses; the next start is then in this job. */
static bool is_requeued(const Supervisor *s) {
    if (failed(requeue(s->job))) {
        escape_say(stderr, "supervise: warning: %s; goes on in this job", status_message());
        return false;
    }
    say_failure(s, "the job is requeued and goes on");
    return true;
}

static Status run(Supervisor *s) {
    TRY(start(s));
    for (;;) {
        TRY(attempt_run(s));
        if (s->job != NULL && is_asked_to_save(&s->attempt)) return end_early(s);
        if (!s->attempt.has_started && signals_request() != STOP_NONE)
            return stopped(s->attempt.number);
        if (is_over(&s->attempt)) return OK;
        TRY(writable_check(s));
        failure_count(s);
        bool is_noted = failure_note(s);
        if (has_diverged_again(s)) return give_up_diverged(s);
        if (s->failures >= s->options->tries) return give_up(s);
        if (s->job != NULL && is_noted && is_requeued(s)) return OK;
        char next[64];
        double pause = pause_after(s->failures);
        snprintf(next, sizeof next, "starts again in %.0f s", pause);
        say_failure(s, next);
        signals_sleep(pause, STOP_SAVE);
        if (signals_request() != STOP_NONE) return stopped(s->attempt.number + 1);
    }
}

Status supervisor_run(const Config *config, const SupervisorOptions *options, int *code) {
    Supervisor s = {.config = config, .options = options};
    signals_install();
    Status status = run(&s);
    *code = s.attempt.code;
    arena_free(&s.arena);
    return status;
}
