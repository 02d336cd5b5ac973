/* flash's row for sm_90. */
#include "nn/attention/cuda/flash_sm90/flash_sm90.h"

#include "nn/attention/backend.h"
#include "nn/attention/cuda/common/tiled.h"

/* The shortest T of the fused backward pass. At T=1024 two passes are 4% faster where each of many
 * heads of 64 has its own keys, and 4% to 13% slower otherwise. */
enum { FLASH_FUSED_LENGTH = 1024, FLASH_FUSED_LENGTH_64 = 2048 };

/* The most keys a query: where the blocks of a head are more than its tiles of queries, they wait
 * for their turns. */
enum { FLASH_FUSED_KEYS = 8 };

DECLARE_KERNELS(flash_sm90_forward);
DECLARE_KERNELS(flash_sm90_backward);

size_t flash_flags_of_queries(const AttentionCall *call) {
    return sizeof(int) * (size_t)(call->B * call->NH * tiled_padded(call->Tq) / 16);
}

size_t flash_flags_of_keys(const AttentionCall *call) {
    return sizeof(int) * (size_t)(call->B * call->NH_kv * tiled_padded(call->Tk) / 16);
}

bool flash_is_fused(const AttentionCall *call) {
    int64_t width = flash_width(call->HS), T = call->Tq < call->Tk ? call->Tq : call->Tk;
    if ((width != 64 && width != 128) || call->ranges || call->dropout > 0.0) return false;
    if (call->Tk > FLASH_FUSED_KEYS * call->Tq) return false;
    bool is_small = width == 64 && call->NH == call->NH_kv;
    return T >= (is_small ? FLASH_FUSED_LENGTH_64 : FLASH_FUSED_LENGTH);
}

static size_t fused_elements(const AttentionCall *call) {
    if (!flash_is_fused(call)) return 0;
    return (size_t)(call->B * call->NH * tiled_padded(call->Tq) * flash_width(call->HS));
}

size_t flash_fused_sums(const AttentionCall *call) { return sizeof(float) * fused_elements(call); }

size_t flash_fused_turns(const AttentionCall *call) {
    return sizeof(int) * (fused_elements(call) / FLASH_FUSED_TILE);
}

/* A stride of 0, one row or head for all, which a tensor map cannot express. */
static bool is_expanded(HeadLayout layout, int64_t B, int64_t heads) {
    return (layout.batch == 0 && B > 1) || (layout.head == 0 && heads > 1);
}

static const char *refuses(const Node *node, const Target *target) {
    const AttentionCall *call = attention_call(node);
    if (target->sm != 90) return "needs sm_90";
    if (!(call->scale > 0.0f)) return "needs a positive scale";
    if (is_expanded(call->q, call->B, call->NH) || is_expanded(call->k, call->B, call->NH_kv) ||
        is_expanded(call->v, call->B, call->NH_kv))
        return "needs rows and heads apart, not one for all by a stride of 0";
    if (call->Tq > 65535 * 64 || call->Tk > 65535 * 64)
        return "needs T up to 4194240"; /* 65535 blocks of 64 */
    return flash_refuses(call);
}

static bool has_heads_of_128(const Node *node) { return attention_call(node)->HS == 128; }

static bool is_fused(const Node *node) { return flash_is_fused(attention_call(node)); }

static size_t forward_workspace(const Node *node, const Target *target) {
    (void)target;
    return flash_flags_of_queries(attention_call(node));
}

static size_t backward_workspace(const Node *node, const Target *target) {
    (void)target;
    const AttentionCall *call = attention_call(node);
    return tiled_rows_bytes(call) + flash_fused_sums(call) + flash_flags_of_queries(call) +
           2 * flash_flags_of_keys(call) + flash_fused_turns(call);
}

const AttentionBackend attention_flash_sm90 = {
    .forward =
        CUDA_ROW(flash_sm90_forward, DTYPES_HALF, ATTENTION_FORWARD("flash"), .refuses = refuses,
                 .workspace = forward_workspace, .speed = FLASH_FORWARD_SPEED,
                 .is_simple = has_heads_of_128, .simple_speed = FLASH_FORWARD_SPEED_128),
    .backward =
        CUDA_ROW(flash_sm90_backward, DTYPES_HALF, ATTENTION_BACKWARD("flash"),
                 .workspace = backward_workspace, .yields = true, .speed = FLASH_BACKWARD_SPEED,
                 .is_simple = is_fused, .simple_speed = FLASH_BACKWARD_SPEED_FUSED),
    .lse = DTYPE_F32,
};
