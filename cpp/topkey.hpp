// A score and the id it belongs to in one number, so that the best items are those of the largest numbers.
#pragma once

#include <cstdint>
#include <cstring>

namespace crossfm {

// Larger for larger scores, and for the smaller id where scores are equal. Always inline: see RowsView.
[[gnu::always_inline]] inline uint64_t top_key(float score, int64_t id) {
  score += 0.0f;  // -0 and 0 are equal
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{bits} << 32 | static_cast<uint32_t>(~static_cast<uint32_t>(id));
}

[[gnu::always_inline]] inline float score_of(uint64_t key) {
  uint32_t bits = static_cast<uint32_t>(key >> 32);
  bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
  float score;
  std::memcpy(&score, &bits, sizeof(score));
  return score;
}

[[gnu::always_inline]] inline int64_t id_of(uint64_t key) { return static_cast<uint32_t>(~static_cast<uint32_t>(key)); }

// Bring the `n_best` largest of n > n_best keys to the front, the least of them last. In bind_topk.cpp: what is compiled for
// one instruction set instantiates no library template.
void keep_largest(uint64_t* keys, int64_t n, int64_t n_best);

}  // namespace crossfm
