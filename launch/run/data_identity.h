/* What data a run is of: token files are known by their content, wherever they lie
 * (data/token_identity.h). A checkpoint holds the identity of data.train and data.val; a run goes
 * on with the same content from any path, and with no other.
 *
 * A rank of each host hashes, beside the training. The counts are compared at the start. The hashes
 * are compared as soon as they are known, and at the latest before anything is saved: between the
 * hosts, and with the checkpoint. */
#pragma once

#include "checkpoints/checkpoint.h"
#include "data/token_identity.h"
#include "dist/watchdog.h"
#include "dist/world.h"

#include <jansson.h>

typedef struct DataFile {
    const TokenFile *file;
    IdentityJob *job;       /* on one rank of each host */
    TokenIdentity identity; /* the count, and the hash when it is known */
    TokenIdentity saved;    /* what the checkpoint says; count 0: nothing */
} DataFile;

typedef struct DataIdentity {
    World *world;
    Watchdog *watchdog;
    DataFile files[2];  /* train, val */
    int count;          /* 1 where there is no val */
    bool is_unverified; /* a checkpoint of an older version does not say what data it is of */
} DataIdentity;

/* Begins to hash. `val` may be NULL. Collective. Errors: STATUS_DATA where the ranks' files have
 * other counts. */
NODISCARD Status data_identity_open(World *world, Watchdog *watchdog, const TokenFile *train,
                                    const TokenFile *val, DataIdentity *out);
void data_identity_close(DataIdentity *data);

/* Takes what a checkpoint says of its data, and compares as much as is known at once; a file of up
 * to 64 Mi tokens is hashed for that. Not collective. Errors: STATUS_DATA naming file and both
 * contents. */
NODISCARD Status data_identity_expect(DataIdentity *data, const CheckpointFile *checkpoint);

/* Compares the hashes that have become known; costs nothing where none has. Not collective. Errors
 * as above. */
NODISCARD Status data_identity_look(DataIdentity *data);

/* Waits for all hashes and compares them; looks whether a file was written to since. Before each
 * save. Collective. Errors as above, and where the hosts' files differ. */
NODISCARD Status data_identity_settle(DataIdentity *data);

/* What a checkpoint holds of it: up to four values into out[], their number. */
enum { DATA_IDENTITY_VALUES = 4 };
int data_identity_values(const DataIdentity *data, CheckpointValue *out);

/* The same for summary.json, with the paths; what is not known yet is left out. */
json_t *data_identity_json(const DataIdentity *data);
