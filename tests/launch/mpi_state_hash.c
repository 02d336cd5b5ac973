/* Prints the content of checkpoints for the end-to-end tests: one line per checkpoint with its
 * step, tokens and seed, a hash of the tensors of each section in the file, and whether all values
 * are finite.
 *
 *   step 12 tokens 1536 seed 7 weights 5d41402abc4b2a76 m 7d793037a0760186 v d3d9446802a44259
 *   finite yes */
#include "checkpoints/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const sections[] = {"weights", "m", "v", "momentum", "row_moments"};
enum { N_SECTIONS = 5 };

typedef struct Digest {
    XXH64_hash_t hash[N_SECTIONS];
    bool finite;
} Digest;

static bool all_finite(const void *data, DType dtype, size_t count) {
    for (size_t i = 0; i < count; i++) {
        double value =
            dtype == DTYPE_F64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
        if (!isfinite(value)) return false;
    }
    return true;
}

static Status tensor_add(const CheckpointFile *file, const char *name, Digest *digest) {
    CheckpointTensor tensor;
    size_t count = 1;
    TRY(checkpoint_tensor_info(file, name, &tensor));
    for (int d = 0; d < tensor.n_dims; d++) count *= (size_t)tensor.shape[d];
    size_t bytes = count * dtype_size(tensor.dtype);
    void *data = malloc(bytes);
    if (data == NULL) return ERROR(STATUS_FAILURE, "out of memory");
    Status status = checkpoint_read_tensor(file, &tensor, data);
    for (int s = 0; s < N_SECTIONS && !failed(status); s++) {
        size_t prefix = strlen(sections[s]);
        if (strncmp(name, sections[s], prefix) != 0 || name[prefix] != '.') continue;
        digest->hash[s] = XXH64(name, strlen(name), digest->hash[s]);
        digest->hash[s] = XXH64(data, bytes, digest->hash[s]);
    }
    if (!failed(status)) digest->finite = digest->finite && all_finite(data, tensor.dtype, count);
    free(data);
    return status;
}

static Status file_print(const CheckpointFile *file, Arena *arena) {
    const char **names;
    int64_t n, step, tokens, seed;
    Digest digest = {.finite = true};
    TRY(checkpoint_read_i64(file, "step", &step));
    TRY(checkpoint_read_i64(file, "tokens", &tokens));
    TRY(checkpoint_read_i64(file, "seed", &seed));
    TRY(checkpoint_tensor_names(file, arena, &names, &n));
    for (int64_t i = 0; i < n; i++) TRY(tensor_add(file, names[i], &digest));
    printf("step %lld tokens %lld seed %lld", (long long)step, (long long)tokens, (long long)seed);
    for (int s = 0; s < N_SECTIONS; s++) {
        if (digest.hash[s] == 0) continue;
        printf(" %s %016llx", sections[s], (unsigned long long)digest.hash[s]);
    }
    printf(" finite %s\n", digest.finite ? "yes" : "no");
    return OK;
}

int main(int argc, char **argv) {
    Status status = OK;
    for (int i = 1; i < argc && !failed(status); i++) {
        CheckpointFile *file = NULL;
        Arena arena = {0};
        status = checkpoint_open(argv[i], &file);
        if (!failed(status)) status = file_print(file, &arena);
        checkpoint_close(&file);
        arena_free(&arena);
    }
    return status_report("mpi_state_hash", status);
}
