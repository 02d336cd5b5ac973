/* Timeline: the expected time of programs on several ranks, from their ops on two clocks.
 *
 * The model's clock advances by each op (core/perf/predict.h). Collectives run one after another
 * beside it: one starts when the model has started it and its predecessor has ended. A wait moves
 * the model's clock to the end of the collective that it waits for. A collective also slows the
 * model by the time that its traffic occupies the device's memory. Ranks are equally fast. */
#pragma once

#include "core/collectives.h"
#include "core/perf/ceilings.h"

/* Of one collective: its duration, and the bytes that it reads and writes in the device's memory
 * while the model computes. */
typedef struct CollectiveCost {
    double seconds, bytes;
} CollectiveCost;

/* The cost of a collective over vectors of `bytes` bytes. */
typedef struct CollectiveModel {
    CollectiveCost (*cost)(const void *self, CollectiveKind kind, size_t bytes);
    const void *self;
} CollectiveModel;

enum { TIMELINE_IN_FLIGHT = 64 }; /* the maximum of collectives that a wait may leave pending */

/* Zero-initialized: before the first program of a step. */
typedef struct Timeline {
    double seconds;                  /* the model's clock */
    double exposed;                  /* of it, waiting for collectives */
    double communication;            /* the sum of all collectives */
    double free_at;                  /* the collectives' clock */
    double ends[TIMELINE_IN_FLIGHT]; /* collective i has ended at ends[i % TIMELINE_IN_FLIGHT] */
    int64_t started;
} Timeline;

/* Adds one replay of a program. Touches no device. Not collective. */
void timeline_add(Timeline *t, const Program *p, const Ceilings *ceilings,
                  CollectiveModel collectives);
