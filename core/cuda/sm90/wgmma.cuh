/* wgmma.mma_async in C++: d (64 x N, f32) += A (64 x 16) B (16 x N), asynchronously.
 *
 *   group_fence(d...)       before the first product: the registers are settled
 *   wgmma_shared            A from shared memory, both operands K-major
 *   wgmma_rows              A from shared memory, both contracted over their rows (MN-major)
 *   wgmma_registers         A from registers, B contracted over its rows (MN-major)
 *   group_commit, group_wait<pending>(d...)     d is readable once at most `pending` later groups
 *                                               run
 *
 * The empty asm statements pin the accumulators, so that the compiler moves none of their uses over
 * a fence or a wait. An accumulator holds, for block n of 8 columns, d[4n..4n+3]: (g, 2t), (g,
 * 2t+1), (g+8, 2t), (g+8, 2t+1), where lane = 4 g + t and warp w of the group owns rows 16 w.
 * Source: PTX ISA, "wgmma.mma_async". */
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

template <int COUNT>
__device__ __forceinline__ void pin(float (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(d[i])::"memory");
}

/* The values are not needed any more, so that a product that overwrites them needs no registers for
 * them until it starts. */
template <int COUNT>
__device__ __forceinline__ void forget(float (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "=f"(d[i]));
}

__device__ __forceinline__ void pin(uint32_t (&a)[4]) {
    asm volatile("" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
}

template <typename... Accumulators>
__device__ __forceinline__ void group_fence(Accumulators &...d) {
    (pin(d), ...);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void group_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int PENDING, typename... Accumulators>
__device__ __forceinline__ void group_wait(Accumulators &...d) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
    (pin(d), ...);
}

/* HIGH: the high word of every descriptor; a and b are the low words. */
template <typename T, int N, uint32_t HIGH>
struct Wgmma;
template <typename T, int N, uint32_t HIGH>
__device__ __forceinline__ void wgmma_shared(float (&d)[N / 2], uint32_t a, uint32_t b,
                                             bool accumulate) {
    Wgmma<T, N, HIGH>::template shared<0>(d, a, b, accumulate);
}

template <typename T, int N, uint32_t HIGH>
__device__ __forceinline__ void wgmma_rows(float (&d)[N / 2], uint32_t a, uint32_t b,
                                           bool accumulate) {
    Wgmma<T, N, HIGH>::template shared<1>(d, a, b, accumulate);
}

template <typename T, int N, uint32_t HIGH>
__device__ __forceinline__ void wgmma_registers(float (&d)[N / 2], const uint32_t (&a)[4],
                                                uint32_t b) {
    Wgmma<T, N, HIGH>::registers(d, a, b);
}

/* clang-format off */
#define OUT8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), \
    "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define OUTS_32 OUT8(0), OUT8(8)
#define LIST_32 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define OUTS_64 OUT8(0), OUT8(8), OUT8(16), OUT8(24)
#define LIST_64 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define OUTS_96 OUT8(0), OUT8(8), OUT8(16), OUT8(24), OUT8(32), OUT8(40)
#define LIST_96 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define OUTS_128 OUT8(0), OUT8(8), OUT8(16), OUT8(24), OUT8(32), OUT8(40), OUT8(48), OUT8(56)
#define LIST_128 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

#define OUTS_192 OUT8(0), OUT8(8), OUT8(16), OUT8(24), OUT8(32), OUT8(40), OUT8(48), OUT8(56), \
    OUT8(64), OUT8(72), OUT8(80), OUT8(88)
#define LIST_192 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"

#define OUTS_256 OUT8(0), OUT8(8), OUT8(16), OUT8(24), OUT8(32), OUT8(40), OUT8(48), OUT8(56), \
    OUT8(64), OUT8(72), OUT8(80), OUT8(88), OUT8(96), OUT8(104), OUT8(112), OUT8(120)
#define LIST_256 \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, " \
    "%120, %121, %122, %123, %124, %125, %126, %127"

#define DEFINE_WGMMA(TYPE, NAME, N, LIST, OUTS, I0, I1, I2, I3, I4, I5)                            \
    template <uint32_t HIGH>                                                                       \
    struct Wgmma<TYPE, N, HIGH> {                                                                  \
        template <int ROWS>                                                                        \
        __device__ static __forceinline__ void shared(float (&d)[N / 2], uint32_t a, uint32_t b,   \
                                                      bool accumulate) {                           \
            asm volatile("{\n.reg .pred p;\n.reg .b64 a, b;\nsetp.ne.b32 p, %" I2 ", 0;\n"         \
                         "mov.b64 a, {%" I0 ", %" I3 "};\nmov.b64 b, {%" I1 ", %" I3 "};\n"        \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." NAME "." NAME           \
                         " {" LIST "}, "                                                           \
                         "a, b, p, 1, 1, %" I4 ", %" I4 ";\n}"                                      \
                         : OUTS : "r"(a), "r"(b), "r"((int)accumulate), "n"(HIGH), "n"(ROWS));     \
        }                                                                                          \
        __device__ static __forceinline__ void registers(float (&d)[N / 2],                        \
                                                         const uint32_t (&a)[4], uint32_t b) {     \
            asm volatile("{\n.reg .pred p;\n.reg .b64 b;\nsetp.eq.b32 p, 0, 0;\n"                  \
                         "mov.b64 b, {%" I4 ", %" I5 "};\n"                                        \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." NAME "." NAME           \
                         " {" LIST "}, "                                                           \
                         "{%" I0 ", %" I1 ", %" I2 ", %" I3 "}, b, p, 1, 1, 1;\n}"                 \
                         : OUTS : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b), "n"(HIGH));  \
        }                                                                                          \
    };
DEFINE_WGMMA(__nv_bfloat16, "bf16", 32, LIST_32, OUTS_32, "16", "17", "18", "19", "20", "21")
DEFINE_WGMMA(__half, "f16", 32, LIST_32, OUTS_32, "16", "17", "18", "19", "20", "21")
DEFINE_WGMMA(__nv_bfloat16, "bf16", 64, LIST_64, OUTS_64, "32", "33", "34", "35", "36", "37")
DEFINE_WGMMA(__half, "f16", 64, LIST_64, OUTS_64, "32", "33", "34", "35", "36", "37")
DEFINE_WGMMA(__nv_bfloat16, "bf16", 96, LIST_96, OUTS_96, "48", "49", "50", "51", "52", "53")
DEFINE_WGMMA(__half, "f16", 96, LIST_96, OUTS_96, "48", "49", "50", "51", "52", "53")
DEFINE_WGMMA(__nv_bfloat16, "bf16", 128, LIST_128, OUTS_128, "64", "65", "66", "67", "68", "69")
DEFINE_WGMMA(__half, "f16", 128, LIST_128, OUTS_128, "64", "65", "66", "67", "68", "69")
DEFINE_WGMMA(__half, "f16", 192, LIST_192, OUTS_192, "96", "97", "98", "99", "100", "101")
DEFINE_WGMMA(__nv_bfloat16, "bf16", 256, LIST_256, OUTS_256, "128", "129", "130", "131", "132",
             "133")
DEFINE_WGMMA(__half, "f16", 256, LIST_256, OUTS_256, "128", "129", "130", "131", "132", "133")
/* clang-format on */
