// Exact maximum inner product search. Items stand in blocks of kTopLanes, one coordinate of all of them side by side, so that
// a vector holds the same coordinate of several items; every score is the same sum, coordinate after coordinate, however
// many queries and blocks are worked on at once, so that equal items tie.
#pragma once

#include "kernels.hpp"
#include "topkey.hpp"
#include "vec.hpp"

namespace crossfm::CROSSFM_ISA {

// Which lanes are above a score, a bit each; none where a lane is NaN.
inline uint32_t lanes_above(Vec16 v, float least) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(least), _CMP_GT_OQ);
#else
  uint32_t bits = 0;
  for (int i = 0; i < 16; ++i) bits |= static_cast<uint32_t>(v[i] > least) << i;
  return bits;
#endif
}

inline uint32_t lanes_above(Vec8 v, float least) {
#if defined(__AVX__)
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_set1_ps(least), _CMP_GT_OQ)));
#elif defined(__SSE2__)
  const Int8 above = v > least;
  const __m128 low = (__m128)__builtin_shufflevector(above, above, 0, 1, 2, 3);
  const __m128 high = (__m128)__builtin_shufflevector(above, above, 4, 5, 6, 7);
  return static_cast<uint32_t>(_mm_movemask_ps(low) | _mm_movemask_ps(high) << 4);
#else
  uint32_t bits = 0;
  for (int i = 0; i < 8; ++i) bits |= static_cast<uint32_t>(v[i] > least) << i;
  return bits;
#endif
}

// Whether an item is among those the query leaves out; ids come rising, so that the list is walked once.
inline bool is_skipped(const TopArgs& a, int64_t query, int64_t id) {
  if (!a.skip_indptr) return false;
  const int64_t end = a.skip_indptr[query + 1];
  int64_t& at = a.skipped[query];
  while (at < end && a.skip[at] < id) ++at;
  return at < end && a.skip[at] == id;
}

// Keep the items of a block whose bit is set. Where there is no room for another block only the best stay, and the
// worst of them is what later items have to beat.
inline void keep(const TopArgs& a, int64_t query, int64_t block, uint32_t above, const float* scores) {
  uint64_t* keys = a.keys + query * a.room;
  int64_t& found = a.found[query];
  for (; above; above &= above - 1) {
    const int lane = __builtin_ctz(above);
    const int64_t id = block * kTopLanes + lane;
    if (id >= a.n_items || (a.allowed && !a.allowed[id]) || is_skipped(a, query, id)) continue;
    keys[found++] = top_key(scores[lane], id);
  }
  if (found + kTopLanes <= a.room) return;
  keep_largest(keys, found, a.n_best);
  found = a.n_best;
  a.least[query] = score_of(keys[found - 1]);
}

constexpr int kAhead = 8;  // blocks from one that is worked on to one that is fetched

// Score BLOCKS blocks for QUERIES queries at once and keep what is above their least; FETCH asks for later blocks, which the
// processor would not do by itself while the queries keep it busy.
template <class V, int BLOCKS, int QUERIES, bool FETCH>
inline void score_blocks(const TopArgs& a, int64_t query, const int32_t* blocks, const float* const* at, int64_t apart) {
  constexpr int PARTS = kTopLanes / lanes<V>;
  V sum[QUERIES][BLOCKS * PARTS];
  for (auto& row : sum)
    for (V& s : row) s = V{};
  const float* q = a.queries + query * a.dim;
  const float* later[BLOCKS];
  for (int b = 0; FETCH && b < BLOCKS; ++b) later[b] = a.items + blocks[b + kAhead] * a.block_apart;
  for (int64_t d = 0; d < a.dim; ++d) {
    V item[BLOCKS * PARTS];
    for (int b = 0; b < BLOCKS; ++b)
      for (int p = 0; p < PARTS; ++p) item[b * PARTS + p] = load<V>(at[b] + d * apart + p * lanes<V>);
    for (int b = 0; FETCH && b < BLOCKS; ++b) __builtin_prefetch(later[b] + d * apart);
    for (int g = 0; g < QUERIES; ++g) {
      const float x = q[g * a.dim + d];
      for (int i = 0; i < BLOCKS * PARTS; ++i) sum[g][i] += item[i] * x;
    }
  }
  for (int g = 0; g < QUERIES; ++g) {
    uint32_t above[BLOCKS], any = 0;
    for (int b = 0; b < BLOCKS; ++b) {
      above[b] = 0;
      for (int p = 0; p < PARTS; ++p) above[b] |= lanes_above(sum[g][b * PARTS + p], a.least[query + g]) << (p * lanes<V>);
      any |= above[b];
    }
    if (!any) continue;
    for (int b = 0; b < BLOCKS; ++b) {
      if (!above[b]) continue;
      float scores[kTopLanes];
      for (int p = 0; p < PARTS; ++p) store<V>(scores + p * lanes<V>, sum[g][b * PARTS + p]);
      keep(a, query + g, blocks[b], above[b], scores);
    }
  }
}

