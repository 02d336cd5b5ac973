/* convert: converts a model between a run, Hugging Face's safetensors and llm.c's model files. */
#include "core/base/escape.h"
#include "data/directory.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"
#include "launch/convert/formats.h"

#include <libgen.h>
#include <limits.h>
#include <string.h>

typedef struct ConvertOptions {
    const char *config;
    int64_t heads;
    int dtype;  /* index into dtypes[] */
    int format; /* index into formats[] */
    double shard_gigabytes;
} ConvertOptions;

static const DType dtypes[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F16};
enum { FORMAT_BY_NAME, FORMAT_TO_HUGGING_FACE };

static const Option options[] = {
    {"dtype", OPTION_CHOICE, offsetof(ConvertOptions, dtype), "float32|bfloat16|float16", "float32",
     .doc = "type in the output file; runs are always float32"},
    {"format", OPTION_CHOICE, offsetof(ConvertOptions, format), "by-name|hugging-face", "by-name",
     .doc = "hugging-face: TO is a directory for from_pretrained"},
    {"max-shard-size", OPTION_NUMBER, offsetof(ConvertOptions, shard_gigabytes), "GB", "5", 1e-6,
     1e6, .doc = "largest safetensors file; a larger model becomes shards with an index"},
    {"config", OPTION_TEXT, offsetof(ConvertOptions, config), "FILE",
     .doc = "the config of the new run; its model must match the weights"},
    {"heads", OPTION_INT, offsetof(ConvertOptions, heads), "N", "0", 0, 1 << 24,
     .doc = "attention heads of safetensors; 0: as their config.json says, or channels / 64"},
};

static void print_notes(FILE *file) {
    fputs(
        "FROM and TO: *.safetensors is a GPT-2, Llama, Mistral, Qwen2 or Qwen3 of Hugging Face, "
        "*.bin a model of\n"
        "llm.c, anything else a run directory. FROM may also be a checkpoint, a Hugging Face "
        "directory or index of\n"
        "shards. TO may also be *.h5: the single file of a checkpoint of shards, with its moments. "
        "TO must not\n"
        "exist. After `./convert gpt2 runs/gpt2 --config=mine.yaml`, `./train "
        "mine.yaml\n"
        "output=runs/gpt2` trains from those weights.\n",
        file);
}

static const CommandLine program = {.name = "convert",
                                    .purpose = "Converts a model between formats.",
                                    .operands = "FROM TO",
                                    .least = 2,
                                    .most = 2,
                                    .options = options,
                                    .option_count = sizeof options / sizeof options[0],
                                    .more = print_notes};

static Status source_read(const char *path, const ConvertOptions *values, ModelWeights **out) {
    Arena arena = {0};
    Format format;
    const char *file;
    Status status = format_of_source(path, &arena, &format, &file);
    if (!failed(status) && format != FORMAT_HUGGING_FACE && values->heads != 0) {
        status = ERROR(STATUS_USAGE,
                       "--heads applies to safetensors; %s contains its number of heads", path);
    }
    const ModelReading reading = {"convert", values->heads};
    if (!failed(status)) status = model_read(format, file, &reading, out);
    arena_free(&arena);
    return status;
}

static Status file_write(const ModelWeights *model, const char *path,
                         const ConvertOptions *values) {
    DType dtype = dtypes[values->dtype];
    if (format_of_target(path) == FORMAT_LLM_C) return llm_c_write(model, path, dtype);
    return hugging_face_write(model, path, dtype, (int64_t)(1e9 * values->shard_gigabytes));
}

/* A failure leaves no folder that was not there. */
static Status model_write(const ModelWeights *model, const char *path,
                          const ConvertOptions *values) {
    char copy[PATH_MAX];
    size_t made = 0;
    if (format_of_target(path) == FORMAT_RUN) return run_export(model, path, values->config);
    snprintf(copy, sizeof copy, "%s", path);
    const char *folder = dirname(copy);
    TRY(directory_create(folder, &made));
    Status status = file_write(model, path, values);
    if (failed(status)) directory_undo(folder, made);
    return status;
}

/* Refuses names that suggest another format, which would mislead later readers of the file. */
static Status target_check(const char *to) {
    static const char *const refused[] = {".json", ".pt", ".pth", ".ckpt", ".gguf", ".onnx"};
    const char *slash = strrchr(to, '/'), *name = slash == NULL ? to : slash + 1,
               *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof refused / sizeof *refused; i++) {
        if (strcmp(dot, refused[i]) != 0) continue;
        return ERROR(STATUS_USAGE,
                     "%s: give *.safetensors, *.bin, or a run directory, such as runs/converted",
                     to);
    }
    if (strncmp(name, "pytorch_model", 13) != 0) return OK;
    return ERROR(STATUS_USAGE, "%s: PyTorch's format is not supported; give model.safetensors", to);
}

static Status arguments_check(const char *to, const ConvertOptions *values) {
    bool is_run = format_of_target(to) == FORMAT_RUN,
         is_checkpoint = format_of_target(to) == FORMAT_CHECKPOINT;
    TRY(target_check(to));
    if (is_checkpoint && values->heads != 0)
        return ERROR(STATUS_USAGE, "--heads applies to weights, and %s is a checkpoint", to);
    if ((is_run || is_checkpoint) && values->dtype != 0)
        return ERROR(STATUS_USAGE,
                     "--dtype applies to files of other programs; a run is always float32");
    if (is_run || values->config == NULL) return OK;
    return ERROR(STATUS_USAGE, "--config applies to a new run, and %s is not a run", to);
}

static Status convert(const char *from, const char *to, const ConvertOptions *values) {
    ModelWeights *model = NULL;
    TRY(arguments_check(to, values));
    if (format_of_target(to) == FORMAT_CHECKPOINT) return checkpoint_merge(from, to);
    TRY(source_read(from, values, &model));
    ModelConfig s = model->config;
    Status status = model_write(model, to, values);
    model_weights_destroy(&model);
    TRY(status);
    escape_say(stdout,
               "%s: %lld blocks, %lld heads, %lld channels, %lld positions, vocabulary %lld", to,
               (long long)s.L, (long long)s.NH, (long long)s.C, (long long)s.T, (long long)s.V);
    return OK;
}

/* The file of weights in a directory of Hugging Face. */
static Status convert_to(const char *from, const char *to, const ConvertOptions *values) {
    Arena arena = {0};
    bool is_directory =
        values->format == FORMAT_TO_HUGGING_FACE && format_of_target(to) == FORMAT_RUN;
    const char *target = is_directory ? arena_printf(&arena, "%s/model.safetensors", to) : to;
    Status status = target == NULL ? OUT_OF_MEMORY("%s", to) : convert(from, target, values);
    arena_free(&arena);
    return status;
}

int main(int argc, char **argv) {
    at_load_restore();
    streams_open();
    ConvertOptions values = {0};
    Arguments arguments;
    Status status = options_parse(&program, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&program, &arguments, &build_info, stdout)) {
        status = convert_to(arguments.operands[0], arguments.operands[1], &values);
    }
    arguments_destroy(&arguments);
    return streams_report("convert", status);
}
