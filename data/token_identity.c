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

enum {
    BLOCK_TOKENS = 1 << 15,
    PAUSE_US = 1000,
    ATTEMPTS = 3,
    CACHE_BYTES = 1 << 20,
    KEY_BYTES = 192
};

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
    const TokenSet *tokens;
    TokenIdentity identity;
    Stamp *stamps;       /* of the files when the first token was hashed */
    double began;        /* clock_seconds at the stamps */
    bool is_settled;     /* the first token was read at least one tick later */
    char key[KEY_BYTES]; /* of the stamps in the cache */
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

/* Whether a comparison holds for all files: the stamps taken before and those of now. */
static bool are_all(const IdentityJob *job, bool (*compare)(const Stamp *, const Stamp *)) {
    for (int i = 0; i < token_set_files(job->tokens); i++) {
        Stamp now = stamp_of(token_set_file(job->tokens, i));
        if (!compare(&now, &job->stamps[i])) return false;
    }
    return true;
}

static int stamp_write(const Stamp *s, char key[KEY_BYTES]) {
    return snprintf(key, KEY_BYTES, "%llx:%llu %lld %lld.%09ld %lld.%09ld",
                    (unsigned long long)s->device, (unsigned long long)s->inode,
                    (long long)s->bytes, (long long)s->modified.tv_sec, s->modified.tv_nsec,
                    (long long)s->changed.tv_sec, s->changed.tv_nsec);
}

static void hash_write(XXH128_hash_t hash, char out[IDENTITY_HASH_BYTES]) {
    snprintf(out, IDENTITY_HASH_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

/* The weights of a set, as far as they matter. */
static void parts_hash(const TokenSet *tokens, XXH3_state_t *state) {
    for (int i = 0; token_set_parts(tokens) > 1 && i < token_set_parts(tokens); i++) {
        const TokenPart *part = token_set_part(tokens, i);
        XXH3_128bits_update(state, &part->count, sizeof part->count);
        XXH3_128bits_update(state, &part->weight, sizeof part->weight);
    }
}

/* The stamp of one file, or a hash of those of many. */
static void key_write(const IdentityJob *job, char key[KEY_BYTES]) {
    int files = token_set_files(job->tokens);
    if (files == 1) {
        stamp_write(&job->stamps[0], key);
        return;
    }
    char hash[IDENTITY_HASH_BYTES];
    XXH3_128bits_reset(job->state);
    for (int i = 0; i < files; i++)
        XXH3_128bits_update(job->state, key, (size_t)stamp_write(&job->stamps[i], key));
    parts_hash(job->tokens, job->state);
    hash_write(XXH3_128bits_digest(job->state), hash);
    snprintf(key, KEY_BYTES, "%d files %s", files, hash);
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

static bool cache_knows(const char *key, int64_t count, TokenIdentity *out) {
    TokenIdentity found = {0};
    int cache = cache_lock("tokens", "xxh3", "1");
    bool knows = cache_find(cache, key, identity_parse, &found) && found.count == count;
    cache_unlock(cache);
    if (knows) *out = found;
    return knows;
}

/* Starts a long cache file afresh; one more pass restores the useful entries. */
static void cache_keep(const char *key, const TokenIdentity *identity) {
    char value[64];
    struct stat info;
    snprintf(value, sizeof value, "%lld %s", (long long)identity->count, identity->hash);
    int cache = cache_lock("tokens", "xxh3", "1");
    bool is_long = cache >= 0 && fstat(cache, &info) == 0 && info.st_size > CACHE_BYTES;
    if (!is_long || ftruncate(cache, 0) == 0) cache_add(cache, key, value);
    cache_unlock(cache);
}

/* ---- hashing --------------------------------------------------------------------------------- */

static void begin(IdentityJob *job) {
    for (int i = 0; i < token_set_files(job->tokens); i++)
        job->stamps[i] = stamp_of(token_set_file(job->tokens, i));
    job->began = clock_seconds();
    job->done = 0;
    key_write(job, job->key);
    XXH3_128bits_reset(job->state);
}

static bool is_whole(const IdentityJob *job) { return job->done == token_set_count(job->tokens); }

static bool has_ticked(const IdentityJob *job) { return clock_seconds() - job->began > tick; }

static Status block_hash(IdentityJob *job) {
    if (job->done == 0) job->is_settled = has_ticked(job);
    int64_t left = token_set_count(job->tokens) - job->done,
            n = left < BLOCK_TOKENS ? left : BLOCK_TOKENS;
    TRY(token_set_read(job->tokens, job->done, n, job->block));
    XXH3_128bits_update(job->state, job->block, (size_t)n * sizeof *job->block);
    job->done += n;
    return OK;
}

static TokenIdentity result(const IdentityJob *job) {
    TokenIdentity identity = {.count = token_set_count(job->tokens)};
    parts_hash(job->tokens, job->state);
    hash_write(XXH3_128bits_digest(job->state), identity.hash);
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

/* Repeats until one whole pass has read unchanged files. Their modes or links may change meanwhile,
 * but not their content. */
static Status passes_hash(IdentityJob *job, IdentityProgressFn progress, void *context,
                          TokenIdentity *out) {
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        TRY(rest_hash(job, progress, context));
        *out = result(job);
        if (are_all(job, is_same_stamp)) return OK;
        if (!are_all(job, is_unwritten)) break;
        begin(job);
    }
    return ERROR(
        STATUS_DATA,
        "%s: was written to during reading; wait for the writer to finish, then start again",
        token_set_path(job->tokens));
}

/* ---- the job --------------------------------------------------------------------------------- */

static Status job_begin(IdentityJob *job) {
    job->state = XXH3_createState();
    job->stamps = calloc((size_t)token_set_files(job->tokens), sizeof *job->stamps);
    if (job->state == NULL || job->stamps == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to hash %s", token_set_path(job->tokens));
    begin(job);
    if (cache_knows(job->key, token_set_count(job->tokens), &job->identity)) return OK;
    TRY(thread_start("the thread that hashes token files", hash_beside, job, &job->thread));
    job->has_thread = true;
    return OK;
}

Status identity_start(const TokenSet *tokens, IdentityJob **out) {
    IdentityJob *job = calloc(1, sizeof *job);
    *out = NULL;
    if (job == NULL)
        return ERROR(STATUS_OUT_OF_MEMORY, "out of memory to hash %s", token_set_path(tokens));
    job->tokens = tokens;
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
    free((*job)->stamps);
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
                 token_set_path(job->tokens), identity_text(&job->identity, before),
                 identity_text(now, after));
}

Status identity_finish(IdentityJob *job, IdentityProgressFn progress, void *context,
                       TokenIdentity *out) {
    TokenIdentity now;
    bool was_known = job->identity.hash[0] != '\0';
    *out = job->identity;
    if (was_known && are_all(job, is_same_stamp)) return OK;
    TRY(thread_join(job));
    if (was_known) begin(job);
    TRY(passes_hash(job, progress, context, &now));
    if (was_known && !identity_agrees(&job->identity, &now)) return changed(job, &now);
    if (job->is_settled) cache_keep(job->key, &now);
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
