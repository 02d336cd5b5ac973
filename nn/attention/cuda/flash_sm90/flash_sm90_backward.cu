/* The backward direction: one fused pass or two, and the parts of its workspace. */
#include "nn/attention/attention.h"
#include "nn/attention/cuda/flash_sm90/flash_sm90.cuh"

/* dq's sums come first, because bulk copies need 16-byte alignment. */
static void cut_workspace(FlashParams *p, const AttentionCall *call) {
    p->dq_sums = p->delta + (p->delta - p->lse2);
    p->lost = (int *)((char *)p->dq_sums + flash_fused_sums(call));
    p->lost_k = p->lost + flash_flags_of_queries(call) / sizeof(int);
    p->lost_v = p->lost_k + flash_flags_of_keys(call) / sizeof(int);
    p->turns = p->lost_v + flash_flags_of_keys(call) / sizeof(int);
}

Status flash_sm90_backward(const AttentionCall *call, const AttentionArgs *args,
                           void *cuda_stream) {
    FlashParams p;
    cudaStream_t stream = (cudaStream_t)cuda_stream;
    TRY(flash_params(call, args, true, &p));
    cut_workspace(&p, call);
    if (flash_is_fused(call)) {
        TRY(flash_sm90_rows(call, p, stream));
        TRY(flash_sm90_fused(call, p, stream));
        TRY(flash_sm90_dq_of_sums(call, p, stream));
    } else {
        TRY(flash_sm90_dq(call, p, stream));
        TRY(flash_sm90_dkdv(call, p, stream));
    }
    return flash_sm90_again_backward(call, p, stream);
}

extern "C" Status flash_sm90_backward_cuda(const Node *node, void *stream) {
    AttentionArgs args = attention_backward_args(node);
    return flash_sm90_backward(attention_call(node), &args, stream);
}
