/* The data of a run, identified by the content of its token files, whatever their paths
 * (data/token_identity.h). A checkpoint holds the identity of data.train and data.val; a run
 * resumes with the same content only.
 *
 * One rank of each host hashes while the run trains. Token counts are compared at the start.
 * Hashes are compared between hosts and with the checkpoint as soon as they are known, and
 * before anything is saved. */
#pragma once

#include "checkpoints/checkpoint.h"
#include "data/token_identity.h"
#include "dist/watchdog.h"
#include "dist/world.h"

#include <jansson.h>

typedef struct DataFile {
    const TokenSet *tokens;
    IdentityJob *job;       /* on one rank of each host */
    TokenIdentity identity; /* the hash may not be known yet */
    TokenIdentity saved;    /* in the checkpoint; count 0: none */
} DataFile;

typedef struct DataIdentity {
    World *world;
    Watchdog *watchdog;
    DataFile files[2];  /* train, val */
    int count;          /* 1 without data.val */
    bool is_unverified; /* the checkpoint is of an older version and names no data */
} DataIdentity;

/* Starts to hash. `val` may be NULL. Collective. Errors: STATUS_DATA if the token counts of the
 * ranks differ. */
NODISCARD Status data_identity_open(World *world, Watchdog *watchdog, const TokenSet *train,
                                    const TokenSet *val, DataIdentity *out);
void data_identity_close(DataIdentity *data);

/* Reads the identity from a checkpoint, and compares the known hashes; files of up to 64 Mi tokens
 * are hashed at once. Not collective. Errors: STATUS_DATA naming the file and both contents. */
NODISCARD Status data_identity_expect(DataIdentity *data, const CheckpointFile *checkpoint);

/* Compares the hashes that are complete by now, without waiting. Not collective. Errors: as
 * above. */
NODISCARD Status data_identity_look(DataIdentity *data);

/* Waits for all hashes and compares them, and checks whether a file has been written to since. Call
 * it before each save. Collective. Errors: as above, and if the files of the hosts differ. */
NODISCARD Status data_identity_settle(DataIdentity *data);

/* The values that a checkpoint stores: up to four in out[]. Returns their number. */
enum { DATA_IDENTITY_VALUES = 4 };
int data_identity_values(const DataIdentity *data, CheckpointValue *out);

/* The same for summary.json, with the paths, without values that are not known yet. */
json_t *data_identity_json(const DataIdentity *data);
