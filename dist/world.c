#include "dist/world.h"

#include "core/base/leftovers.h"
#include "dist/channel.h"
#include "dist/start_watch.h"
#include "dist/world_state.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether an MPI launcher started this process: mpirun (Open MPI, MPICH, Intel) or srun. */
static bool is_launched(void) {
    static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                                        "MV2_COMM_WORLD_SIZE"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (getenv(marks[i]) != NULL) return true;
    }
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    return tasks != NULL && atoi(tasks) > 1;
}

static void program_name(World *world, int argc, char **argv) {
    const char *path = argc > 0 ? argv[0] : "hourglass", *slash = strrchr(path, '/');
    snprintf(world->program, sizeof world->program, "%s", slash != NULL ? slash + 1 : path);
}

static int hosts_count(const World *world) {
    int n = 0;
    for (int r = 0; r < world->size; r++) {
        int first = 0;
        while (strcmp(world->hosts[first], world->hosts[r]) != 0) first++;
        n += first == r;
    }
    return n;
}

/* Removes the shared memory of killed runs. Only one rank per host does so: if several did at once,
 * each would hold open the segments that the others test. The names come from btl_vader_component.c
 * of Open MPI 4.1, btl_sm_component.c of 5.0, and osc_sm_component.c of both. */
static void segments_tidy(void) {
    static const char *const names[] = {"vader_segment.", "sm_segment.", "osc_sm.", NULL};
    const char *local_rank = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    if (local_rank == NULL || atoi(local_rank) == 0) leftovers_remove("/dev/shm", names);
}

/* Over TCP, send large messages in fragments. By default Open MPI lets the receiver ask for the
 * rest of a message; where both sides send, the request waits behind the other message, and the two
 * directions take turns (docs/results/many_ranks.md). A value of the user's stays. */
static void tcp_tune(void) { setenv("OMPI_MCA_btl_tcp_flags", "1", 0); }

/* An interconnect may start slowly. Before the watchdog, another rank may read the config and open
 * the data and the GPU for much longer than this one; only a wait for it counts, not own work. */
enum { CONNECT_SECONDS = 60, OTHERS_SECONDS = 600 };

static Status world_connect(World *world, int *argc, char ***argv) {
    TRY(start_watch_begin(world->program));
    segments_tidy();
    tcp_tune();
    start_watch_phase("MPI_Init", CONNECT_SECONDS);
    int provided = MPI_THREAD_SINGLE;
    TRY(mpi_check(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread"));
    world->has_mpi = true;
    start_watch_phase("the start of the communicators", CONNECT_SECONDS);
    if (provided < MPI_THREAD_MULTIPLE) {
        return ERROR(STATUS_FAILURE,
                     "this MPI library lacks MPI_THREAD_MULTIPLE; use one that was built with it");
    }
    TRY(mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &world->comm), "MPI_Comm_dup"));
    MPI_Comm_set_errhandler(world->comm, MPI_ERRORS_RETURN);
    MPI_Comm_rank(world->comm, &world->rank);
    MPI_Comm_size(world->comm, &world->size);
    TRY(mpi_check(MPI_Comm_split_type(world->comm, MPI_COMM_TYPE_SHARED, world->rank, MPI_INFO_NULL,
                                      &world->local),
                  "MPI_Comm_split_type"));
    MPI_Comm_set_errhandler(world->local, MPI_ERRORS_RETURN);
    MPI_Comm_rank(world->local, &world->local_rank);
    MPI_Comm_size(world->local, &world->local_size);
    return OK;
}

static Status world_learn_hosts(World *world) {
    world->hosts = calloc((size_t)world->size, sizeof *world->hosts);
    if (world->hosts == NULL) return OUT_OF_MEMORY("the names of %d hosts", world->size);
    char mine[HOST_BYTES] = {0};
    if (gethostname(mine, sizeof mine - 1) != 0) snprintf(mine, sizeof mine, "unknown-host");
    memcpy(world->hosts[world->rank], mine, sizeof mine);
    if (world->has_mpi) {
        TRY(mpi_check(MPI_Allgather(mine, HOST_BYTES, MPI_CHAR, world->hosts, HOST_BYTES, MPI_CHAR,
                                    world->comm),
                      "MPI_Allgather of host names"));
    }
    world->n_hosts = hosts_count(world);
    if (world->has_mpi) start_watch_phase("start-up", 0);
    return OK;
}

Status world_create(int *argc, char ***argv, World **out) {
    World *world = calloc(1, sizeof *world);
    if (world == NULL) return OUT_OF_MEMORY("the ranks");
    Status status = OK;
    *world = (World){.size = 1, .local_size = 1, .comm = MPI_COMM_NULL, .local = MPI_COMM_NULL};
    program_name(world, argc == NULL ? 0 : *argc, argv == NULL ? NULL : *argv);
    if (is_launched()) TRY_ELSE(status, world_connect(world, argc, argv), fail);
    TRY_ELSE(status, world_learn_hosts(world), fail);
    *out = world;
    return OK;
fail:
    world_destroy(&world);
    return status;
}

