#include "checkpoints/checkpoint.h"
#include "core/base/file.h"
#include "launch/convert/formats.h"

#include <string.h>

#define INDEX "model.safetensors.index.json"
#define PYTORCH                                                                                    \
    "%s: PyTorch's format, which Python alone can read; save the model there by transformers' "    \
    "save_pretrained, and "                                                                        \
    "name the model.safetensors that it writes"

char *file_beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    char *out = NULL;
    int directory = slash == NULL ? 0 : (int)(slash - path + 1);
    return asprintf(&out, "%.*s%s", directory, path, name) < 0 ? NULL : out;
}

static bool ends_in(const char *path, const char *suffix) {
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcmp(path + length - tail, suffix) == 0;
}

Format format_of_target(const char *path) {
    return ends_in(path, ".safetensors") ? FORMAT_HUGGING_FACE
           : ends_in(path, ".bin")       ? FORMAT_LLM_C
           : ends_in(path, ".h5")        ? FORMAT_CHECKPOINT
                                         : FORMAT_RUN;
}

/* ---- a file ---------------------------------------------------------------------------------- */

/* Recognizes a file of another program by its first bytes: a zip archive or a pickle, ... */
static Status beginning_check(const char *path) {
    char begin[24] = "";
    ssize_t got;
    TRY(file_read_beginning(path, begin, sizeof begin, &got));
    bool is_pickle =
        begin[0] == '\x80' && begin[1] >= 2 && begin[1] <= 5 && !ends_in(path, ".safetensors");
    if (memcmp(begin, "PK\3\4", 4) == 0 || is_pickle) return ERROR(STATUS_DATA, PYTORCH, path);
    if (memcmp(begin, "version https://git-lfs", 23) == 0) {
        return ERROR(STATUS_DATA, "%s: Git LFS's pointer, not the file; fetch that by git lfs pull",
                     path);
    }
    if (memcmp(begin, "GGUF", 4) == 0) {
        return ERROR(STATUS_DATA,
                     "%s: a GGUF, which is not read here; take the model's safetensors", path);
    }
    return OK;
}

/* ---- a directory ----------------------------------------------------------------------------- */

static Status look_in(const char *directory, const char *name, Arena *arena, const char **file,
                      bool *is_there) {
    *file = arena_printf(arena, "%s/%s", directory, name);
    return *file == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", directory)
                         : file_look(*file, NULL, is_there);
}

/* A run, or weights of Hugging Face under the names that its programs use. */
static Status directory_find(const char *path, Arena *arena, Format *format, const char **file) {
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    const char *single, *index;
    bool is_run, has_config, has_single, has_index, is_there;
    *format = FORMAT_RUN;
    TRY(look_in(path, "checkpoints", arena, file, &is_run));
    TRY(look_in(path, "config.yaml", arena, file, &has_config));
    *file = path;
    if (is_run || has_config) return OK;
    *format = FORMAT_HUGGING_FACE;
    TRY(look_in(path, "model.safetensors", arena, &single, &has_single));
    TRY(look_in(path, INDEX, arena, &index, &has_index));
    *file = has_single ? single : index;
    if (has_single && has_index)
        return ERROR(STATUS_DATA, "%s: is there beside " INDEX "; name one of them", single);
    if (has_single || has_index) return OK;
    for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        TRY(look_in(path, pickles[i], arena, file, &is_there));
        if (is_there) return ERROR(STATUS_DATA, PYTORCH, *file);
    }
    return ERROR(STATUS_DATA,
                 "%s: neither a run nor a model: no checkpoints, model.safetensors or " INDEX
                 " in it",
                 path);
}

Status format_of_source(const char *path, Arena *arena, Format *format, const char **file) {
    struct stat info;
    bool is_there, is_sharded = checkpoint_is_sharded(path);
    *format = ends_in(path, ".json") ? FORMAT_HUGGING_FACE : format_of_target(path);
    if (*format == FORMAT_CHECKPOINT || is_sharded) *format = FORMAT_RUN;
    *file = path;
    if (is_sharded) return OK;
    TRY(file_look(path, &info, &is_there));
    if (!is_there) return OK; /* the format's reader reports it */
    if (S_ISDIR(info.st_mode)) TRY(directory_find(path, arena, format, file));
    return S_ISREG(info.st_mode) || *file != path ? beginning_check(*file) : OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

void model_warn(const ModelReading *reading, const char *text) {
    if (reading->program != NULL) status_warn(reading->program, text);
}

Status model_read(Format format, const char *file, const ModelReading *reading,
                  ModelWeights **out) {
    switch (format) {
    case FORMAT_HUGGING_FACE: return hugging_face_read(file, reading, out);
    case FORMAT_LLM_C: return llm_c_read(file, out);
    default: return run_import(file, reading, out);
    }
}
