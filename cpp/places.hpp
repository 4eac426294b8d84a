// Turns the ids of rows into places of their records (HotPlaces), a few rows before they are needed.
#pragma once

#include "kernels.hpp"
#include "vec.hpp"

namespace crossfm::CROSSFM_ISA {

// Fill `places` and, of those that are no copies, `cold`; returns the number of the latter. Both have room for 16 more than n.
// Without branches: whether an id is frequent cannot be guessed, and wrong guesses took a third of a pass.
[[gnu::always_inline]] inline int64_t place_ids(const HotPlaces& hot, const uint32_t* ids, int64_t n,
                                                uint32_t* __restrict places, uint32_t* __restrict cold) {
  int64_t at = 0, n_cold = 0;
#if defined(__AVX512F__)
  const __m512i golden = _mm512_set1_epi32(static_cast<int>(HotPlaces::golden));
  const __m512i first = _mm512_set1_epi32(static_cast<int>(hot.first));
  for (; at < n; at += 16) {
    const auto here = static_cast<__mmask16>(n - at < 16 ? (1u << (n - at)) - 1 : 0xffffu);
    const __m512i id = _mm512_maskz_loadu_epi32(here, ids + at);
    const __m512i bucket = _mm512_maskz_srli_epi32(0xffff, _mm512_mullo_epi32(id, golden), 32 - HotPlaces::bits);
    const __m512i key = _mm512_mask_i32gather_epi32(id, 0xffff, bucket, hot.key, 4);
    const __mmask16 hit = _mm512_cmpeq_epi32_mask(key, id);
    const __m512i place = _mm512_mask_add_epi32(id, hit, first, bucket);
    _mm512_storeu_si512(places + at, place);
    const auto miss = static_cast<__mmask16>(here & ~hit);
    _mm512_storeu_si512(cold + n_cold, _mm512_maskz_compress_epi32(miss, place));
    n_cold += __builtin_popcount(miss);
  }
#else
  for (; at < n; ++at) {
    const uint32_t id = ids[at], bucket = HotPlaces::bucket(id), hit = hot.key[bucket] == id;
    places[at] = cold[n_cold] = id ^ ((id ^ (hot.first + bucket)) & (0u - hit));
    n_cold += 1 - hit;
  }
#endif
  return n_cold;
}

}  // namespace crossfm::CROSSFM_ISA
