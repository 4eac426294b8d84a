// Vectors of W floats through the compiler's vector types, so that one source serves every instruction set.
// Included only by isa_*.cpp: everything lives in the namespace of one instruction set, and nothing
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

// The widest vector that the instruction set has.
#if defined(__AVX512F__)
using Wide = Vec16;
#else
using Wide = Vec8;
#endif

template <class T>
inline constexpr int lanes = sizeof(T) / sizeof(float);

template <class V>
inline V load(const float* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}

// The first n floats, 0 < n < lanes, zeros behind them; nothing behind them is read.
template <class V>
inline V load_first(const float* p, int n) {
#if defined(__AVX512VL__)
  const unsigned first = (1u << n) - 1;
  if constexpr (lanes<V> == 4) return (V)_mm_maskz_loadu_ps(static_cast<__mmask8>(first), p);
  else if constexpr (lanes<V> == 8) return (V)_mm256_maskz_loadu_ps(static_cast<__mmask8>(first), p);
  else return (V)_mm512_maskz_loadu_ps(static_cast<__mmask16>(first), p);
#else
  V v{};
  for (int i = 0; i < lanes<V>; ++i)
    if (i < n) v[i] = p[i];
  return v;
#endif
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

inline Vec4 halved(Vec8 v) {
  return __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
}

inline Vec8 halved(Vec16 v) {
  return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
         __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
}

inline float sum(Vec8 v) { return sum(halved(v)); }
inline float sum(Vec16 v) { return sum(halved(v)); }

// The sum of each of four vectors.
inline Vec4 sums(const Vec8* v) {
  const Vec8 ab = __builtin_shufflevector(v[0], v[1], 0, 8, 2, 10, 4, 12, 6, 14) +
                  __builtin_shufflevector(v[0], v[1], 1, 9, 3, 11, 5, 13, 7, 15);
  const Vec8 cd = __builtin_shufflevector(v[2], v[3], 0, 8, 2, 10, 4, 12, 6, 14) +
                  __builtin_shufflevector(v[2], v[3], 1, 9, 3, 11, 5, 13, 7, 15);
  return halved(__builtin_shufflevector(ab, cd, 0, 1, 8, 9, 4, 5, 12, 13) +
                __builtin_shufflevector(ab, cd, 2, 3, 10, 11, 6, 7, 14, 15));
}

inline Vec4 sums(const Vec16* v) {
  const Vec8 half[4] = {halved(v[0]), halved(v[1]), halved(v[2]), halved(v[3])};
  return sums(half);
}

inline void transpose(Vec4* v) {
  const Vec4 a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
  const Vec4 c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5), v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5), v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

inline Vec4 sums(const Vec4* v) {
  Vec4 t[4] = {v[0], v[1], v[2], v[3]};
  transpose(t);
  return (t[0] + t[1]) + (t[2] + t[3]);
}

// Bit i is set where lane i is above 0; NaN counts as above, so that a divergence shows in the loss.
inline unsigned positive_lanes(Vec4 v) {
#if defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpnle_ps((__m128)v, _mm_setzero_ps())));
#else
  unsigned bits = 0;
  for (int i = 0; i < 4; ++i) bits |= static_cast<unsigned>(!(v[i] <= 0.0f)) << i;
  return bits;
#endif
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

// With a mask of all lanes: gcc warns of an uninitialised value inside the forms without.
inline Vec16 vsqrt(Vec16 x) {
#if defined(__AVX512F__)
  return (Vec16)_mm512_maskz_sqrt_ps(0xffff, (__m512)x);
#else
  Vec16 r;
  for (int i = 0; i < 16; ++i) r[i] = __builtin_sqrtf(x[i]);
  return r;
#endif
}

inline Vec16 vrsqrt(Vec16 x) {
#if defined(__AVX512F__)
  const Vec16 r = (Vec16)_mm512_maskz_rsqrt14_ps(0xffff, (__m512)x);
  return r * (1.5f - 0.5f * x * r * r);
#else
  Vec16 r;
  for (int i = 0; i < 16; ++i) r[i] = 1.0f / __builtin_sqrtf(x[i]);
  return r;
#endif
}

}  // namespace crossfm::CROSSFM_ISA
