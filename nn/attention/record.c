/* Attention and its gradient in a program. */
#include "core/autodiff.h"
#include "nn/attention/attention.h"

static const char *tensor_wrong(const Tensor *t, DType dtype, int64_t elements) {
    if (t == NULL) return "is missing";
    if (t->dtype != dtype) return "is of another dtype than the call says";
    return tensor_count(t) < elements ? "is smaller than the call says" : NULL;
}

static void tensor_check(Program *p, const char *name, const Tensor *t, DType dtype,
                         int64_t elements) {
    const char *why = program_failed(p) ? NULL : tensor_wrong(t, dtype, elements);
    if (why == NULL) return;
    program_fail(p, STATUS_CONFIG, "attention: %s %s: %s, but %s with %lld elements is needed",
                 name, why, t == NULL ? "there is none" : tensor_text(t), dtype_name(dtype),
                 (long long)elements);
}

static void masks_check(Program *p, const AttentionTensors *t, const AttentionCall *c) {
    if (c->ranges) {
        tensor_check(p, "key_ranges", t->key_ranges, DTYPE_I32, 2 * c->B * c->Tq);
        if (c->training)
            tensor_check(p, "query_ranges", t->query_ranges, DTYPE_I32, 2 * c->B * c->Tk);
    } else if (t->key_ranges != NULL || t->query_ranges != NULL) {
        program_fail(p, STATUS_CONFIG,
                     "attention: there are tensors of ranges, but the call has no ranges");
    }
    if (c->bias != BIAS_NONE) {
        tensor_check(p, "bias", t->bias, attention_bias_dtype(c),
                     attention_extent(c, ATTENTION_BIAS));
    } else if (t->bias != NULL) {
        program_fail(p, STATUS_CONFIG,
                     "attention: there is a tensor of a bias, but the call has no bias");
    }
}

static void tensors_check(Program *p, const AttentionTensors *t, const AttentionCall *c) {
    if (t->q_offset < 0 || t->k_offset < 0 || t->v_offset < 0) {
        program_fail(p, STATUS_CONFIG, "attention: an offset of q, k or v is below 0");
    }
    tensor_check(p, "q", t->q, c->dtype, t->q_offset + attention_extent(c, ATTENTION_Q));
    tensor_check(p, "k", t->k, c->dtype, t->k_offset + attention_extent(c, ATTENTION_K));
    tensor_check(p, "v", t->v, c->dtype, t->v_offset + attention_extent(c, ATTENTION_V));
    if (c->dropout > 0) tensor_check(p, "the step's state", t->step, DTYPE_U8, sizeof(StepState));
    masks_check(p, t, c);
}

/* How the gradients of q, k and v make up the gradient of a tensor (a bit for each that it
 * holds). */
typedef enum Cover {
    COVER_PARTS, /* each fills a part, and together they fill the tensor: one shared temporary */
    COVER_WHOLE, /* each is the whole tensor: one temporary each, to be summed */
    COVER_WRONG,
} Cover;

static int64_t elements_of(const AttentionCall *c, int which) {
    return which == 0 ? c->B * c->NH * c->Tq * c->HS : c->B * c->NH_kv * c->Tk * c->HS;
}

static Cover cover_of(const AttentionCall *c, Tensor *const qkv[3], const Tensor *t) {
    int64_t sum = 0;
    bool whole = true;
    for (int i = 0; i < 3; i++) {
        if (qkv[i] != t) continue;
        sum += elements_of(c, i);
        whole &= elements_of(c, i) == tensor_count(t);
    }
    return sum == tensor_count(t) ? COVER_PARTS : whole ? COVER_WHOLE : COVER_WRONG;
}

static int64_t bias_elements(const AttentionCall *c) {
    HeadLayout l = c->bias_layout;
    return c->Tk * (l.batch == 0 ? 1 : c->B) * (l.head == 0 ? 1 : c->NH) *
           (l.token == 0 ? 1 : c->Tq);
}

