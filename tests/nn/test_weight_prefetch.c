/* Weight prefetch with a sharded optimizer, for a model with more buckets than are gathered ahead:
 * every read follows its wait, and at the end of a program nothing is in flight. Programs are
 * recorded, not run. */
#include "nn/optim/buckets.h"
#include "nn/optim/weight_prefetch.h"
#include "tests/harness.h"
#include "tests/nn/model_helper.h"

#include <string.h>

enum { MOST = 1024 };

/* Calls that the simulated collectives have received. */
typedef struct Told {
    const char *weights;
    int64_t started[MOST]; /* the first byte of each collective that has started */
    int n_started, n_done, most_left;
} Told;

static Status start(void *self, void *data, int64_t count, DType dtype, const char *label,
                    void *stream) {
    Told *told = self;
    (void)count, (void)dtype, (void)label, (void)stream;
    if (told->n_started == MOST) return ERROR(STATUS_FAILURE, "too many collectives");
    told->started[told->n_started++] = (const char *)data - told->weights;
    return OK;
}

static Status wait_for(void *self, int left, void *stream) {
    Told *told = self;
    (void)stream;
    if (told->n_started - left > told->n_done) told->n_done = told->n_started - left;
    if (left > told->most_left) told->most_left = left;
    return OK;
}

typedef struct Setting {
    TestModel model;
    Collectives collectives;
    Told told;
} Setting;

/* The weights have an address but no memory. */
static char nowhere;

static Status setting_create(int64_t accumulation, bool shares, Setting *s) {
    ModelOptions options = model_tiny();
    s->told.weights = &nowhere;
    s->collectives = (Collectives){.self = &s->told,
                                   .rank = 1,
                                   .size = 2,
                                   .all_reduce_start = start,
                                   .reduce_scatter_start = start,
                                   .all_gather_start = start,
                                   .wait = wait_for};
    options.config = (ModelConfig){
        MODEL_CONFIG_DEFAULTS, .V = 61, .Vp = 64, .T = 8, .L = 48, .NH = 25, .C = 1600};
    options.B = 1;
    options.accumulation = accumulation;
    options.collectives = &s->collectives;
    options.shards_optimizer = shares;
    TRY(model_record(&options, &s->model));
    s->model.parameters->weights->buffer.data = &nowhere;
    return OK;
}

static void setting_destroy(Setting *s) {
    if (s->model.parameters != NULL) s->model.parameters->weights->buffer.data = NULL;
    test_model_destroy(&s->model);
}

static bool is_collective(const Node *node) {
    const char *name = node->op->name;
    return strcmp(name, "all_gather") == 0 || strcmp(name, "wait") == 0;
}

/* Whether this program has gathered the bucket that starts at this byte, and waited for it. */
static bool is_whole(const Told *told, int64_t byte) {
    for (int i = 0; i < told->n_done; i++) {
        if (told->started[i] == byte) return true;
    }
    return false;
}

/* The number of weights in late buckets that a node reads too early. */
static int early_reads(const Setting *s, const Node *node) {
    const Parameters *parameters = s->model.parameters;
    int early = 0, late = weight_prefetch_late(parameters);
    for (int i = 0; i < node->n_inputs; i++) {
        for (int n = 0; n < late; n++) {
            ElementRange bucket = parameters->buckets[n];
            if (!bucket_holds(parameters->weights, bucket, node->inputs[i])) continue;
            early += !is_whole(&s->told, bucket.first * (int64_t)sizeof(float));
        }
    }
    return early;
}

/* Checks a program; the reads of its forward and backward come before its update. Returns the
 * number of gathers. */
static int walk(Setting *s, const Program *p, bool gathers) {
    int early = 0;
    bool updates = false;
    s->told.n_started = s->told.n_done = 0;
    for (int n = 0; n < p->n_nodes; n++) {
        const Node *node = p->nodes[n];
        updates |= strcmp(node->op->name, "norm") == 0;
        if (is_collective(node) && !updates) CHECK_OK(node_run(node, NULL));
        if (gathers && !updates) early += early_reads(s, node);
    }
    CHECK(early == 0);
    CHECK(s->told.n_done == s->told.n_started);
    return s->told.n_started;
}

static void nothing_is_read_too_early(void) {
    Setting s = {0};
    if (CHECK_OK(setting_create(1, true, &s))) {
        int late = weight_prefetch_late(s.model.parameters);
        CHECK(late > 100 &&
              late == s.model.parameters->n_buckets -
                          3); /* all except the embeddings', the vectors' and the first layer's */
        CHECK(walk(&s, s.model.training->programs[MICRO_ONLY].program, true) == late);
        CHECK(s.told.most_left > 4 && s.told.most_left < 64); /* the number that GPUs can track */
        CHECK(walk(&s, s.model.training->programs[WEIGHT_GATHERING].program, false) == late);
        CHECK(walk(&s, s.model.training->programs[EVALUATION].program, false) == 0);
    }
    setting_destroy(&s);
}

static void only_the_first_micro_batch_gathers(void) {
    Setting s = {0};
    if (CHECK_OK(setting_create(3, true, &s))) {
        int late = weight_prefetch_late(s.model.parameters);
        CHECK(walk(&s, s.model.training->programs[MICRO_FIRST].program, true) == late);
        CHECK(walk(&s, s.model.training->programs[MICRO_MIDDLE].program, false) == 0);
        CHECK(walk(&s, s.model.training->programs[MICRO_LAST].program, false) == 0);
    }
    setting_destroy(&s);
}

static void whole_weights_are_not_gathered(void) {
    Setting s = {0};
    if (CHECK_OK(setting_create(1, false, &s))) {
        CHECK(weight_prefetch_late(s.model.parameters) == 0 &&
              s.model.training->programs[WEIGHT_GATHERING].program == NULL);
        CHECK(walk(&s, s.model.training->programs[MICRO_ONLY].program, false) == 0);
        CHECK_OK(training_gather_weights(s.model.training));
    }
    setting_destroy(&s);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(nothing_is_read_too_early),
        TEST(only_the_first_micro_batch_gathers),
        TEST(whole_weights_are_not_gathered),
    };
    return harness_run(argc, argv, "gather", tests, COUNT(tests));
}
