/* DocumentSink: receives documents, one after another, each in parts of any size. */
#pragma once

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct DocumentSink {
    void *context;
    Status (*part)(void *context, const uint8_t *text, size_t bytes);
    Status (*end)(void *context); /* of a document; without a part before it, it is empty */
} DocumentSink;

#ifdef __cplusplus
}
#endif