/* A gradient must have a value everywhere; elements outside of q, k and v would have none. */
static void gradients_check(Program *p, const AttentionTensors *t, const AttentionCall *c) {
    Tensor *const qkv[] = {t->q, t->k, t->v};
    for (int i = 0; i < 3 && !program_failed(p); i++) {
        bool is_filled =
            attention_is_apart(c, (AttentionOperand)i) && cover_of(c, qkv, qkv[i]) != COVER_WRONG;
        if (qkv[i]->needs_grad && !is_filled) {
            program_fail(p, STATUS_CONFIG,
                         "attention: q, k and v must fill %s, whose gradient is wanted, once",
                         tensor_text(qkv[i]));
        }
    }
    if (program_failed(p) || t->bias == NULL || !t->bias->needs_grad) return;
    bool is_dense =
        attention_is_apart(c, ATTENTION_BIAS) && bias_elements(c) == tensor_count(t->bias);
    if (c->bias != BIAS_ADDITIVE || !is_dense) {
        program_fail(p, STATUS_CONFIG,
                     "attention: a bias whose gradient is wanted is additive and dense, not %s",
                     tensor_text(t->bias));
    }
}

static Tensor *out_record(Program *p, const AttentionCall *c) {
    HeadLayout tokens = attention_tokens(c->Tq, c->NH, c->HS),
               heads = attention_heads(c->Tq, c->NH, c->HS), out = c->out;
    if (attention_same_layout(out, tokens)) {
        return program_tensor(p, BUFFER_ACTIVATIONS, c->dtype, 3,
                              (int64_t[]){c->B, c->Tq, c->NH * c->HS});
    }
    if (attention_same_layout(out, heads)) {
        return program_tensor(p, BUFFER_ACTIVATIONS, c->dtype, 4,
                              (int64_t[]){c->B, c->NH, c->Tq, c->HS});
    }
    return program_fail(p, STATUS_CONFIG,
                        "attention: out must be dense, by attention_tokens() or attention_heads()");
}

static Tensor *node_record(Program *p, const AttentionBackend *backend, const AttentionTensors *t,
                           const AttentionAttrs *attrs) {
    const AttentionCall *c = &attrs->call;
    const int64_t rows[] = {2, c->B, c->NH, c->Tq};
    DType lse_dtype = backend->lse;
    Tensor *out = out_record(p, c), *stats = NULL, *weights = NULL;
    Tensor *lse = program_tensor(p, BUFFER_ACTIVATIONS, lse_dtype, 3, rows + 1);
    if (c->training && !backend->saves_weights)
        stats = program_tensor(p, BUFFER_ACTIVATIONS, lse_dtype, 4, rows);
    if (backend->saves_weights) {
        weights = program_tensor(p, BUFFER_ACTIVATIONS, c->dtype, 4,
                                 (int64_t[]){c->B, c->NH, c->Tq, c->Tk});
    }
    program_record(
        p, (Recording){&attention_op, attrs, sizeof *attrs,
                       TENSORS(t->q, t->k, t->v, t->step, t->key_ranges, t->query_ranges, t->bias),
                       TENSORS(out, lse, stats, weights), &backend->forward});
    return out;
}

Tensor *attention_record_call(Program *p, const AttentionTensors *t, const AttentionCall *call,
                              const KernelChoice *choice) {
    if (program_failed(p)) return NULL;
    AttentionAttrs attrs = {*call, t->q_offset, t->k_offset, t->v_offset};
    KernelVerdict verdicts[KERNEL_MAX_CHOICES];
    const AttentionBackend *backend = NULL;
    int n_verdicts;
    attrs.call.training = p->training;
    if (!p->training) attrs.call.dropout = 0;
    program_check(p, attention_check(&attrs.call));
    if (!program_failed(p)) tensors_check(p, t, &attrs.call);
    if (!program_failed(p) && p->training) gradients_check(p, t, &attrs.call);
    if (program_failed(p)) return NULL;
    if (attrs.call.dropout > 0) attrs.call.stream = program_stream(p);
    program_check(p,
                  attention_pick(&attrs.call, &p->target, choice, verdicts, &n_verdicts, &backend));
    return program_failed(p) ? NULL : node_record(p, backend, t, &attrs);
}

static AttentionCall call_of(const Program *p, const Tensor *qkv, const AttentionOptions *options,
                             int64_t HS) {
    int64_t B = qkv->shape[0], T = qkv->shape[1], NH = options->NH,
            NH_kv = options->NH_kv == 0 ? NH : options->NH_kv;
    AttentionCall call =
        attention_call_packed(qkv->dtype, B, T, NH, HS, options->dropout, p->training);
    call.NH_kv = NH_kv;
    call.q = call.k = call.v = attention_packed(T, NH, NH_kv, HS);
    call.window = options->window >= T ? 0 : options->window;
    if (options->scale != 0) call.scale = (float)options->scale;
    call.softcap = options->softcap;
    call.ranges = options->documents != NULL;
    return call;
}

