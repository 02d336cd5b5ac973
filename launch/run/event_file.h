/* A TensorBoard event file of a run: scalars and texts. Not collective.
 *
 * Records in TFRecord framing (tensorflow/core/lib/io/record_writer.h): length, masked CRC-32C of
 * the length, data, masked CRC-32C of the data. The data are Event messages
 * (tensorflow/core/util/event.proto, summary.proto), of which the file has the few fields that
 * TensorBoard reads. */
#pragma once

#include "core/status.h"

#include <jansson.h>
#include <stdint.h>

typedef struct EventFile EventFile;

/* Creates DIRECTORY/events.out.tfevents.TIME.HOST.PID. A run that resumes gets another file, which
 * tells TensorBoard to drop what earlier ones have after step `resumed_step`. Errors:
 * STATUS_FAILURE. */
NODISCARD Status event_file_create(const char *directory, int64_t resumed_step, EventFile **out);
void event_file_close(EventFile **file);

/* Appends an event with a scalar, of f32, for each number of `record` except its step. Errors:
 * STATUS_FAILURE naming the file; STATUS_OUT_OF_MEMORY. */
NODISCARD Status event_file_scalars(EventFile *file, int64_t step, json_t *record);

/* Appends a text under a tag. It is shown as it is, with its lines and blanks. */
NODISCARD Status event_file_text(EventFile *file, int64_t step, const char *tag, const char *text);
