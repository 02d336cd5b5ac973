/* Saves the state of GPT-2 124M with its moments in DIR, once for each line of standard input, so
 * that another program may measure the disk in turn. The state changes after the save, 0.4 s after
 * its beginning, as after a short step, and at once, in turn. Prints a line for each: seconds that
 * training waits, seconds of the save, bytes. Started by save_speed.py. */
#include "checkpoints/writer.h"
#include "core/base/clock.h"

#include <stdio.h>
#include <time.h>

enum { L = 12, C = 768, V = 50304, T = 1024, STATES = 3, BLOCK_TENSORS = 4 };
enum { TENSORS = STATES * (2 + L * BLOCK_TENSORS) };

static Arena arena;
static CheckpointTensor tensors[TENSORS];
static int64_t count;

static void tensor_add(const char *state, const char *name, int i, int64_t rows, int64_t columns) {
    float *data = arena_alloc(&arena, (size_t)(rows * columns) * sizeof *data);
    for (int64_t k = 0; data != NULL && k < rows * columns; k++)
        data[k] = (float)(k * 0x9e37 % 977);
    tensors[count++] = (CheckpointTensor){.name = arena_printf(&arena, "%s.%s.%d", state, name, i),
                                          .dtype = DTYPE_F32,
                                          .n_dims = 2,
                                          .shape = {rows, columns},
                                          .data = data};
}

static void contents_fill(void) {
    static const char *const states[STATES] = {"weights", "m", "v"};
    for (int s = 0; s < STATES; s++) {
        tensor_add(states[s], "wte", 0, V, C);
        tensor_add(states[s], "wpe", 0, T, C);
        for (int i = 0; i < L; i++) {
            tensor_add(states[s], "c_attn", i, 3 * C, C);
            tensor_add(states[s], "c_proj", i, C, C);
            tensor_add(states[s], "c_fc", i, 4 * C, C);
            tensor_add(states[s], "mlp.c_proj", i, C, 4 * C);
        }
    }
}

static Status save(CheckpointWriter *writer, const CheckpointContents *contents, const char *dir,
                   int64_t step, size_t bytes) {
    double begin = clock_seconds();
    TRY(checkpoint_writer_save(writer, contents, dir, step, (CheckpointKeep){1, -1, false}));
    double waits = clock_seconds() - begin;
    if (step % 3 == 2) nanosleep(&(struct timespec){.tv_nsec = 400000000}, NULL);
    double update = clock_seconds();
    if (step % 3 != 1) checkpoint_writer_copy_rest(writer);
    waits += clock_seconds() - update;
    TRY(checkpoint_writer_wait(writer));
    printf("%.4f %.4f %zu\n", waits, clock_seconds() - begin, bytes);
    fflush(stdout);
    return OK;
}

int main(int argc, char **argv) {
    if (argc != 2) return 64;
    contents_fill();
    CheckpointContents contents = {.tensors = tensors, .n_tensors = count};
    CheckpointWriter *writer = NULL;
    size_t bytes;
    Status status = checkpoint_image_bytes(&contents, &bytes);
    if (!failed(status)) status = checkpoint_writer_create(bytes, &writer);
    if (!failed(status)) status = checkpoint_writer_wait(writer);
    for (int64_t step = 1; !failed(status) && getchar() == '\n'; step++)
        status = save(writer, &contents, argv[1], step, bytes);
    checkpoint_writer_destroy(&writer);
    arena_free(&arena);
    return status_report("save_speed", status);
}
