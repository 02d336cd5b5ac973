#include "dist/mpi_collectives.h"

#include "core/base/thread.h"
#include "dist/channel.h"
#include "dist/world_state.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_LENGTH = 64, LABEL_BYTES = 64 };

typedef enum Work { WORK_SUM, WORK_SUM_PARTS, WORK_GATHER } Work;

typedef struct Reduction {
    Work work;
    void *data;
    int64_t count;
    DType dtype;
    char label[LABEL_BYTES];
} Reduction;

struct MpiCollectives {
    World *world;
    Watchdog *watchdog;
    MPI_Comm comm;
    void *scratch;
    pthread_t thread;
    bool is_running;

    pthread_mutex_t lock; /* guards the fields below */
    pthread_cond_t changed;
    Reduction queue[QUEUE_LENGTH];
    uint64_t started, completed; /* reduction i is at queue[i % QUEUE_LENGTH] */
    bool main_waits; /* the main thread waits until at most `left` reductions are pending */
    uint64_t left;
    bool must_end;
    StatusCode code; /* the first failure since the last wait */
    char message[512];
};

static Status work_do(const Channel *channel, const Reduction *r, void *scratch) {
    if (r->work == WORK_SUM) return channel_sum(channel, r->data, r->count, r->dtype, scratch);
    if (r->work == WORK_SUM_PARTS)
        return channel_sum_parts(channel, r->data, r->count, r->dtype, scratch);
    return channel_gather_parts(channel, r->data,
                                (size_t)(r->count / channel->size) * dtype_size(r->dtype));
}

/* After a failure the remaining reductions are skipped, because the ranks no longer agree on the
 * next one. */
static void reduce_one(MpiCollectives *c, const Reduction *reduction) {
    Channel channel = {c->comm,     c->world->rank,  c->world->size, WAITING_COMMUNICATION,
                       c->watchdog, reduction->label};
    bool has_failed = c->code != STATUS_OK;
    pthread_mutex_unlock(&c->lock);
    Status status = OK;
    if (!has_failed) status = work_do(&channel, reduction, c->scratch);
    pthread_mutex_lock(&c->lock);
    if (failed(status)) {
        c->code = status.code;
        snprintf(c->message, sizeof c->message, "%s", status_message());
    }
}

static bool must_wait(const MpiCollectives *c) { return c->started - c->completed > c->left; }

/* Reports to the watchdog which reduction the main thread waits for, or that its wait is over. The
 * communication thread reports it, because a main thread that is frozen would otherwise count as
 * waiting. */
static void main_wait_show(MpiCollectives *c) {
    if (must_wait(c)) {
        watchdog_wait_begin(c->watchdog, WAITING_MAIN, c->queue[c->completed % QUEUE_LENGTH].label);
    } else {
        watchdog_wait_end(c->watchdog, WAITING_MAIN);
    }
}

