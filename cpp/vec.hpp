// Vectors of W floats through the compiler's vector types, so that one source serves every instruction set.
// Included only by isa_kernels.cpp: everything lives in the namespace of one instruction set, and nothing
// here instantiates library templates, whose code the linker could share with another set's copy.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace crossfm::CROSSFM_ISA {

typedef float Vec4 __attribute__((vector_size(16)));
typedef float Vec8 __attribute__((vector_size(32)));
typedef float Vec16 __attribute__((vector_size(64)));

typedef int32_t Int4 __attribute__((vector_size(16)));
typedef int32_t Int8 __attribute__((vector_size(32)));
typedef int32_t Int16 __attribute__((vector_size(64)));

template <class V>
struct MaskFor;
template <>
struct MaskFor<Vec4> {
  using type = Int4;
};
template <>
struct MaskFor<Vec8> {
  using type = Int8;
};
template <>
struct MaskFor<Vec16> {
  using type = Int16;
};
template <class V>
using MaskOf = typename MaskFor<V>::type;

template <int W>
struct VecOf;
template <>
struct VecOf<8> {
  using type = Vec8;
};
template <>
struct VecOf<16> {
  using type = Vec16;
};

template <class T>
inline constexpr int lanes = sizeof(T) / sizeof(float);

template <class V>
inline V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}

// The first n floats, zeros behind them.
template <class V>
inline V load_first(const float* p, int n) {
  V v{};
  std::memcpy(&v, p, sizeof(float) * static_cast<std::size_t>(n));
  return v;
}

template <class V>
inline void store(float* p, V v) {
  std::memcpy(p, &v, sizeof(V));
}

// Halves added to halves: log2(lanes) additions one after another, not lanes of them.
inline float sum(Vec4 v) {
  const Vec4 two = v + __builtin_shufflevector(v, v, 2, 3, 0, 1);
  return two[0] + two[1];
}

inline float sum(Vec8 v) {
  return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7));
}

inline float sum(Vec16 v) {
  return sum(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
             __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
}

// The value rounded to float before it is used: keeps a product out of a fused multiply-add.
#if defined(__has_builtin)
#if __has_builtin(__builtin_assoc_barrier)
#define CROSSFM_ROUNDED(x) __builtin_assoc_barrier(x)
#elif __has_builtin(__arithmetic_fence)
#define CROSSFM_ROUNDED(x) __arithmetic_fence(x)
#endif
#endif
#if !defined(CROSSFM_ROUNDED)
#define CROSSFM_ROUNDED(x) (x)
#endif

inline float vsqrt(float x) { return __builtin_sqrtf(x); }

// As the vectors' below: one weight moves by the same rule whether it stands alone or in a vector.
inline float vrsqrt(float x) {
#if defined(__AVX__)
  const float r = _mm_cvtss_f32(_mm_rsqrt_ss(_mm_set_ss(x)));
  return r * (1.5f - 0.5f * x * r * r);
#else
  return 1.0f / __builtin_sqrtf(x);
#endif
}

inline Vec4 vsqrt(Vec4 x) {
#if defined(__SSE2__)
  return (Vec4)_mm_sqrt_ps((__m128)x);
#else
  Vec4 r;
  for (int i = 0; i < 4; ++i) r[i] = __builtin_sqrtf(x[i]);
  return r;
#endif
}

inline Vec4 vrsqrt(Vec4 x) {
#if defined(__AVX__)
  const Vec4 r = (Vec4)_mm_rsqrt_ps((__m128)x);
  return r * (1.5f - 0.5f * x * r * r);
#else
  Vec4 r;
  for (int i = 0; i < 4; ++i) r[i] = 1.0f / __builtin_sqrtf(x[i]);
  return r;
#endif
}

inline Vec8 vsqrt(Vec8 x) {
#if defined(__AVX__)
  return (Vec8)_mm256_sqrt_ps((__m256)x);
#else
  Vec8 r;
  for (int i = 0; i < 8; ++i) r[i] = __builtin_sqrtf(x[i]);
  return r;
#endif
}

// 1 / sqrt(x) for x > 0: the hardware's estimate with one Newton step, right to about 2e-7.
inline Vec8 vrsqrt(Vec8 x) {
#if defined(__AVX__)
  const Vec8 r = (Vec8)_mm256_rsqrt_ps((__m256)x);
  return r * (1.5f - 0.5f * x * r * r);
#else
  Vec8 r;
  for (int i = 0; i < 8; ++i) r[i] = 1.0f / __builtin_sqrtf(x[i]);
  return r;
#endif
}

inline Vec16 vsqrt(Vec16 x) {
#if defined(__AVX512F__)
  return (Vec16)_mm512_sqrt_ps((__m512)x);
#else
  Vec16 r;
  for (int i = 0; i < 16; ++i) r[i] = __builtin_sqrtf(x[i]);
  return r;
#endif
}

inline Vec16 vrsqrt(Vec16 x) {
#if defined(__AVX512F__)
  const Vec16 r = (Vec16)_mm512_rsqrt14_ps((__m512)x);
  return r * (1.5f - 0.5f * x * r * r);
#else
  Vec16 r;
  for (int i = 0; i < 16; ++i) r[i] = 1.0f / __builtin_sqrtf(x[i]);
  return r;
#endif
}

}  // namespace crossfm::CROSSFM_ISA
