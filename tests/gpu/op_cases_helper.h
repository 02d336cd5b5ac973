/* The op cases for every device, a list for products and one for all other ops. Ragged sizes are
 * among them, so that the kernels' scalar paths run as well. */
#pragma once

#include "tests/gpu/cases_helper.h"

typedef struct NamedCase {
    const char *name;
    CaseFn body;
} NamedCase;

extern const NamedCase product_cases[], other_cases[];
extern const int n_product_cases, n_other_cases;
