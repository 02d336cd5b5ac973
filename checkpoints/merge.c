/* Writes the single file of a checkpoint of shards: the manifest's `order` gives its layout. */
#include "checkpoints/shards.h"

#include "checkpoints/file_layout.h"

#include <string.h>

static Status out_of_memory(const CheckpointFile *file) {
    return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory to merge it", file->path);
}

static Status tensor_read(const CheckpointFile *file, const char *name, Arena *arena,
                          CheckpointTensor *out) {
    TRY(checkpoint_tensor_info(file, name, out));
    size_t bytes = dtype_size(out->dtype); /* fits: the shards have them all */
    for (int d = 0; d < out->n_dims; d++) bytes *= (size_t)out->shape[d];
    void *data = arena_alloc(arena, bytes);
    if (data == NULL) return out_of_memory(file);
    out->data = data;
    return checkpoint_read_tensor(file, out, data);
}

/* A value of the manifest; `kind` as shards.h names it. */
static Status value_read(const CheckpointFile *file, const char *kind, const char *name,
                         Arena *arena, CheckpointValue *out) {
    char *text;
    *out = (CheckpointValue){.name = name, .kind = CHECKPOINT_I64};
    if (strcmp(kind, "integer") == 0) return checkpoint_read_i64(file, name, &out->i64);
    out->kind = CHECKPOINT_F64;
    if (strcmp(kind, "number") == 0) return checkpoint_read_f64(file, name, &out->f64);
    out->kind = CHECKPOINT_TEXT;
    TRY(checkpoint_read_text(file, name, arena, &text));
    out->text = text;
    return OK;
}

/* `order` is cut into its lines. */
static Status contents_read(const CheckpointFile *file, char *order, Arena *arena,
                            CheckpointContents *out) {
    size_t lines = 0;
    for (const char *at = order; *at != '\0'; at++) lines += *at == '\n';
    CheckpointValue *values = arena_alloc(arena, (lines + 1) * sizeof *values);
    CheckpointTensor *tensors = arena_alloc(arena, (lines + 1) * sizeof *tensors);
    if (values == NULL || tensors == NULL) return out_of_memory(file);
    *out = (CheckpointContents){.tensors = tensors, .values = values};
    char *rest = NULL;
    for (char *line = strtok_r(order, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *name = strchr(line, ' ');
        if (name == NULL)
            return ERROR(STATUS_DATA, "%s: its manifest has a line '%.64s' in `order`", file->path,
                         line);
        *name++ = '\0';
        if (strcmp(line, "tensor") == 0)
            TRY(tensor_read(file, name, arena, &tensors[out->n_tensors++]));
        else
            TRY(value_read(file, line, name, arena, &values[out->n_values++]));
    }
    return OK;
}

static Status contents_write(const CheckpointContents *contents, const char *path, int64_t step) {
    CheckpointImage *image = NULL;
    size_t bytes;
    TRY(checkpoint_image_bytes(contents, &bytes));
    TRY(checkpoint_image_create(bytes, &image));
    Status status = checkpoint_snapshot(image, contents);
    if (!failed(status)) status = image_write_new(image, path, step);
    checkpoint_image_destroy(&image);
    return status;
}

Status shards_merge(const CheckpointFile *file, const char *path) {
    Arena arena = {0};
    CheckpointContents contents;
    char *order = NULL;
    if (file->n_shards == 0)
        return ERROR(STATUS_DATA, "%s: is a single file already; copy it", file->path);
    Status status = checkpoint_read_text(file, "order", &arena, &order);
    if (!failed(status)) status = contents_read(file, order, &arena, &contents);
    if (!failed(status)) status = contents_write(&contents, path, file->step);
    arena_free(&arena);
    return status;
}
