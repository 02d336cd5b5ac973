#include "tests/nn/documents_helper.h"

#include "core/bound_program.h"
#include "core/rng.h"
#include "core/store.h"
#include "nn/attention/documents.h"

typedef struct Session {
    Store *store;
    BoundProgram bound;
} Session;

static Status session_run(Session *s, Device *device, int64_t B, int64_t T, const int32_t *tokens,
                          int32_t *ranges) {
    Section *section;
    Tensor *in;
    TRY(store_create(&s->store));
    TRY(store_section(s->store, "tokens", BUFFER_INPUTS, DTYPE_I32, &section));
    TRY(section_add(s->store, section, "tokens", 2, (int64_t[]){B, T}, &in));
    TRY(store_allocate(s->store, device));
    TRY(program_create(device->target, true, &s->bound.program));
    Tensor *out = documents_record(s->bound.program, in, DOCUMENTS_END);
    TRY(bound_programs_plan(&s->bound, 1));
    TRY(bound_programs_bind(&s->bound, 1, device, "a test"));
    TRY(device_upload(device, in, tokens));
    TRY(device_replay(device, s->bound.program));
    return device_download(device, ranges, out);
}

Status documents_by(Device *device, int64_t B, int64_t T, const int32_t *tokens, int32_t *ranges) {
    Session session = {0};
    Status status = session_run(&session, device, B, T, tokens, ranges);
    bound_programs_destroy(&session.bound, 1);
    store_destroy(&session.store);
    return status;
}

void documents_random(int64_t count, uint32_t rarity, uint64_t seed, int32_t *tokens) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = philox(seed, (uint64_t)i, rarity).word[0];
        tokens[i] = word % rarity == 0 ? DOCUMENTS_END : (int32_t)(word % 1000 + 4);
    }
}
