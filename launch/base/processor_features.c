/* Compiled like all other sources, so that the compiler's macros give the features in use. Data
 * alone: a processor without these features can read it. */
#include "launch/base/processor.h"

#define TEXT(...) #__VA_ARGS__
#define EXPANDED(...) TEXT(__VA_ARGS__)
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { EAX, EBX, ECX, EDX };
enum { YMM = 0x6, ZMM = 0xe6, AMX = 0x60000 };
#define EXTENDED 0x80000001

const char processor_march[] = EXPANDED(HOURGLASS_MARCH);

const ProcessorFeature processor_features[] = {
    {"sse3", EXPANDED(__SSE3__), 1, 0, ECX, 0, 0},
    {"pclmul", EXPANDED(__PCLMUL__), 1, 0, ECX, 1, 0},
    {"ssse3", EXPANDED(__SSSE3__), 1, 0, ECX, 9, 0},
    {"fma", EXPANDED(__FMA__), 1, 0, ECX, 12, YMM},
    {"sse4.1", EXPANDED(__SSE4_1__), 1, 0, ECX, 19, 0},
    {"sse4.2", EXPANDED(__SSE4_2__), 1, 0, ECX, 20, 0},
    {"movbe", EXPANDED(__MOVBE__), 1, 0, ECX, 22, 0},
    {"popcnt", EXPANDED(__POPCNT__), 1, 0, ECX, 23, 0},
    {"aes", EXPANDED(__AES__), 1, 0, ECX, 25, 0},
    {"avx", EXPANDED(__AVX__), 1, 0, ECX, 28, YMM},
    {"f16c", EXPANDED(__F16C__), 1, 0, ECX, 29, YMM},
    {"bmi", EXPANDED(__BMI__), 7, 0, EBX, 3, 0},
    {"avx2", EXPANDED(__AVX2__), 7, 0, EBX, 5, YMM},
    {"bmi2", EXPANDED(__BMI2__), 7, 0, EBX, 8, 0},
    {"avx512f", EXPANDED(__AVX512F__), 7, 0, EBX, 16, ZMM},
    {"avx512dq", EXPANDED(__AVX512DQ__), 7, 0, EBX, 17, ZMM},
    {"adx", EXPANDED(__ADX__), 7, 0, EBX, 19, 0},
    {"avx512ifma", EXPANDED(__AVX512IFMA__), 7, 0, EBX, 21, ZMM},
    {"avx512pf", EXPANDED(__AVX512PF__), 7, 0, EBX, 26, ZMM},
    {"avx512er", EXPANDED(__AVX512ER__), 7, 0, EBX, 27, ZMM},
    {"avx512cd", EXPANDED(__AVX512CD__), 7, 0, EBX, 28, ZMM},
    {"sha", EXPANDED(__SHA__), 7, 0, EBX, 29, 0},
    {"avx512bw", EXPANDED(__AVX512BW__), 7, 0, EBX, 30, ZMM},
    {"avx512vl", EXPANDED(__AVX512VL__), 7, 0, EBX, 31, ZMM},
    {"avx512vbmi", EXPANDED(__AVX512VBMI__), 7, 0, ECX, 1, ZMM},
    {"avx512vbmi2", EXPANDED(__AVX512VBMI2__), 7, 0, ECX, 6, ZMM},
    {"gfni", EXPANDED(__GFNI__), 7, 0, ECX, 8, 0},
    {"vaes", EXPANDED(__VAES__), 7, 0, ECX, 9, YMM},
    {"vpclmulqdq", EXPANDED(__VPCLMULQDQ__), 7, 0, ECX, 10, YMM},
    {"avx512vnni", EXPANDED(__AVX512VNNI__), 7, 0, ECX, 11, ZMM},
    {"avx512bitalg", EXPANDED(__AVX512BITALG__), 7, 0, ECX, 12, ZMM},
    {"avx512vpopcntdq", EXPANDED(__AVX512VPOPCNTDQ__), 7, 0, ECX, 14, ZMM},
    {"avx5124vnniw", EXPANDED(__AVX5124VNNIW__), 7, 0, EDX, 2, ZMM},
    {"avx5124fmaps", EXPANDED(__AVX5124FMAPS__), 7, 0, EDX, 3, ZMM},
    {"avx512vp2intersect", EXPANDED(__AVX512VP2INTERSECT__), 7, 0, EDX, 8, ZMM},
    {"amx-bf16", EXPANDED(__AMX_BF16__), 7, 0, EDX, 22, AMX},
    {"avx512fp16", EXPANDED(__AVX512FP16__), 7, 0, EDX, 23, ZMM},
    {"amx-tile", EXPANDED(__AMX_TILE__), 7, 0, EDX, 24, AMX},
    {"amx-int8", EXPANDED(__AMX_INT8__), 7, 0, EDX, 25, AMX},
    {"avxvnni", EXPANDED(__AVXVNNI__), 7, 1, EAX, 4, YMM},
    {"avx512bf16", EXPANDED(__AVX512BF16__), 7, 1, EAX, 5, ZMM},
    {"avxifma", EXPANDED(__AVXIFMA__), 7, 1, EAX, 23, YMM},
    {"lzcnt", EXPANDED(__LZCNT__), EXTENDED, 0, ECX, 5, 0},
    {"sse4a", EXPANDED(__SSE4A__), EXTENDED, 0, ECX, 6, 0},
    {"xop", EXPANDED(__XOP__), EXTENDED, 0, ECX, 11, YMM},
    {"fma4", EXPANDED(__FMA4__), EXTENDED, 0, ECX, 16, YMM},
    {"tbm", EXPANDED(__TBM__), EXTENDED, 0, ECX, 21, 0},
};
const size_t processor_feature_count = COUNT(processor_features);
