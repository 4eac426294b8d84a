// Exact maximum inner product search: items stand dimension by dimension, (dim, n_items), so that a vector
// holds the same coordinate of several items; a block of items stays in cache for all queries.
#pragma once

#include "kernels.hpp"
#include "vec.hpp"

namespace crossfm::CROSSFM_ISA {

// The heap's top is the worst kept item: lowest score, then largest id.
inline bool worse_than(float s, int64_t i, float t, int64_t j) { return s < t || (s == t && i > j); }

inline void sift_down(float* scores, int64_t* ids, int64_t at, int64_t n) {
  const float s = scores[at];
  const int64_t id = ids[at];
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && worse_than(scores[child + 1], ids[child + 1], scores[child], ids[child])) ++child;
    if (!worse_than(scores[child], ids[child], s, id)) break;
    scores[at] = scores[child];
    ids[at] = ids[child];
  }
  scores[at] = s;
  ids[at] = id;
}

inline void sift_up(float* scores, int64_t* ids, int64_t at) {
  const float s = scores[at];
  const int64_t id = ids[at];
  while (at > 0) {
    const int64_t parent = (at - 1) / 2;
    if (!worse_than(s, id, scores[parent], ids[parent])) break;
    scores[at] = scores[parent];
    ids[at] = ids[parent];
    at = parent;
  }
  scores[at] = s;
  ids[at] = id;
}

// Scores of items [first, last) for `group` queries: out[g * kTopBlock + i].
template <class V, int GROUP>
inline void score_block(const TopArgs& a, int64_t query, int64_t first, int64_t last, float* out) {
  constexpr int W = lanes<V>;
  int64_t i = first;
  for (; i + W <= last; i += W) {
    V acc[GROUP];
    for (int g = 0; g < GROUP; ++g) acc[g] = V{};
    for (int64_t d = 0; d < a.dim; ++d) {
      const V item = load<V>(a.items + d * a.n_items + i);
      for (int g = 0; g < GROUP; ++g) acc[g] += item * a.queries[(query + g) * a.dim + d];
    }
    for (int g = 0; g < GROUP; ++g) store<V>(out + g * kTopBlock + (i - first), acc[g]);
  }
  for (; i < last; ++i) {
    for (int g = 0; g < GROUP; ++g) {
      float acc = 0.0f;
      for (int64_t d = 0; d < a.dim; ++d) acc += a.items[d * a.n_items + i] * a.queries[(query + g) * a.dim + d];
      out[g * kTopBlock + (i - first)] = acc;
    }
  }
}

// Keep the best of a block in the query's heap; kept counts the items in it.
inline void keep_best(const TopArgs& a, int64_t query, int64_t first, int64_t last, float* block, int64_t& kept,
                      int64_t& skipped) {
  constexpr float lowest = -__builtin_inff();
  float* scores = a.scores + query * a.n_best;
  int64_t* ids = a.ids + query * a.n_best;
  if (a.skip_indptr) {
    const int64_t end = a.skip_indptr[query + 1];
    for (; skipped < end && a.skip[skipped] < last; ++skipped) block[a.skip[skipped] - first] = lowest;
  }
  for (int64_t i = first; i < last; ++i) {
    const float s = block[i - first];
    if (kept == a.n_best) {
      if (!(s > scores[0])) continue;
      scores[0] = s;
      ids[0] = i;
      sift_down(scores, ids, 0, kept);
    } else if (s > lowest) {
      scores[kept] = s;
      ids[kept] = i;
      sift_up(scores, ids, kept++);
    }
  }
}

template <class V>
void top_items(const TopArgs& a) {
  if (a.n_best == 0) return;
  for (int64_t query = a.begin; query < a.end; query += kTopGroup) {
    const int group = static_cast<int>(a.end - query < kTopGroup ? a.end - query : kTopGroup);
    int64_t kept[kTopGroup] = {}, skipped[kTopGroup] = {};
    for (int g = 0; g < group; ++g) skipped[g] = a.skip_indptr ? a.skip_indptr[query + g] : 0;
    for (int64_t first = 0; first < a.n_items; first += kTopBlock) {
      const int64_t last = first + kTopBlock < a.n_items ? first + kTopBlock : a.n_items;
      if (group == kTopGroup) {
        score_block<V, kTopGroup>(a, query, first, last, a.scratch);
      } else {
        for (int g = 0; g < group; ++g) score_block<V, 1>(a, query + g, first, last, a.scratch + g * kTopBlock);
      }
      for (int g = 0; g < group; ++g)
        keep_best(a, query + g, first, last, a.scratch + g * kTopBlock, kept[g], skipped[g]);
    }
    for (int g = 0; g < group; ++g) {  // heap sort: the worst goes last, each time
      float* scores = a.scores + (query + g) * a.n_best;
      int64_t* ids = a.ids + (query + g) * a.n_best;
      for (int64_t n = kept[g]; n < a.n_best; ++n) {
        ids[n] = -1;
        scores[n] = -__builtin_inff();
      }
      for (int64_t n = kept[g] - 1; n > 0; --n) {
        const float s = scores[n];
        const int64_t id = ids[n];
        scores[n] = scores[0];
        ids[n] = ids[0];
        scores[0] = s;
        ids[0] = id;
        sift_down(scores, ids, 0, n);
      }
    }
  }
}

}  // namespace crossfm::CROSSFM_ISA