void world_destroy(World **world) {
    World *w = *world;
    if (w == NULL) return;
    if (w->has_mpi) start_watch_phase("MPI_Finalize", 0);
    if (w->local != MPI_COMM_NULL) MPI_Comm_free(&w->local);
    if (w->comm != MPI_COMM_NULL) MPI_Comm_free(&w->comm);
    if (w->has_mpi) MPI_Finalize();
    start_watch_pause();
    free(w->hosts);
    free(w);
    *world = NULL;
}

/* Open MPI's odls_base_sigkill_timeout. A larger timeout delays its SIGTERM as well:
 * docs/cluster.md. */
double world_kill_seconds(const World *world) { return world->has_mpi ? 1 : INFINITY; }

int world_rank(const World *world) { return world->rank; }
int world_size(const World *world) { return world->size; }
int world_local_rank(const World *world) { return world->local_rank; }
int world_local_size(const World *world) { return world->local_size; }
const char *world_host(const World *world, int rank) { return world->hosts[rank]; }
const char *world_program(const World *world) { return world->program; }

static Channel main_channel(const World *world, const char *label) {
    return (Channel){world->comm, world->rank, world->size, WAITING_MAIN, world->watchdog, label};
}

/* Completes a nonblocking call, or returns its failure. */
static Status finish(const World *world, int result, MPI_Request *request, const char *label) {
    TRY(mpi_check(result, label));
    Channel channel = main_channel(world, label);
    start_watch_limit(OTHERS_SECONDS);
    Status status = channel_complete(&channel, 1, request);
    start_watch_limit(0);
    return status;
}

Status world_barrier(World *world) {
    if (world->size == 1) return OK;
    MPI_Request request;
    return finish(world, MPI_Ibarrier(world->comm, &request), &request, "barrier");
}

static Status broadcast_from(World *world, void *data, size_t bytes, int root) {
    const size_t most = (size_t)1 << 30;
    for (size_t done = 0; world->size > 1 && done < bytes; done += most) {
        int n = (int)(bytes - done < most ? bytes - done : most);
        MPI_Request request;
        int result = MPI_Ibcast((char *)data + done, n, MPI_BYTE, root, world->comm, &request);
        TRY(finish(world, result, &request, "broadcast"));
    }
    return OK;
}

Status world_broadcast(World *world, void *data, size_t bytes) {
    return broadcast_from(world, data, bytes, 0);
}

Status world_broadcast_text(World *world, const char *text, Arena *arena, char **out) {
    size_t length = world->rank == 0 ? strlen(text) : 0;
    TRY(world_broadcast(world, &length, sizeof length));
    char *copy = arena_alloc(arena, length + 1);
    TRY(world_agree(world, copy != NULL ? OK : OUT_OF_MEMORY("%zu bytes of text", length)));
    if (world->rank == 0) memcpy(copy, text, length);
    TRY(world_broadcast(world, copy, length));
    *out = copy;
    return OK;
}

static Status reduce_i64(World *world, int64_t *value, MPI_Op op) {
    if (world->size == 1) return OK;
    MPI_Request request;
    int result = MPI_Iallreduce(MPI_IN_PLACE, value, 1, MPI_INT64_T, op, world->comm, &request);
    return finish(world, result, &request, "min or max over ranks");
}

Status world_min_i64(World *world, int64_t *value) { return reduce_i64(world, value, MPI_MIN); }
Status world_max_i64(World *world, int64_t *value) { return reduce_i64(world, value, MPI_MAX); }

Status world_sum_f64(World *world, double *values, int64_t count) {
    if (world->size == 1) return OK;
    enum { AT_ONCE = 256 };
    double scratch[AT_ONCE];
    Channel channel = main_channel(world, "sum over ranks");
    for (int64_t done = 0; done < count; done += AT_ONCE) {
        int64_t n = count - done < AT_ONCE ? count - done : AT_ONCE;
        TRY(channel_sum(&channel, values + done, n, DTYPE_F64, scratch));
    }
    return OK;
}

/* Copies `mine` of rank `from` to `to` on rank `receiver`; does nothing on other ranks. In several
 * messages, because a part may exceed the limit of one MPI call. */
static Status transfer(World *world, const void *mine, int from, void *to, int receiver,
                       size_t bytes) {
    const size_t most = (size_t)1 << 30;
    for (size_t done = 0; done < bytes; done += most) {
        int n = (int)(bytes - done < most ? bytes - done : most);
        MPI_Request request;
        if (world->rank == receiver) {
            TRY(finish(world,
                       MPI_Irecv((char *)to + done, n, MPI_BYTE, from, 0, world->comm, &request),
                       &request, "gather"));
        } else if (world->rank == from) {
            TRY(finish(world,
                       MPI_Isend((const char *)mine + done, n, MPI_BYTE, receiver, 0, world->comm,
                                 &request),
                       &request, "gather"));
        }
    }
    return OK;
}

