/* The end of a step, as ops: gradients summed over ranks while backward goes on, their norm, and
 * AdamW.
 *
 * Each span of the parameters is reduced as soon as the last of its gradients is complete. The norm
 * of all spans but those that are complete last is found while these are still reduced, or the
 * tables' rows still travel (nn/optim/embedding_gradients.h).
 *
 * Where the optimizer is shared, a rank is given the sums of its pieces alone and updates their
 * weights: first those that forward reads first, which all ranks then gather while the rest is
 * updated. That is gathered by whatever reads it next (nn/optim/weight_prefetch.h). The squares are
 * summed over the same parts of the same spans, whoever owns them, and added in one order: sharing
 * changes no bit. */
#pragma once

#include "core/collectives.h"
#include "core/ops/adamw.h"
#include "nn/optim/embedding_gradients.h"

typedef struct Update {
    const Parameters *parameters;
    const Collectives *collectives;        /* NULL: one rank */
    AdamwAttrs adamw;                      /* n_decayed is filled in */
    Tensor *step, *loss, *norm, *offender; /* offender: see core/ops/adamw.h */
    Tables *tables; /* whose gradients travel as rows; NULL: whole, like all others */
} Update;

/* Appends it to a program whose backward is complete. */
void update_record(Program *p, const Update *update);
