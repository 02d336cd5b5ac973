#include "nn/attention/cuda/common/tiled.h"

int64_t tiled_padded(int64_t rows) {
    return (rows + TILED_ROW_PAD - 1) / TILED_ROW_PAD * TILED_ROW_PAD;
}

size_t tiled_rows_bytes(const AttentionCall *call) {
    return 2 * sizeof(float) * (size_t)(call->B * call->NH * tiled_padded(call->Tq));
}

const char *tiled_refuses(const AttentionCall *call) {
    if (call->Tq < 1 || call->Tk < 1 || call->B < 1 || call->NH_kv < 1 ||
        call->NH % call->NH_kv != 0)
        return "needs at least one query, key and head, and NH a multiple of NH_kv";
    if (call->Tq > (1 << 28) || call->Tk > (1 << 28) || call->B > 65535 || call->NH > 65535)
        return "needs B and NH up to 65535, T up to 2^28";
    if (call->window < 0 || (call->window > 0 && call->causal == CAUSAL_NONE))
        return "needs a causal mask for a window";
    if (call->softcap > 0) return "has no softcap";
    return call->bias == BIAS_NONE ? NULL : "takes no arbitrary mask";
}

static bool layout_is_aligned(HeadLayout layout) {
    return layout.batch % 8 == 0 && layout.token % 8 == 0 && layout.head % 8 == 0;
}

const char *flash_refuses(const AttentionCall *call) {
    if (call->HS < 8 || call->HS > 256 || call->HS % 8 != 0)
        return "needs HS up to 256, a multiple of 8";
    if (!layout_is_aligned(call->q) || !layout_is_aligned(call->k) || !layout_is_aligned(call->v) ||
        !layout_is_aligned(call->out))
        return "needs strides that are multiples of 8 elements";
    return tiled_refuses(call);
}

int64_t flash_width(int64_t HS) { return HS > 128 ? 256 : (HS + 31) / 32 * 32; }
