#include "core/bound_program.h"

Status bound_programs_plan(BoundProgram *list, int n) {
    for (int i = 0; i < n; i++) {
        if (list[i].program == NULL) continue;
        TRY(program_status(list[i].program));
        TRY(plan_create(list[i].program, &list[i].plan));
    }
    return OK;
}

size_t bound_programs_bytes(const BoundProgram *list, int n) {
    size_t most = 0;
    for (int i = 0; i < n; i++) {
        if (list[i].plan != NULL && list[i].plan->bytes > most) most = list[i].plan->bytes;
    }
    return most;
}

Status bound_programs_bind(BoundProgram *list, int n, Device *device, const char *what) {
    size_t bytes = bound_programs_bytes(list, n);
    void *memory = NULL;
    TRY(device_alloc(device, bytes, what, &memory));
    list[0].device = device;
    list[0].memory = memory;
    list[0].bytes = bytes;
    for (int i = 0; i < n; i++) {
        list[i].device = device;
        if (list[i].program != NULL) plan_bind(list[i].plan, list[i].program, memory);
    }
    return OK;
}

void bound_programs_destroy(BoundProgram *list, int n) {
    for (int i = 0; i < n; i++) {
        if (list[i].memory != NULL) device_free(list[i].device, list[i].memory, list[i].bytes);
        plan_destroy(&list[i].plan);
        program_destroy(&list[i].program);
        list[i] = (BoundProgram){0};
    }
}
