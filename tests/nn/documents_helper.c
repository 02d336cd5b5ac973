#include "tests/nn/documents_helper.h"

#include "core/plan.h"
#include "core/rng.h"
#include "core/store.h"
#include "nn/attention/documents.h"

typedef struct Session {
    Store *store;
    Program *program;
    Plan *plan;
    void *arena;
} Session;

static Status session_run(Session *s, Device *device, int64_t B, int64_t T, const int32_t *tokens,
                          int32_t *ranges) {
    Section *section;
    Tensor *in;
    TRY(store_create(&s->store));
    TRY(store_section(s->store, "tokens", BUFFER_INPUTS, DTYPE_I32, &section));
    TRY(section_add(s->store, section, "tokens", 2, (int64_t[]){B, T}, &in));
    TRY(store_allocate(s->store, device));
    TRY(program_create(device->target, true, &s->program));
    Tensor *out = documents_record(s->program, in, DOCUMENTS_END);
    TRY(program_status(s->program));
    TRY(plan_create(s->program, &s->plan));
    TRY(device_alloc(device, s->plan->bytes, "a test", &s->arena));
    plan_bind(s->plan, s->program, s->arena);
    TRY(device_upload(device, in, tokens));
    TRY(device_replay(device, s->program));
    return device_download(device, ranges, out);
}

Status documents_by(Device *device, int64_t B, int64_t T, const int32_t *tokens, int32_t *ranges) {
    Session session = {0};
    Status status = session_run(&session, device, B, T, tokens, ranges);
    if (session.arena != NULL) device_free(device, session.arena, session.plan->bytes);
    plan_destroy(&session.plan);
    program_destroy(&session.program);
    store_destroy(&session.store);
    return status;
}

void documents_random(int64_t count, uint32_t rarity, uint64_t seed, int32_t *tokens) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = philox(seed, (uint64_t)i, rarity).word[0];
        tokens[i] = word % rarity == 0 ? DOCUMENTS_END : (int32_t)(word % 1000 + 4);
    }
}