Tensor *attention_record(Program *p, Tensor *qkv, const AttentionOptions *options) {
    if (program_failed(p) || qkv == NULL) return NULL;
    int64_t NH = options->NH, NH_kv = options->NH_kv == 0 ? NH : options->NH_kv,
            HS = qkv->shape[2] / (NH + 2 * NH_kv);
    AttentionCall call = call_of(p, qkv, options, HS);
    AttentionTensors tensors = {.q = qkv,
                                .k = qkv,
                                .v = qkv,
                                .k_offset = NH * HS,
                                .v_offset = (NH + NH_kv) * HS,
                                .step = options->step,
                                .key_ranges = options->documents,
                                .query_ranges = options->documents};
    return attention_record_call(p, &tensors, &call, options->choice);
}

Tensor *attention_record_cached(Program *p, Tensor *qkv, Tensor *cache, Tensor *key_ranges,
                                const AttentionOptions *options) {
    if (program_failed(p) || qkv == NULL) return NULL;
    int64_t capacity = cache->shape[1], columns = cache->shape[2],
            HS = (qkv->shape[2] - columns) / options->NH;
    AttentionCall call = call_of(p, qkv, options, HS);
    call.k = call.v = (HeadLayout){.batch = capacity * columns, .token = columns, .head = HS};
    call.Tk = capacity;
    call.causal = CAUSAL_NONE;
    call.window = 0;
    call.ranges = true;
    AttentionTensors tensors = {
        .q = qkv, .k = cache, .v = cache, .v_offset = columns / 2, .key_ranges = key_ranges};
    return attention_record_call(p, &tensors, &call, options->choice);
}

/* The tensor into which a kernel writes the gradient of an input. */
typedef struct GradientPlace {
    Tensor *of, *grad;
    bool added; /* it is a temporary, to be added to the existing gradient */
} GradientPlace;

/* Kernels overwrite their outputs, so only a sole and first writer may write to the gradient
 * itself. */
static GradientPlace place_of(Program *p, Tensor *of, bool alone) {
    if (of->needs_grad && alone) {
        GradTarget target = autodiff_target(p, of);
        if (!target.accumulate) return (GradientPlace){of, target.grad, false};
        return (GradientPlace){of, program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, of), true};
    }
    return (GradientPlace){of, program_tensor_like(p, BUFFER_ACTIVATION_GRADIENTS, of),
                           of->needs_grad};
}

static void places_find(Program *p, const AttentionCall *call, Tensor *const *inputs,
                        GradientPlace places[3]) {
    for (int i = 0; i < 3; i++) {
        Cover cover = cover_of(call, inputs, inputs[i]);
        int same = 0;
        while (inputs[same] != inputs[i]) same++;
        if (same < i && cover == COVER_PARTS) {
            places[i] = (GradientPlace){inputs[i], places[same].grad, false};
        } else {
            places[i] = place_of(p, inputs[i], cover == COVER_PARTS);
        }
    }
}

void attention_gradient(Program *p, const Node *node) {
    const AttentionAttrs *attrs = node->attrs;
    const AttentionBackend *backend = attention_backend_of(node->kernel);
    Tensor *const *in = node->inputs;
    Tensor *dout = autodiff_gradient(p, node->outputs[0]), *bias = in[IN_BIAS];
    GradientPlace places[4] = {0};
    places_find(p, &attrs->call, in, places);
    if (bias != NULL && bias->needs_grad) places[3] = place_of(p, bias, true);
    program_record(
        p, (Recording){&attention_backward_op, attrs, sizeof *attrs,
                       TENSORS(in[IN_Q], in[IN_K], in[IN_V], in[IN_STEP], in[IN_KEY_RANGES],
                               in[IN_QUERY_RANGES], bias, node->outputs[0], node->outputs[1],
                               node->outputs[2], node->outputs[3], dout),
                       TENSORS(places[0].grad, places[1].grad, places[2].grad, places[3].grad),
                       &backend->backward});
    for (int i = 0; i < 4; i++) {
        if (places[i].added) autodiff_share(p, places[i].of, places[i].grad);
    }
}
