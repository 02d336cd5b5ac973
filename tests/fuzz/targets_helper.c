#include "tests/fuzz/targets_helper.h"

#include "checkpoints/file_layout.h"
#include "data/choice_set.h"
#include "data/token_file.h"
#include "data/tokenizer.h"
#include "launch/config/config_load.h"
#include "launch/convert/config_json.h"
#include "launch/convert/formats.h"
#include "launch/convert/weights.h"
#include "launch/study/study.h"
#include "launch/study/tuning_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static char folder[256];

static void folder_remove(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) perror(folder);
}

static void folder_create(void) {
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == '\0')
        parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir;
    int length = snprintf(folder, sizeof folder, "%s/hourglass-fuzz-XXXXXX", parent);
    if (length >= (int)sizeof folder || mkdtemp(folder) == NULL) abort();
    atexit(folder_remove);
}

/* Writes the bytes to a file of this process's folder, and returns its path. An old content is
 * overwritten: its memory stays, which takes half the time. */
static const char *put(const char *name, const void *data, size_t size) {
    static char path[512];
    if (folder[0] == '\0') folder_create();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool is_written = fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size &&
                      ftruncate(fd, (off_t)size) == 0 && close(fd) == 0;
    if (!is_written) abort();
    return path;
}

/* Whether it succeeded; a failure must have a message. */
static bool passes(Status status) {
    if (failed(status) && status_message()[0] == '\0') abort();
    return !failed(status);
}

/* The bytes as a text; the caller frees it. */
static char *text_of(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (text == NULL) abort();
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

/* A config that loads can be written, and what is written loads again. */
static void run_config(const uint8_t *data, size_t size) {
    char *text = text_of(data, size), *written = NULL;
    size_t bytes = 0;
    Config *config = NULL, *again = NULL;
    if (passes(config_load_text(text, "fuzz", 0, NULL, &config))) {
        FILE *file = open_memstream(&written, &bytes);
        if (file == NULL || !passes(config_write(config, file)) || fclose(file) != 0) abort();
        if (!passes(config_load_text(written, "written", 0, NULL, &again))) abort();
    }
    config_destroy(&config);
    config_destroy(&again);
    free(written);
    free(text);
}

static void run_study(const uint8_t *data, size_t size) {
    Study *study = NULL;
    (void)!passes(study_open(put("study.yaml", data, size), 0, NULL, &study));
    study_close(&study);
}

/* A study with a script that may have been submitted, so that a damaged sweep.json stays. */
static Study *logged_study(void) {
    static const char text[] =
        "data: {train: t.bin}\ntraining: {stop: {steps: 5}}\nsweep: {seed: [1, 2]}\n";
    static Study *study = NULL;
    char scripts[300];
    if (study != NULL) return study;
    if (!passes(study_open(put("study.yaml", text, sizeof text - 1), 0, NULL, &study))) abort();
    snprintf(scripts, sizeof scripts, "%s/slurm", folder);
    if (mkdir(scripts, 0700) != 0) abort();
    put("slurm/points.sh", "", 0);
    study->directory = folder;
    return study;
}

/* A study and a point whose files all have these bytes. */
static void run_logs(const uint8_t *data, size_t size) {
    static const char *const files[] = {"attempts.log", "summary.json", "metrics.jsonl",
                                        "rungs.log",    "stderr.log",   "sweep.json"};
    static const double shares[] = {0.25, 0.5, 1};
    double losses[3];
    Study *study = logged_study();
    StudyPoint point = study->points[0];
    point.directory = folder;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) put(files[i], data, size);
    point_refresh(&point);
    if (point.status.step < -1) abort();
    (void)!passes(tuning_log_read(&point, &study->config->report, shares, 3, losses));
    (void)!passes(study_read_jobs(study));
}

/* The hash of the header, and the size of the file: data/hdf5_tokens.c. */
static void tokens_seal(uint8_t *bytes, size_t size) {
    enum { BLOCK = 512, FILE_BYTES = 24, HEADER_BYTES = 32, HASH = 40 };
    uint64_t whole = size, header, hash;
    if (size <= BLOCK || memcmp(bytes, "hourglass tokens 1\n", 19) != 0) return;
    memcpy(&header, bytes + HEADER_BYTES, sizeof header);
    if (header <= BLOCK || header > size) return;
    hash = XXH3_64bits(bytes + BLOCK, header - BLOCK);
    memcpy(bytes + FILE_BYTES, &whole, sizeof whole);
    memcpy(bytes + HASH, &hash, sizeof hash);
}

static void run_tokens(const uint8_t *data, size_t size) {
    enum { MOST = 4096 };
    int32_t tokens[MOST];
    TokenFile *file = NULL;
    uint8_t *sealed = (uint8_t *)text_of(data, size);
    tokens_seal(sealed, size);
    if (passes(token_file_open(put("tokens", sealed, size), &file))) {
        int64_t count = token_file_count(file), n = count < MOST ? count : MOST;
        if (count <= 0) abort();
        if (passes(token_file_read(file, count - n, n, tokens)) && token_file_vocab(file) > 0) {
            for (int64_t i = 0; i < n; i++) {
                if (tokens[i] < 0 || tokens[i] >= token_file_vocab(file)) abort();
            }
        }
    }
    token_file_destroy(&file);
    free(sealed);
}

