/* BoundProgram: a recorded program, its plan, and the device memory that it runs in.
 *
 *   BoundProgram b = {0};
 *   TRY(program_create(device->target, false, &b.program));
 *   ... record into b.program ...
 *   TRY(bound_programs_plan(&b, 1));
 *   TRY(bound_programs_bind(&b, 1, device, "activations"));
 *   TRY(device_replay(device, b.program));
 *   bound_programs_destroy(&b, 1);
 *
 * Programs that never run at the same time are bound together and share the memory of the largest.
 * Functions take a list of them; an entry whose program is NULL is skipped. Not collective. */
#pragma once

#include "core/device.h"
#include "core/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BoundProgram {
    Program *program; /* owned, as is the plan */
    Plan *plan;
    Device *device; /* NULL until bound */
    void *memory;   /* of the entry that owns the list's memory; NULL for the others */
    size_t bytes;
} BoundProgram;

/* Plans each program. Errors: the first failure while recording; STATUS_OUT_OF_MEMORY. */
NODISCARD Status bound_programs_plan(BoundProgram *list, int n);

/* Bytes of memory that the list needs: the largest plan's. */
size_t bound_programs_bytes(const BoundProgram *list, int n);

/* Takes the memory, zeroed, and gives every buffer its address in it. `what` names the memory in
 * error messages. Bind once, before the first replay. Errors: STATUS_FAILURE, STATUS_OUT_OF_MEMORY.
 */
NODISCARD Status bound_programs_bind(BoundProgram *list, int n, Device *device, const char *what);

/* Frees programs, plans and memory, and clears the entries. */
void bound_programs_destroy(BoundProgram *list, int n);

#ifdef __cplusplus
}
#endif
