// Weights in a float or in its upper half (bfloat16): half the bytes, 8 significant bits. They are widened in registers and
// rounded when they are written: up with the probability of the part that is cut off (stochastic rounding: Gupta, Agrawal,
// Gopalakrishnan, Narayanan, "Deep Learning with Limited Numerical Precision", ICML 2015, section 3.2), so that steps much
// smaller than the last digit add up to what they should on average. What 16 bits hold exactly stays as it is.
#pragma once

#include "vec.hpp"

namespace crossfm::CROSSFM_ISA {

using Half = uint16_t;

typedef uint32_t UInt4 __attribute__((vector_size(16)));
typedef uint32_t UInt8 __attribute__((vector_size(32)));
typedef uint32_t UInt16 __attribute__((vector_size(64)));
typedef Half Half4 __attribute__((vector_size(8)));
typedef Half Half8 __attribute__((vector_size(16)));
typedef Half Half16 __attribute__((vector_size(32)));

template <class V>
struct HalfFor;
template <>
struct HalfFor<Vec4> {
  using wide = UInt4;
  using narrow = Half4;
};
template <>
struct HalfFor<Vec8> {
  using wide = UInt8;
  using narrow = Half8;
};
template <>
struct HalfFor<Vec16> {
  using wide = UInt16;
  using narrow = Half16;
};

template <class S>
inline constexpr bool is_half = sizeof(S) < sizeof(float);

// The weights of a record, which come first in it.
template <class S>
inline S* weights_of(float* record) {
  return reinterpret_cast<S*>(record);
}

template <class V>
inline V load_weights(const float* p) {
  return load<V>(p);
}

// gcc 12 makes a detour through halves of a register of what it is given as __builtin_convertvector.
template <class V>
inline V load_weights(const Half* p) {
  typename HalfFor<V>::narrow half;
  std::memcpy(&half, p, sizeof(half));
#if defined(__AVX512F__)
  if constexpr (lanes<V> == 16) return (V)_mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)half), 16);
#endif
#if defined(__AVX2__)
  if constexpr (lanes<V> == 8) return (V)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)half), 16);
  if constexpr (lanes<V> == 4)
    return (V)_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))), 16);
#endif
  return (V)(__builtin_convertvector(half, typename HalfFor<V>::wide) << 16);
}

// The upper half of each number.
template <class V>
inline typename HalfFor<V>::narrow upper_halves(typename HalfFor<V>::wide x) {
#if defined(__AVX512VL__)
  if constexpr (lanes<V> == 16) return (Half16)_mm512_maskz_cvtepi32_epi16(0xffff, _mm512_maskz_srli_epi32(0xffff, (__m512i)x, 16));
  if constexpr (lanes<V> == 8) return (Half8)_mm256_maskz_cvtepi32_epi16(0xff, _mm256_srli_epi32((__m256i)x, 16));
#elif defined(__AVX2__)
  if constexpr (lanes<V> == 8) {
    const __m256i high = _mm256_srli_epi32((__m256i)x, 16);
    return (Half8)_mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
  }
#endif
  return __builtin_convertvector(x >> 16, typename HalfFor<V>::narrow);
}

// A number that says how weights are rounded: from the slope of their row and their place in it, so that the same row under
// the same model is rounded the same way, by any thread and in copies too.
inline uint32_t rounding_key(int64_t place, float slope) {
  uint32_t bits;
  std::memcpy(&bits, &slope, sizeof(bits));
  bits = (bits ^ static_cast<uint32_t>(place) * 0x85ebca6bu) * 0x9e3779b1u;
  return (bits ^ bits >> 15) * 0xc2b2ae35u;
}

// Odd numbers drawn at random: the steps of the sequences below, and what a key is multiplied with for their starts.
inline constexpr uint32_t kRoundingSteps[16] = {
    0x52e6b439u, 0xf2a74de5u, 0x269e0d37u, 0x6513270fu, 0xa6a3a451u, 0x0c5c7fd1u, 0x128b2f33u, 0xd23f0825u,
    0x892f902bu, 0x1818e811u, 0x5d9dc9f9u, 0x9531985du, 0x0ed90475u, 0xe8e25d95u, 0x81e74ef5u, 0x36f675cdu};
inline constexpr uint32_t kRoundingStarts[16] = {
    0x099950d9u, 0x1600a35bu, 0x6f03675bu, 0x6b0d549bu, 0x11e20b8fu, 0x3d9c1725u, 0x1738f7d9u, 0x8d116ecfu,
    0x6cad4a27u, 0x0f21ddb7u, 0xd3ac94afu, 0x90c192cfu, 0x1fb17c23u, 0xf28c105du, 0x39263059u, 0xa170b339u};

// Writes weights.
template <class V, class S>
class Writer;

template <class V>
class Writer<V, float> {
 public:
  explicit Writer(uint32_t) {}
  void operator()(float* p, V v) { store<V>(p, v); }
};

// What is added before the lower half is cut off runs through a Weyl sequence in each lane, each with a step of its own.
template <class V>
class Writer<V, Half> {
 public:
  explicit Writer(uint32_t key) {
    std::memcpy(&step_, kRoundingSteps, sizeof(step_));
    std::memcpy(&at_, kRoundingStarts, sizeof(at_));
    at_ *= key;
  }

  void operator()(Half* p, V v) {
    at_ += step_;
    const auto half = upper_halves<V>((Wide32)v + (at_ >> 16));
    std::memcpy(p, &half, sizeof(half));
  }

 private:
  using Wide32 = typename HalfFor<V>::wide;
  Wide32 at_{}, step_{};
};

}  // namespace crossfm::CROSSFM_ISA