static void run_safetensors(const uint8_t *data, size_t size) {
    Weights *weights = NULL;
    ModelWeights *model = NULL;
    const char *path = put("model.safetensors", data, size);
    if (passes(weights_open(path, &weights))) {
        size_t n;
        const SafetensorsEntry *const *entries = weights_entries(weights, &n);
        for (size_t i = 0; i < n; i++) {
            if (entries[i]->bytes > size) abort();
        }
    }
    weights_close(&weights);
    if (passes(hugging_face_read(path, &(ModelReading){NULL, 2}, &model)) && model->count == 0)
        abort();
    model_weights_destroy(&model);
}

static void run_llm_c(const uint8_t *data, size_t size) {
    ModelWeights *model = NULL;
    if (passes(llm_c_read(put("model.bin", data, size), &model)) && model->count == 0) abort();
    model_weights_destroy(&model);
}

static void tensors_read(const CheckpointFile *file, size_t size) {
    Arena arena = {0};
    const char **names;
    int64_t n = 0;
    if (!passes(checkpoint_tensor_names(file, &arena, &names, &n))) n = 0;
    for (int64_t i = 0; i < n; i++) {
        CheckpointTensor tensor;
        if (!passes(checkpoint_tensor_info(file, names[i], &tensor))) continue;
        size_t bytes = dtype_size(tensor.dtype);
        for (int d = 0; d < tensor.n_dims && bytes <= size; d++) bytes *= (size_t)tensor.shape[d];
        if (bytes > size) continue;
        void *values = malloc(bytes + 1);
        (void)!passes(checkpoint_read_tensor(file, &tensor, values));
        free(values);
    }
    arena_free(&arena);
}

/* The bytes are the image; the trailer is added. */
static void run_checkpoint(const uint8_t *data, size_t size) {
    Arena arena = {0};
    CheckpointFile *file = NULL;
    uint8_t *sealed = realloc(text_of(data, size), size + TRAILER_BYTES);
    if (sealed == NULL) abort();
    Trailer trailer = {.image_bytes = size, .step = 1};
    ImageHash *hash = hash_begin();
    if (hash == NULL) abort();
    hash_add(hash, sealed, size);
    hash_end(hash, trailer.hash);
    trailer_encode(&trailer, sealed + size);
    if (passes(checkpoint_open(put("step_00000001.h5", sealed, size + TRAILER_BYTES), &file))) {
        int64_t integer;
        double number;
        char *text;
        (void)!passes(checkpoint_read_i64(file, "tokens", &integer));
        (void)!passes(checkpoint_read_f64(file, "train_s", &number));
        (void)!passes(checkpoint_read_text(file, "config", &arena, &text));
        tensors_read(file, size);
    }
    checkpoint_close(&file);
    arena_free(&arena);
    free(sealed);
}

/* Decoding restores the text, except with a vocabulary that normalizes. */
static void run_vocabulary(const uint8_t *data, size_t size) {
    static const char text[] = "Hello  world, it's 2026!\n\xff\xc3\xa9";
    Tokenizer *tokenizer = NULL;
    TokenBuffer tokens = {0};
    size_t decoded = 0;
    if (passes(tokenizer_open(put("vocabulary", data, size), &tokenizer)) &&
        passes(tokenizer_encode(tokenizer, text, sizeof text - 1, &tokens))) {
        for (size_t i = 0; i < tokens.count; i++) {
            const uint8_t *bytes;
            size_t length;
            if (!passes(tokenizer_decode(tokenizer, tokens.tokens[i], &bytes, &length))) abort();
            decoded += length;
        }
        if (decoded != sizeof text - 1) abort();
    }
    token_buffer_free(&tokens);
    tokenizer_destroy(&tokenizer);
}

static void run_model_json(const uint8_t *data, size_t size) {
    char unknown[200];
    json_t *config = NULL;
    const Architecture *architecture = NULL;
    ModelConfig model = {0};
    const char *path = put("model.json", data, size);
    if (passes(config_json_read(path, &config, &architecture)) && config != NULL) {
        (void)config_json_unknown(config, architecture, unknown, sizeof unknown);
        (void)!passes(config_json_model(path, config, architecture, &model));
    }
    json_decref(config);
}

/* Each choice lies within the tokens, each answer within its choices. */
static void run_choices(const uint8_t *data, size_t size) {
    enum { VOCABULARY = 300, T = 64 };
    static Tokenizer *tokenizer = NULL;
    ChoiceSet set = {0};
    if (tokenizer == NULL && !passes(tokenizer_open("byte", &tokenizer))) abort();
    if (passes(choice_set_read(put("choices", data, size), tokenizer, VOCABULARY, T, &set))) {
        for (int64_t i = 0; i < set.n_choices; i++) {
            const Choice *c = &set.choices[i];
            int64_t end = c->at + c->context + c->length;
            if (c->at < 0 || c->length < 1 || end > (int64_t)set.tokens.count) abort();
        }
        for (int64_t i = 0; i < set.n_questions; i++) {
            const ChoiceQuestion *q = &set.questions[i];
            if (q->first + q->count > set.n_choices || q->answer >= q->count) abort();
        }
        for (size_t i = 0; i < set.tokens.count; i++) {
            if (set.tokens.tokens[i] < 0 || set.tokens.tokens[i] >= VOCABULARY) abort();
        }
    }
    choice_set_free(&set);
}

const FuzzTarget fuzz_targets[] = {
    {"config", run_config},
    {"study", run_study},
    {"logs", run_logs},
    {"tokens", run_tokens},
    {"safetensors", run_safetensors},
    {"model_json", run_model_json},
    {"llm_c", run_llm_c},
    {"checkpoint", run_checkpoint},
    {"vocabulary", run_vocabulary},
    {"choices", run_choices},
    {NULL, NULL},
};