static void *communicate(void *argument) {
    MpiCollectives *c = argument;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (c->completed == c->started && !c->must_end) pthread_cond_wait(&c->changed, &c->lock);
        if (c->completed == c->started) break;
        reduce_one(c, &c->queue[c->completed % QUEUE_LENGTH]);
        c->completed++;
        if (c->main_waits) main_wait_show(c);
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* Waits, with the lock held, until at most `left` reductions are pending. */
static void wait_until(MpiCollectives *c, uint64_t left) {
    c->left = left;
    if (!must_wait(c)) return;
    c->main_waits = true;
    main_wait_show(c);
    while (must_wait(c)) pthread_cond_wait(&c->changed, &c->lock);
    c->main_waits = false;
}

static Status start(MpiCollectives *c, Reduction what, const char *label) {
    if (what.work != WORK_GATHER && what.dtype != DTYPE_F32 && what.dtype != DTYPE_F64) {
        return ERROR(STATUS_UNSUPPORTED, "%s: MPI can sum f32 and f64, not %s", label,
                     dtype_name(what.dtype));
    }
    if (what.work != WORK_SUM && what.count % c->world->size != 0) {
        return ERROR(STATUS_FAILURE,
                     "%s: %lld elements do not divide into equal parts for %d ranks", label,
                     (long long)what.count, c->world->size);
    }
    if (c->world->size == 1) return OK;
    pthread_mutex_lock(&c->lock);
    wait_until(c, QUEUE_LENGTH - 1);
    Reduction *reduction = &c->queue[c->started % QUEUE_LENGTH];
    *reduction = what;
    snprintf(reduction->label, sizeof reduction->label, "%s", label);
    c->started++;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return OK;
}

static Status all_reduce_start(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream) {
    (void)stream;
    return start(self, (Reduction){.work = WORK_SUM, .data = data, .count = count, .dtype = dtype},
                 label);
}

static Status reduce_scatter_start(void *self, void *data, int64_t count, DType dtype,
                                   const char *label, void *stream) {
    (void)stream;
    return start(self,
                 (Reduction){.work = WORK_SUM_PARTS, .data = data, .count = count, .dtype = dtype},
                 label);
}

static Status all_gather_start(void *self, void *data, int64_t count, DType dtype,
                               const char *label, void *stream) {
    (void)stream;
    return start(self,
                 (Reduction){.work = WORK_GATHER, .data = data, .count = count, .dtype = dtype},
                 label);
}

static Status wait_for(void *self, int left, void *stream) {
    (void)stream;
    MpiCollectives *c = self;
    if (c->world->size == 1) return OK;
    pthread_mutex_lock(&c->lock);
    wait_until(c, (uint64_t)left);
    StatusCode code = c->code;
    Status status = code == STATUS_OK ? OK : ERROR(code, "%s", c->message);
    if (left == 0) c->code = STATUS_OK;
    pthread_mutex_unlock(&c->lock);
    return status;
}

static void progress(void *self, const char *activity) {
    watchdog_progress(((MpiCollectives *)self)->watchdog, activity);
}

static Status connect_ranks(MpiCollectives *c) {
    TRY(mpi_check(MPI_Comm_dup(c->world->comm, &c->comm), "MPI_Comm_dup"));
    MPI_Comm_set_errhandler(c->comm, MPI_ERRORS_RETURN);
    c->scratch = malloc(TREE_CHUNK_BYTES);
    if (c->scratch == NULL) return OUT_OF_MEMORY("the scratch of reductions");
    TRY(thread_start("the communication thread", communicate, c, &c->thread));
    c->is_running = true;
    return OK;
}

Status mpi_collectives_create(World *world, Watchdog *watchdog, MpiCollectives **out) {
    MpiCollectives *c = calloc(1, sizeof *c);
    Status status = world_agree(world, c != NULL ? OK : OUT_OF_MEMORY("the collectives"));
    if (failed(status)) {
        free(c);
        return status;
    }
    c->world = world;
    c->watchdog = watchdog;
    c->comm = MPI_COMM_NULL;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (world->size > 1) status = world_agree(world, connect_ranks(c));
    if (failed(status)) {
        mpi_collectives_destroy(&c);
        return status;
    }
    *out = c;
    return OK;
}

Collectives mpi_collectives_table(MpiCollectives *collectives) {
    return (Collectives){
        .self = collectives,
        .rank = collectives->world->rank,
        .size = collectives->world->size,
        .all_reduce_start = all_reduce_start,
        .reduce_scatter_start = reduce_scatter_start,
        .all_gather_start = all_gather_start,
        .wait = wait_for,
        .progress = progress,
    };
}

void mpi_collectives_destroy(MpiCollectives **collectives) {
    MpiCollectives *c = *collectives;
    if (c == NULL) return;
    if (c->is_running) {
        pthread_mutex_lock(&c->lock);
        c->must_end = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    if (c->comm != MPI_COMM_NULL) MPI_Comm_free(&c->comm);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    free(c->scratch);
    free(c);
    *collectives = NULL;
}
