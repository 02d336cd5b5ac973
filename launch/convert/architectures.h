/* Architectures: the models of Hugging Face that can be read and written, each a table of the
 * fields of its config.json. A model that no table can express is not written. Not collective. */
#pragma once

#include "launch/convert/json_field.h"
#include "nn/models/family.h"

typedef struct Architecture {
    const ModelFamily *family; /* its name is the model_type */
    ModelConfig layers;        /* those that no field gives */
    const JsonField *fields;   /* end with a NULL name */
    bool is_sized_by_weights;  /* a file without config.json is read, too */
} Architecture;

/* All of them; NULL-terminated. */
extern const Architecture *const architectures[];

/* The architecture of a model_type, or NULL. */
const Architecture *architecture_find(const char *model_type);

/* The field with this name, or NULL. */
const JsonField *architecture_field(const Architecture *architecture, const char *name);

/* Reads all fields of a config.json into *model, whose sizes are known or 0. Errors: STATUS_DATA,
 * naming the field. */
NODISCARD Status architecture_read(const Architecture *architecture, const json_t *config,
                                   ModelConfig *model);

/* The fields of a model's config.json. NULL if memory is out. */
json_t *architecture_write(const Architecture *architecture, const ModelConfig *model);

/* The first architecture whose fields express the model: what it writes reads as the same model.
 * Errors: STATUS_DATA, naming `origin` and the layer that has no field. */
NODISCARD Status architecture_of(const char *origin, const ModelConfig *model,
                                 const Architecture **out);
