/* Evaluates one set of weights on token files of 1 to 50 windows, with and without a short one at
 * the end, and on files smaller than a window, in batches of 1 to 9, on all ranks. Rank 0 prints a
 * line per evaluation:
 *
 *   tokens 129 batch 3 targets 128 loss 4.1588830833596715 stderr 0.001 bpb 6 */
#include "launch/config/config_load.h"
#include "launch/run/evaluation.h"
#include "launch/run/experiment_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 8, WINDOWS = 50, BATCHES = 9, TOKENS = T * (WINDOWS + 1) };

static const char text[] =
    "device: cpu\nthreads: 1\nname: table\n"
    "model: {n_layer: 1, n_head: 2, n_embd: 16, block_size: 8, vocab_size: 64, pad_vocab: 1}\n"
    "data: {train: none, val: none, batch_size: 1}\ntraining: {stop: {steps: 1}}\nevaluation: "
    "{tokens: all}\n";

static Status file_write(const char *path, int64_t n) {
    uint16_t tokens[TOKENS];
    for (int64_t i = 0; i < n; i++) tokens[i] = (uint16_t)((i * i + i / 7) % 61);
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && fwrite(tokens, sizeof *tokens, (size_t)n, file) == (size_t)n;
    if (file != NULL) good = fclose(file) == 0 && good;
    return good ? OK : ERROR(STATUS_FAILURE, "%s: cannot write it", path);
}

static Status evaluate(Experiment *e, int64_t B) {
    Evaluator *evaluator = NULL;
    Evaluation result;
    e->resolved.batch_size = B;
    TRY(experiment_record(e));
    TRY(experiment_allocate(e));
    TRY(parameters_initialize(e->recorded.parameters, e->device, 7));
    Status status = evaluator_create(e, &evaluator);
    if (!failed(status)) status = evaluator_run(evaluator, &result);
    if (!failed(status) && world_rank(e->world) == 0) {
        printf("tokens %lld batch %lld targets %lld loss %.17g stderr %.17g\n",
               (long long)token_set_count(e->val_tokens), (long long)B, (long long)result.tokens,
               result.loss, result.std_error);
    }
    evaluator_destroy(&evaluator);
    return status;
}

/* Each rank has a separate file with the same content. */
static Status file_evaluate(Experiment *e, Config *config, const char *folder, int64_t n) {
    char path[4096];
    snprintf(path, sizeof path, "%s/rank%d.bin", folder, world_rank(e->world));
    config->data.val = (TokenPaths){.count = 1, .items = &(const char *){path}};
    TRY(file_write(path, n));
    TRY(experiment_open_data(e));
    Status status = OK;
    for (int64_t B = 1; B <= BATCHES && !failed(status); B++) status = evaluate(e, B);
    token_set_destroy(&e->val_tokens);
    return status;
}

static Status table(Experiment *e, Config **config, const char *folder) {
    TRY(config_load_text(text, "table", 0, NULL, config));
    experiment_configure(e, *config);
    TRY(experiment_open_device(e));
    TRY(experiment_connect(e));
    for (int64_t n = 2; n < T; n += 3) TRY(file_evaluate(e, *config, folder, n));
    for (int64_t windows = 1; windows <= WINDOWS; windows++) {
        TRY(file_evaluate(e, *config, folder,
                          1 + windows * T -
                              (windows % 3) * 3)); /* with a short window in two of three */
    }
    return OK;
}

int main(int argc, char **argv) {
    Experiment e = {.evaluates = true};
    Config *config = NULL;
    Status status = world_create(&argc, &argv, &e.world);
    if (failed(status)) return status_report("mpi_evaluation", status);
    status = world_agree(e.world, argc == 2 ? OK : ERROR(STATUS_USAGE, "wants a folder"));
    if (!failed(status)) status = table(&e, &config, argv[1]);
    int code = status_report("mpi_evaluation", status);
    experiment_destroy(&e);
    config_destroy(&config);
    world_destroy(&e.world);
    return code;
}
