#include "nn/models/families.h"

#include "nn/models/gpt2.h"

#include <string.h>

static const ModelFamily *const families[] = {&gpt2_family};

const ModelFamily *model_family(const char *name) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i]->name, name) == 0) return families[i];
    }
    return NULL;
}
