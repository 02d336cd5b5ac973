/* convert: a GPT-2 between a run, Hugging Face's safetensors and llm.c's model files. */
#include "core/escape.h"
#include "launch/convert/formats.h"
#include "launch/options.h"
#include "launch/streams.h"

#include <string.h>

typedef struct Values {
    const char *config;
    int64_t heads;
    int dtype; /* into dtypes[] */
} Values;

static const DType dtypes[] = {DTYPE_F32, DTYPE_BF16};

static const Option options[] = {
    {"dtype", OPTION_CHOICE, offsetof(Values, dtype), "float32|bfloat16", "float32",
     .doc = "of the file that is written; runs hold float32"},
    {"config", OPTION_TEXT, offsetof(Values, config), "FILE",
     .doc = "the config that a new run will be trained under; its model must be this one"},
    {"heads", OPTION_INT, offsetof(Values, heads), "N", "0", 0, 1 << 24,
     .doc = "attention heads of safetensors; 0: from the config.json beside them, or else channels / 64"},
};

static void print_notes(FILE *file) {
    fputs("FROM and TO: *.safetensors is Hugging Face's GPT-2, *.bin a model of llm.c, anything else a run directory, "
          "or as\n"
          "FROM a checkpoint. TO must not be there. After `./convert gpt2/model.safetensors runs/gpt2 "
          "--config=mine.yaml`,\n"
          "`./train mine.yaml output=runs/gpt2` goes on from those weights.\n",
          file);
}

static const CommandLine program = {.name = "convert",
                                    .purpose = "Converts a GPT-2 between formats.",
                                    .operands = "FROM TO",
                                    .least = 2,
                                    .most = 2,
                                    .options = options,
                                    .option_count = sizeof options / sizeof options[0],
                                    .more = print_notes};

typedef enum Format { FORMAT_RUN, FORMAT_HUGGING_FACE, FORMAT_LLM_C } Format;

static bool ends_in(const char *path, const char *suffix) {
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcmp(path + length - tail, suffix) == 0;
}

static Format format_of(const char *path) {
    return ends_in(path, ".safetensors") ? FORMAT_HUGGING_FACE : ends_in(path, ".bin") ? FORMAT_LLM_C : FORMAT_RUN;
}

static Status model_read(const char *path, const Values *values, Model **out) {
    switch (format_of(path)) {
    case FORMAT_HUGGING_FACE: return hugging_face_read(path, values->heads, out);
    case FORMAT_LLM_C: return llm_c_read(path, out);
    default: return run_import(path, out);
    }
}

static Status model_write(const Model *model, const char *path, const Values *values) {
    switch (format_of(path)) {
    case FORMAT_HUGGING_FACE: return hugging_face_write(model, path, dtypes[values->dtype]);
    case FORMAT_LLM_C: return llm_c_write(model, path, dtypes[values->dtype]);
    default: return run_export(model, path, values->config);
    }
}

static Status arguments_check(const char *to, const Values *values) {
    if (ends_in(to, ".h5")) return ERROR(STATUS_USAGE, "%s: give a run directory, such as runs/converted", to);
    if (format_of(to) == FORMAT_RUN && values->dtype != 0) return ERROR(STATUS_USAGE, "--dtype: a run holds float32");
    if (format_of(to) == FORMAT_RUN || values->config == NULL) return OK;
    return ERROR(STATUS_USAGE, "--config is for a new run, and %s is none", to);
}

static Status convert(const char *from, const char *to, const Values *values) {
    Model *model = NULL;
    TRY(arguments_check(to, values));
    TRY(model_read(from, values, &model));
    ModelSize s = model->size;
    Status status = model_write(model, to, values);
    model_destroy(&model);
    TRY(status);
    escape_say(stdout, "%s: %lld blocks, %lld heads, %lld channels, %lld positions, vocabulary %lld", to,
               (long long)s.L, (long long)s.NH, (long long)s.C, (long long)s.T, (long long)s.V);
    return OK;
}

int main(int argc, char **argv) {
    streams_open();
    Values values = {0};
    Arguments arguments;
    Status status = options_parse(&program, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&program, &arguments, stdout)) {
        status = convert(arguments.operands[0], arguments.operands[1], &values);
    }
    arguments_destroy(&arguments);
    return streams_report("convert", status);
}