Status world_gather(World *world, const void *mine, size_t bytes, void *all) {
    if (world->rank == 0) memcpy(all, mine, bytes);
    for (int r = 1; r < world->size; r++) {
        char *to = world->rank == 0 ? (char *)all + (size_t)r * bytes : NULL;
        TRY(transfer(world, mine, r, to, 0, bytes));
    }
    return OK;
}

Status world_send(World *world, void *data, size_t bytes, int receiver) {
    return transfer(world, data, 0, data, receiver, bytes);
}

int world_second_host(const World *world) {
    for (int r = 1; r < world->size; r++) {
        if (strcmp(world->hosts[r], world->hosts[0]) != 0) return r;
    }
    return -1;
}

/* Rank 0's side of a gather: allocates space for each text from its length. */
static Status texts_create(const World *world, Arena *arena, const int *lengths, int *starts,
                           char **packed) {
    int total = 0;
    for (int r = 0; r < world->size; r++) {
        starts[r] = total;
        if (__builtin_add_overflow(total, lengths[r], &total)) {
            return ERROR(STATUS_FAILURE, "the texts gathered from %d ranks exceed 2 GiB",
                         world->size);
        }
    }
    *packed = arena_alloc(arena, (size_t)total + 1);
    return *packed != NULL ? OK : OUT_OF_MEMORY("%d bytes of text", total);
}

Status world_gather_text(World *world, const char *text, Arena *arena, char ***out) {
    int length = (int)strlen(text) + 1;
    size_t n = (size_t)world->size;
    int *lengths = arena_alloc(arena, 2 * n * sizeof *lengths);
    char **texts = arena_alloc(arena, n * sizeof *texts), *packed = NULL;
    bool ready = lengths != NULL && texts != NULL;
    TRY(world_agree(world, ready ? OK : OUT_OF_MEMORY("the texts of %zu ranks", n)));
    int *starts = lengths + n;
    lengths[0] = length;
    MPI_Request request;
    if (world->size > 1) {
        int result =
            MPI_Igather(&length, 1, MPI_INT, lengths, 1, MPI_INT, 0, world->comm, &request);
        TRY(finish(world, result, &request, "gather of text"));
    }
    TRY(world_agree(world,
                    world->rank == 0 ? texts_create(world, arena, lengths, starts, &packed) : OK));
    if (world->size > 1) {
        int result = MPI_Igatherv(text, length, MPI_CHAR, packed, lengths, starts, MPI_CHAR, 0,
                                  world->comm, &request);
        TRY(finish(world, result, &request, "gather of text"));
    } else {
        memcpy(packed, text, (size_t)length);
    }
    for (int r = 0; world->rank == 0 && r < world->size; r++) texts[r] = packed + starts[r];
    *out = world->rank == 0 ? texts : NULL;
    return OK;
}

Status world_agree(World *world, Status mine) {
    if (world->size == 1 || mine.is_shared) return mine;
    int64_t first = failed(mine) ? world->rank : world->size;
    TRY(world_min_i64(world, &first));
    if (first == world->size) return OK;
    StatusRecord cause;
    status_keep(mine, &cause);
    TRY(broadcast_from(world, &cause, sizeof cause, (int)first));
    Status shared = status_prefixed(status_restore(&cause), "rank %d", (int)first);
    shared.is_shared = true;
    return shared;
}

int world_report(const World *world, Status status) {
    /* A stopped rank that the launcher wakes in order to end it must not add a second message. */
    bool speaks = world->rank == 0 && !watchdog_is_reported(world->watchdog);
    return speaks ? status_report(world->program, status) : status_exit_code(status.code);
}

void world_kill(const World *world, int exit_code) {
    if (!world->has_mpi) _exit(exit_code);
    /* If MPI_Abort hangs, SIGALRM ends this process, and the launcher then ends the others. */
    sigset_t alarm_only;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    alarm(2);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    _exit(exit_code);
}

void world_abort(World *world, Status status) {
    int code = failed(status) ? status_exit_code(status.code) : 1;
    if (watchdog_claim_report(world->watchdog)) {
        if (world->size == 1) {
            (void)status_report(world->program, status);
        } else {
            fprintf(stderr, "%s: error: rank %d on %s: %s; all ranks end (exit %d)\n",
                    world->program, world->rank, world_host(world, world->rank), status_message(),
                    code);
        }
        fflush(NULL);
        world_kill(world, code);
    }
    /* Another rank has reported the cause and is ending all ranks with its exit code. */
    sleep(2);
    world_kill(world, code);
}
