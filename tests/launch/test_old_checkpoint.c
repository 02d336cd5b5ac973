/* A checkpoint with the names that the project's first releases gave its tensors is loaded in full:
 * weights, and both moments of AdamW. */
#include "checkpoints/checkpoint.h"
#include "launch/config/config_load.h"
#include "launch/run/experiment_plan.h"
#include "launch/run/state.h"
#include "tests/harness.h"

#include <stdio.h>
#include <string.h>

enum { C = 16, V = 64, T = 8, MOST = 4 * C * C };

static const char text[] =
    "device: cpu\nthreads: 1\nname: old\n"
    "model: {n_layer: 1, n_head: 2, n_embd: 16, block_size: 8, vocab_size: 64, pad_vocab: 1}\n"
    "data: {train: none, batch_size: 1}\ntraining: {stop: {steps: 1}}\n";

/* In the order of the files. */
static const struct {
    const char *name;
    int64_t rows, columns; /* 0: a vector */
} tensors[] = {
    {"wte.weight", V, C},
    {"wpe.weight", T, C},
    {"h.0.ln_1.weight", C, 0},
    {"h.0.ln_1.bias", C, 0},
    {"h.0.attn.c_attn.weight", 3 * C, C},
    {"h.0.attn.c_attn.bias", 3 * C, 0},
    {"h.0.attn.c_proj.weight", C, C},
    {"h.0.attn.c_proj.bias", C, 0},
    {"h.0.ln_2.weight", C, 0},
    {"h.0.ln_2.bias", C, 0},
    {"h.0.mlp.c_fc.weight", 4 * C, C},
    {"h.0.mlp.c_fc.bias", 4 * C, 0},
    {"h.0.mlp.c_proj.weight", C, 4 * C},
    {"h.0.mlp.c_proj.bias", C, 0},
    {"ln_f.weight", C, 0},
    {"ln_f.bias", C, 0},
};

static const char *const states[] = {"weights", "m", "v"};

enum { N_TENSORS = COUNT(tensors), N_STATES = COUNT(states) };

static float values[N_STATES][N_TENSORS][MOST];

static Status old_write(const char *folder) {
    static char names[N_STATES][N_TENSORS][64];
    CheckpointTensor list[N_STATES * N_TENSORS];
    for (int s = 0; s < N_STATES; s++) {
        for (int i = 0; i < N_TENSORS; i++) {
            for (int k = 0; k < MOST; k++) values[s][i][k] = (float)(100 * s + i) + (float)k / MOST;
            snprintf(names[s][i], sizeof names[s][i], "%s.%s", states[s], tensors[i].name);
            list[s * N_TENSORS + i] =
                (CheckpointTensor){.name = names[s][i],
                                   .dtype = DTYPE_F32,
                                   .n_dims = tensors[i].columns > 0 ? 2 : 1,
                                   .shape = {tensors[i].rows, tensors[i].columns},
                                   .data = values[s][i]};
        }
    }
    CheckpointContents contents = {.tensors = list, .n_tensors = COUNT(list)};
    return checkpoint_save(&contents, folder, 0, (CheckpointKeep){1, -1, false});
}

static Status experiment_create(Experiment *e, Config **config) {
    char name[] = "old", *arguments[] = {name, NULL}, **argv = arguments;
    int argc = 1;
    TRY(world_create(&argc, &argv, &e->world));
    TRY(config_load_text(text, "old", 0, NULL, config));
    experiment_configure(e, *config);
    e->resolved.batch_size = 1;
    e->resolved.vocab_size = V;
    e->T = T;
    TRY(experiment_open_device(e));
    TRY(experiment_record(e));
    return experiment_allocate(e);
}

/* Elements of a state that differ from the file. */
static int64_t wrong(const Experiment *e, int s, int index) {
    const Parameter *parameter = e->recorded.parameters->list[index];
    const float *data = parameters_state(e->recorded.parameters, s)->buffer.data;
    int64_t first = (int64_t)(parameter->weight->offset / sizeof(float)), count = 0;
    CHECK(strcmp(parameter->name, tensors[index].name) == 0);
    for (int64_t k = 0; k < tensor_count(parameter->weight); k++)
        count += data[first + k] != values[s][index][k];
    return count;
}

static void every_state_is_loaded(void) {
    Experiment e = {0};
    Config *config = NULL;
    CheckpointFile *file = NULL;
    Arena arena = {0};
    char path[4096];
    const char *folder = harness_directory();
    snprintf(path, sizeof path, "%s/step_%08d.h5", folder, 0);
    bool made = CHECK_OK(old_write(folder)) && CHECK_OK(experiment_create(&e, &config)) &&
                CHECK_OK(checkpoint_open(path, &file)) &&
                CHECK_OK(state_load_weights(&e, file, &arena));
    CHECK(made && e.recorded.parameters->count == N_TENSORS);
    CHECK(made && parameters_state_count(e.recorded.parameters) == N_STATES);
    for (int s = 0; s < N_STATES && made; s++) {
        CHECK(strcmp(parameters_state_name(e.recorded.parameters, s), states[s]) == 0);
        for (int i = 0; i < N_TENSORS; i++) CHECK(wrong(&e, s, i) == 0);
    }
    World *world = e.world;
    checkpoint_close(&file);
    experiment_destroy(&e);
    config_destroy(&config);
    world_destroy(&world);
    arena_free(&arena);
}

int main(int argc, char **argv) {
    const Test tests[] = {TEST(every_state_is_loaded)};
    return harness_run(argc, argv, "old checkpoints", tests, COUNT(tests));
}
