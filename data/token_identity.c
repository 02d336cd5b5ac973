#include "data/token_identity.h"

#include "core/base/clock.h"
#include "core/base/thread.h"
#include "core/perf/cache_file.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum { BLOCK_TOKENS = 1 << 15, PAUSE_US = 1000, ATTEMPTS = 3, CACHE_BYTES = 1 << 20 };

/* File systems take time stamps from a clock that ticks every 1 to 10 ms. A hash that was read
 * within one tick of the stamp is not cached: a later write could leave the same stamp. */
static const double tick = 0.02; /* seconds */

/* Equal as long as the file has not been written to. */
typedef struct Stamp {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec modified, changed;
} Stamp;

struct IdentityJob {
    const TokenFile *file;
    TokenIdentity identity;
    Stamp stamp;     /* of the file when its first token was hashed */
    double began;    /* clock_seconds at the stamp */
    bool is_settled; /* the first token was read at least one tick later */
    XXH3_state_t *state;
    int64_t done; /* tokens */
    int32_t block[BLOCK_TOKENS];
    pthread_t thread;
    bool has_thread;      /* the thread owns the fields above until it is joined */
    atomic_bool is_over;  /* the thread has finished */
    atomic_bool hurries;  /* tells the thread to stop, because the waiting caller will finish */
    StatusRecord failure; /* of the thread, or OK */
};

/* ---- the file's stamp and the cache ---------------------------------------------------------- */

static Stamp stamp_of(const TokenFile *file) {
    struct stat info = {0};
    fstat(token_file_descriptor(file), &info);
    return (Stamp){info.st_dev, info.st_ino, info.st_size, info.st_mtim, info.st_ctim};
}

static bool is_same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_unwritten(const Stamp *a, const Stamp *b) {
    return a->bytes == b->bytes && is_same_time(a->modified, b->modified);
}

static bool is_same_stamp(const Stamp *a, const Stamp *b) {
    return is_unwritten(a, b) && is_same_time(a->changed, b->changed);
}

static void key_write(const Stamp *s, char key[192]) {
    snprintf(key, 192, "%llx:%llu %lld %lld.%09ld %lld.%09ld", (unsigned long long)s->device,
             (unsigned long long)s->inode, (long long)s->bytes, (long long)s->modified.tv_sec,
             s->modified.tv_nsec, (long long)s->changed.tv_sec, s->changed.tv_nsec);
}

static bool identity_parse(const char *text, void *out) {
    TokenIdentity *identity = out;
    long long count;
    int end = 0;
    bool is_one = sscanf(text, "%lld %32[0-9a-f]%n", &count, identity->hash, &end) == 2 &&
                  text[end] == '\0' && strlen(identity->hash) == IDENTITY_HASH_BYTES - 1;
    identity->count = count;
    if (!is_one) identity->hash[0] = '\0';
    return is_one;
}

static bool cache_knows(const Stamp *stamp, int64_t count, TokenIdentity *out) {
    char key[192];
    TokenIdentity found = {0};
    key_write(stamp, key);
    int cache = cache_lock("tokens", "xxh3", "1");
    bool knows = cache_find(cache, key, identity_parse, &found) && found.count == count;
    cache_unlock(cache);
    if (knows) *out = found;
    return knows;
}

/* Starts a long cache file afresh; one more pass restores the useful entries. */
static void cache_keep(const Stamp *stamp, const TokenIdentity *identity) {
    char key[192], value[64];
    struct stat info;
    key_write(stamp, key);
    snprintf(value, sizeof value, "%lld %s", (long long)identity->count, identity->hash);
    int cache = cache_lock("tokens", "xxh3", "1");
    bool is_long = cache >= 0 && fstat(cache, &info) == 0 && info.st_size > CACHE_BYTES;
    if (!is_long || ftruncate(cache, 0) == 0) cache_add(cache, key, value);
    cache_unlock(cache);
}

/* ---- hashing --------------------------------------------------------------------------------- */

static void begin(IdentityJob *job) {
    job->stamp = stamp_of(job->file);
    job->began = clock_seconds();
    job->done = 0;
    XXH3_128bits_reset(job->state);
}

static bool is_whole(const IdentityJob *job) { return job->done == token_file_count(job->file); }

static bool has_ticked(const IdentityJob *job) { return clock_seconds() - job->began > tick; }

static Status block_hash(IdentityJob *job) {
    if (job->done == 0) job->is_settled = has_ticked(job);
    int64_t left = token_file_count(job->file) - job->done,
            n = left < BLOCK_TOKENS ? left : BLOCK_TOKENS;
    TRY(token_file_read(job->file, job->done, n, job->block));
    XXH3_128bits_update(job->state, job->block, (size_t)n * sizeof *job->block);
    job->done += n;
    return OK;
}