// The same for any number of blocks; the last block of the catalogue may stand apart.
template <class V, int BLOCKS, int QUERIES, bool FETCH>
inline void score_all(const TopArgs& a, int64_t query, const int32_t* blocks, int64_t n) {
  const bool apart = n > 0 && a.last && blocks[n - 1] == (a.n_items - 1) / kTopLanes;
  const float* at[BLOCKS];
  int64_t i = 0;
  const auto place = [&](int count) {
    for (int b = 0; b < count; ++b) at[b] = a.items + blocks[i + b] * a.block_apart;
  };
  for (; i + BLOCKS <= n - apart; i += BLOCKS) {
    place(BLOCKS);
    score_blocks<V, BLOCKS, QUERIES, FETCH>(a, query, blocks + i, at, a.coordinate_apart);
  }
  for (; i < n - apart; ++i) {
    place(1);
    score_blocks<V, 1, QUERIES, FETCH>(a, query, blocks + i, at, a.coordinate_apart);
  }
  if (!apart) return;
  at[0] = a.last;
  score_blocks<V, 1, QUERIES, false>(a, query, blocks + i, at, kTopLanes);
}

// List up to `most` blocks from `first` on that have an allowed item, and behind them kAhead that may be fetched; `first` moves
// behind them.
inline int64_t list_blocks(const TopArgs& a, int64_t& first, int64_t most, int32_t* blocks) {
  int64_t n = 0;
  for (; first < a.end && n < most; ++first) {
    if (a.allowed) {
      const int64_t begin = first * kTopLanes, left = a.n_items - begin;
      uint64_t some[2] = {};
      std::memcpy(some, a.allowed + begin, left < kTopLanes ? static_cast<size_t>(left) : kTopLanes);
      if (!(some[0] | some[1])) continue;
    }
    blocks[n++] = static_cast<int32_t>(first);
  }
  for (int64_t i = 0; n > 0 && i < kAhead; ++i)
    blocks[n + i] = a.allowed || first + i >= a.end ? blocks[n - 1] : static_cast<int32_t>(first + i);
  return n;
}

// All blocks of a list for `n_queries` queries from `query` on, as many at once as there are registers for.
template <class V, bool FETCH>
inline void score_queries(const TopArgs& a, int64_t query, int64_t n_queries, const int32_t* blocks, int64_t n) {
  constexpr int TALL = lanes<V> == 16 ? 3 : 1;
  if (n_queries == 8) score_all<V, TALL, 8, FETCH>(a, query, blocks, n);
  else if (n_queries == 4) score_all<V, TALL, 4, FETCH>(a, query, blocks, n);
  else if (n_queries == 2) score_all<V, 2 * TALL, 2, FETCH>(a, query, blocks, n);
  else score_all<V, 4, 1, FETCH>(a, query, blocks, n);
}

// Blocks [begin, end) for all queries: a run of blocks that fits into the cache meets every query before the next is read.
template <class V>
void top_items(const TopArgs& a) {
  constexpr int64_t kMost = 256, kCache = 1 << 18;  // blocks of a run, and their bytes
  constexpr int64_t kWide = lanes<V> == 16 ? 8 : 4;
  int64_t run = kCache / static_cast<int64_t>(sizeof(float) * kTopLanes) / (a.dim + 1);
  run = run < 8 ? 8 : run > kMost ? kMost : run;
  int32_t blocks[kMost + kAhead];
  for (int64_t first = a.begin; first < a.end;) {
    const int64_t n = list_blocks(a, first, run, blocks);
    for (int64_t query = 0, width = kWide; query < a.n_queries; query += width) {
      while (width > a.n_queries - query) width /= 2;
      if (query == 0) score_queries<V, true>(a, query, width, blocks, n);
      else score_queries<V, false>(a, query, width, blocks, n);
    }
  }
}

}  // namespace crossfm::CROSSFM_ISA
