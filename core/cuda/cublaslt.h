/* libcublasLt, loaded by dlopen when the first GPU is opened. At the start of a program it would
 * cost 0.2 s for 540 MB of library to map and to relocate, even where no GPU is used. */
#pragma once

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Afterwards the functions of <cublasLt.h> may be called. Not thread-safe. Errors: STATUS_CONFIG if
 * the library is missing or lacks a function. */
NODISCARD Status cublaslt_load(void);

#ifdef __cplusplus
}
#endif