static TokenIdentity result(const IdentityJob *job) {
    TokenIdentity identity = {.count = token_file_count(job->file)};
    XXH128_hash_t hash = XXH3_128bits_digest(job->state);
    snprintf(identity.hash, sizeof identity.hash, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    return identity;
}

/* Yields the core and the disk to all other work. The kernel does not interrupt a copy, and copies
 * evict data from the caches, so the thread works only a few percent of the time, in blocks of 64
 * KB: 10 GB in three minutes. */
static void stand_back(void) {
    enum {
        WHO_THREAD = 1,
        CLASS_IDLE = 3 << 13
    }; /* from linux/ioprio.h, which some systems lack */
    sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    syscall(SYS_ioprio_set, WHO_THREAD, 0, CLASS_IDLE);
}

static void *hash_beside(void *argument) {
    IdentityJob *job = argument;
    Status status = OK;
    stand_back();
    while (!atomic_load(&job->hurries) && !has_ticked(job)) usleep(1000);
    while (!atomic_load(&job->hurries) && !is_whole(job) && !failed(status)) {
        status = block_hash(job);
        usleep(PAUSE_US);
    }
    status_keep(status, &job->failure);
    atomic_store(&job->is_over, true);
    return NULL;
}

/* Stops the thread after its current block. */
static Status thread_join(IdentityJob *job) {
    if (!job->has_thread) return OK;
    atomic_store(&job->hurries, true);
    pthread_join(job->thread, NULL);
    job->has_thread = false;
    return status_restore(&job->failure);
}

static Status rest_hash(IdentityJob *job, IdentityProgressFn progress, void *context) {
    while (!is_whole(job)) {
        TRY(block_hash(job));
        if (progress != NULL) progress(context);
    }
    return OK;
}

/* Repeats until one whole pass has read an unchanged file. Its mode or links may change meanwhile,
 * but not its content. */
static Status passes_hash(IdentityJob *job, IdentityProgressFn progress, void *context,
                          TokenIdentity *out) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        TRY(rest_hash(job, progress, context));
        Stamp now = stamp_of(job->file);
        *out = result(job);
        if (is_same_stamp(&now, &job->stamp)) return OK;
        if (!is_unwritten(&now, &job->stamp)) break;
        begin(job);
    }
    return ERROR(
        STATUS_DATA,
        "%s: was written to during reading; wait for the writer to finish, then start again",
        token_file_path(job->file));
}

/* ---- the job --------------------------------------------------------------------------------- */

static Status job_begin(IdentityJob *job) {
    job->state = XXH3_createState();
    if (job->state == NULL)
        return ERROR(STATUS_NO_ROOM, "out of memory to hash %s", token_file_path(job->file));
    begin(job);
    if (cache_knows(&job->stamp, token_file_count(job->file), &job->identity)) return OK;
    TRY(thread_start("the thread that hashes token files", hash_beside, job, &job->thread));
    job->has_thread = true;
    return OK;
}

Status identity_start(const TokenFile *file, IdentityJob **out) {
    IdentityJob *job = calloc(1, sizeof *job);
    *out = NULL;
    if (job == NULL)
        return ERROR(STATUS_NO_ROOM, "out of memory to hash %s", token_file_path(file));
    job->file = file;
    Status status = job_begin(job);
    if (failed(status)) identity_destroy(&job);
    *out = job;
    return status;
}

void identity_destroy(IdentityJob **job) {
    if (*job == NULL) return;
    Status ignored = thread_join(*job);
    (void)ignored;
    XXH3_freeState((*job)->state);
    free(*job);
    *job = NULL;
}

bool identity_is_known(const IdentityJob *job) {
    return job->identity.hash[0] != '\0' || atomic_load(&job->is_over);
}

static Status changed(const IdentityJob *job, const TokenIdentity *now) {
    char before[IDENTITY_TEXT_BYTES], after[IDENTITY_TEXT_BYTES];
    return ERROR(STATUS_DATA,
                 "%s: was written to during this run: it held %s, now %s; the last checkpoint "
                 "predates the change",
                 token_file_path(job->file), identity_text(&job->identity, before),
                 identity_text(now, after));
}

Status identity_finish(IdentityJob *job, IdentityProgressFn progress, void *context,
                       TokenIdentity *out) {
    TokenIdentity now;
    bool was_known = job->identity.hash[0] != '\0';
    Stamp stamp = stamp_of(job->file);
    *out = job->identity;
    if (was_known && is_same_stamp(&stamp, &job->stamp)) return OK;
    TRY(thread_join(job));
    if (was_known) begin(job);
    TRY(passes_hash(job, progress, context, &now));
    if (was_known && !identity_agrees(&job->identity, &now)) return changed(job, &now);
    if (job->is_settled) cache_keep(&job->stamp, &now);
    *out = job->identity = now;
    return OK;
}

bool identity_agrees(const TokenIdentity *a, const TokenIdentity *b) {
    bool are_hashed = a->hash[0] != '\0' && b->hash[0] != '\0';
    return a->count == b->count && (!are_hashed || strcmp(a->hash, b->hash) == 0);
}

const char *identity_text(const TokenIdentity *identity, char text[IDENTITY_TEXT_BYTES]) {
    int n = snprintf(text, IDENTITY_TEXT_BYTES, "%lld tokens", (long long)identity->count);
    if (identity->hash[0] != '\0') {
        snprintf(text + n, (size_t)(IDENTITY_TEXT_BYTES - n), " (xxh3 %.8s...)", identity->hash);
    }
    return text;
}
