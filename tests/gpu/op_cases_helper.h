/* The op cases for every device: lists for products, for ops on the heads of attention, for norms,
 * activations and sums, and for all other ops. They include ragged sizes, so the kernels' scalar
 * paths run too. */
#pragma once

#include "tests/gpu/cases_helper.h"

typedef struct NamedCase {
    const char *name;
    CaseFn body;
} NamedCase;
#define CASE(body)                                                                                 \
    { #body, body }

extern const NamedCase product_cases[], head_cases[], layer_cases[], other_cases[];
extern const int n_product_cases, n_head_cases, n_layer_cases, n_other_cases;
