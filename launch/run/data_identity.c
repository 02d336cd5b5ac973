#include "launch/run/data_identity.h"

#include <string.h>

enum { HASHED_AT_ONCE = 64 << 20 }; /* tokens; takes 0.1 s */

static const struct {
    const char *key, *tokens, *hash; /* of the config, and of a checkpoint's values */
} names[2] = {{"data.train", "data_train_tokens", "data_train_xxh3"},
              {"data.val", "data_val_tokens", "data_val_xxh3"}};

/* ---- with the other ranks -------------------------------------------------------------------- */

static Status ranks_differ(const DataIdentity *data, int index, int rank,
                           const TokenIdentity *other) {
    char mine[IDENTITY_TEXT_BYTES], theirs[IDENTITY_TEXT_BYTES];
    const DataFile *f = &data->files[index];
    return ERROR(
        STATUS_DATA, "%s: %s holds %s on %s, but %s on %s; copy the same file to all hosts",
        names[index].key, token_set_path(f->tokens), identity_text(&f->identity, mine),
        world_host(data->world, 0), identity_text(other, theirs), world_host(data->world, rank));
}

/* On rank 0; `all` holds the facts of each rank about its files. */
static Status ranks_compare(const DataIdentity *data, const TokenIdentity (*all)[2]) {
    for (int rank = 1; rank < world_size(data->world); rank++) {
        for (int i = 0; i < data->count; i++) {
            if (!identity_agrees(&data->files[i].identity, &all[rank][i])) {
                return ranks_differ(data, i, rank, &all[rank][i]);
            }
        }
    }
    return OK;
}

/* Collective. */
static Status ranks_agree(const DataIdentity *data) {
    TokenIdentity mine[2] = {data->files[0].identity, data->files[1].identity};
    Arena arena = {0};
    TokenIdentity(*all)[2] = arena_alloc(&arena, (size_t)world_size(data->world) * sizeof *all);
    Status status =
        world_agree(data->world, all != NULL ? OK : OUT_OF_MEMORY("the data of the ranks"));
    if (!failed(status)) status = world_gather(data->world, mine, sizeof mine, all);
    if (!failed(status)) {
        status =
            world_agree(data->world, world_rank(data->world) == 0 ? ranks_compare(data, all) : OK);
    }
    arena_free(&arena);
    return status;
}

/* ---- with the checkpoint --------------------------------------------------------------------- */

static Status file_compare(DataFile *f, int index) {
    char now[IDENTITY_TEXT_BYTES], saved[IDENTITY_TEXT_BYTES];
    if (f->saved.count == 0 || identity_agrees(&f->identity, &f->saved)) return OK;
    return ERROR(STATUS_DATA,
                 "%s: %s holds %s, but the saved run is of other data, %s; name that file, or "
                 "start anew with another "
                 "`output`",
                 names[index].key, token_set_path(f->tokens), identity_text(&f->identity, now),
                 identity_text(&f->saved, saved));
}

static void say_hashing(void *watchdog) { watchdog_progress(watchdog, "hashing the data"); }

static Status file_finish(DataIdentity *data, int index) {
    DataFile *f = &data->files[index];
    if (f->job == NULL) return OK;
    TRY(identity_finish(f->job, say_hashing, data->watchdog, &f->identity));
    return file_compare(f, index);
}

/* Leaves the identity empty if the checkpoint has none. */
static Status saved_read(const CheckpointFile *checkpoint, int index, TokenIdentity *out) {
    Arena arena = {0};
    char *hash = NULL;
    *out = (TokenIdentity){0};
    Status status = checkpoint_read_i64(checkpoint, names[index].tokens, &out->count);
    if (!failed(status))
        status = checkpoint_read_text(checkpoint, names[index].hash, &arena, &hash);
    if (!failed(status) && strlen(hash) < sizeof out->hash) strcpy(out->hash, hash);
    if (failed(status) || out->hash[0] == '\0') *out = (TokenIdentity){0};
    arena_free(&arena);
    return status.code == STATUS_OUT_OF_MEMORY ? status : OK;
}

Status data_identity_expect(DataIdentity *data, const CheckpointFile *checkpoint) {
    for (int i = 0; i < data->count; i++) {
        DataFile *f = &data->files[i];
        TRY(saved_read(checkpoint, i, &f->saved));
        if (f->saved.count == 0) continue;
        bool is_small = f->identity.count <= HASHED_AT_ONCE;
        if (f->job != NULL && (is_small || identity_is_known(f->job))) TRY(file_finish(data, i));
        TRY(file_compare(f, i));
    }
    data->is_unverified = data->files[0].saved.count == 0 && checkpoint_step(checkpoint) > 0;
    return OK;
}

Status data_identity_look(DataIdentity *data) {
    for (int i = 0; i < data->count; i++) {
        DataFile *f = &data->files[i];
        if (f->job != NULL && f->identity.hash[0] == '\0' && identity_is_known(f->job))
            TRY(file_finish(data, i));
    }
    return OK;
}

Status data_identity_settle(DataIdentity *data) {
    Status status = OK;
    for (int i = 0; i < data->count && !failed(status); i++) status = file_finish(data, i);
    TRY(world_agree(data->world, status));
    return ranks_agree(data);
}

/* ---- the object ------------------------------------------------------------------------------ */

static Status files_open(DataIdentity *data) {
    for (int i = 0; i < data->count; i++) {
        DataFile *f = &data->files[i];
        f->identity.count = token_set_count(f->tokens);
        if (world_local_rank(data->world) == 0) TRY(identity_start(f->tokens, &f->job));
    }
    return OK;
}

Status data_identity_open(World *world, Watchdog *watchdog, const TokenSet *train,
                          const TokenSet *val, DataIdentity *out) {
    *out = (DataIdentity){.world = world, .watchdog = watchdog, .count = val == NULL ? 1 : 2};
    out->files[0].tokens = train;
    out->files[1].tokens = val;
    TRY(world_agree(world, files_open(out)));
    return ranks_agree(out);
}

void data_identity_close(DataIdentity *data) {
    for (int i = 0; i < data->count; i++) identity_destroy(&data->files[i].job);
    data->count = 0;
}

int data_identity_values(const DataIdentity *data, CheckpointValue *out) {
    int n = 0;
    for (int i = 0; i < data->count; i++) {
        const TokenIdentity *identity = &data->files[i].identity;
        if (identity->hash[0] == '\0') continue;
        out[n++] = (CheckpointValue){
            .name = names[i].tokens, .kind = CHECKPOINT_I64, .i64 = identity->count};
        out[n++] = (CheckpointValue){
            .name = names[i].hash, .kind = CHECKPOINT_TEXT, .text = identity->hash};
    }
    return n;
}

json_t *data_identity_json(const DataIdentity *data) {
    json_t *object = json_object();
    for (int i = 0; i < data->count; i++) {
        const DataFile *f = &data->files[i];
        json_t *file = json_pack("{s:s, s:I}", "path", token_set_path(f->tokens), "tokens",
                                 (json_int_t)f->identity.count);
        if (f->identity.hash[0] != '\0')
            json_object_set_new(file, "xxh3", json_string(f->identity.hash));
        json_object_set_new(object, names[i].key + strlen("data."), file);
    }
    return object;
}
