/* Mistral: Llama's layers with a sliding window of attention.
 *
 * Source: Jiang et al. 2023, arXiv:2310.06825, section 2 and table 1. */
#pragma once

#include "nn/models/family.h"

extern const ModelFamily mistral_family;
