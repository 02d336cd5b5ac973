#include "launch/config/resolved.h"

Resolved resolved_from(const Config *config) {
    return (Resolved){.vocab_size = config->model.V,
                      .end_of_text = config->data.end_of_text,
                      .batch_size = config->data.batch_size,
                      .batch_schedule = config->training.batch_schedule,
                      .backends = config->attention.backends};
}

/* The saved list is a choice of the run only if a single backend was selected by its speed. */
static void backends_adopt(ConfigChoices *backends, const ConfigAttention *now,
                           const ConfigAttention *saved) {
    if (now->pick == CONFIG_PICK_ORDER || saved->pick != now->pick || saved->backends.count != 1)
        return;
    for (int i = 0; i < now->backends.count; i++) {
        if (now->backends.items[i] == saved->backends.items[0]) *backends = saved->backends;
    }
}

static int64_t value_of(int64_t now, int64_t saved) { return now == CONFIG_AUTO ? saved : now; }

void resolved_adopt(Resolved *resolved, const Config *config, const Config *saved) {
    resolved->vocab_size = value_of(config->model.V, saved->model.V);
    resolved->end_of_text = value_of(config->data.end_of_text, saved->data.end_of_text);
    resolved->batch_size = value_of(config->data.batch_size, saved->data.batch_size);
    backends_adopt(&resolved->backends, &config->attention, &saved->attention);
}

Config config_resolved(const Config *config, const Resolved *resolved) {
    Config copy = *config;
    copy.model.V = resolved->vocab_size;
    copy.data.end_of_text = resolved->end_of_text;
    copy.data.batch_size = resolved->batch_size;
    copy.training.batch_schedule = resolved->batch_schedule;
    copy.attention.backends = resolved->backends;
    return copy;
}
