// Pairwise learning (BPR) with a second-order machine: Rendle et al., "BPR", UAI 2009, eq. for LearnBPR.
// The difference of two rows that share a query side q is
//   y(q, i) - y(q, j) = <s_q, s_i - s_j> + own(i) - own(j),  own(r) = sum w x + pairs inside r:
// the query's own terms cancel, so they are neither computed nor moved.
#pragma once

#include "fm.hpp"

namespace crossfm::CROSSFM_ISA {

template <class R, int BLOCKS, class V, bool VALUES>
inline void step_side(const PairArgs& a, int64_t row, float slope, const V* s) {
  for (int64_t at = a.sides.begin(row), end = a.sides.end(row); at < end; ++at) {
    const float x = VALUES ? a.sides.values[at] : 1.0f;
    step_record<R, BLOCKS, V>(a.table.data + a.sides.indices[at] * a.table.stride, a.table, x, slope, s, a.hyper);
  }
}

// One pass over pairs [begin, end); returns the sum of -log sigmoid(difference) before each update.
template <class R, int BLOCKS, class V, bool SHARED_VALUES, bool SIDE_VALUES>
double pair_rows(const PairArgs& a) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> query, better, worse;
  for (int b = 0; b < blocks; ++b) query.s[b] = V{};
  double total = 0.0;
  int64_t correct = 0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + kAhead < a.end) {
      if (a.shared_at) prefetch_row(a.shared, a.shared_at[i + kAhead], a.table);
      prefetch_row(a.sides, a.better[i + kAhead], a.table);
      prefetch_row(a.sides, a.worse[i + kAhead], a.table);
    }
    if (a.shared_at)
      sum_row<BLOCKS, V, SHARED_VALUES>(a.shared, a.shared_at[i], a.table, 0.0f, query);
    sum_row<BLOCKS, V, SIDE_VALUES>(a.sides, a.better[i], a.table, 0.0f, better);
    sum_row<BLOCKS, V, SIDE_VALUES>(a.sides, a.worse[i], a.table, 0.0f, worse);
    V cross{};
    for (int b = 0; b < blocks; ++b) cross += query.s[b] * (better.s[b] - worse.s[b]);
    float difference = better.score - worse.score + (blocks ? sum(cross) : 0.0f);
    if (a.offset) difference += a.offset[a.better[i]] - a.offset[a.worse[i]];
    const float weight = a.weight ? a.weight[i] : 1.0f;
    const LossAt at = loss_at(Loss::logistic, -difference, 0.0);  // -log sigmoid(difference)
    total += weight * at.value;
    correct += difference > 0.0f;
    const float slope = -weight * at.slope;
    if (a.shared_at && blocks) {
      const int64_t row = a.shared_at[i];
      for (int64_t at = a.shared.begin(row), end = a.shared.end(row); at < end; ++at) {
        float* record = a.table.data + a.shared.indices[at] * a.table.stride;
        const float gx = slope * (SHARED_VALUES ? a.shared.values[at] : 1.0f);
        step_factors<R, V>(record, blocks, a.table.padded, record + a.table.w_at, a.hyper,
                           [&](int b, V) { return gx * (better.s[b] - worse.s[b]); });
        count_update<R>(record + a.table.w_at + 1 + R::states, a.hyper);
      }
    }
    for (int b = 0; b < blocks; ++b) {
      better.s[b] += query.s[b];
      worse.s[b] += query.s[b];
    }
    step_side<R, BLOCKS, V, SIDE_VALUES>(a, a.better[i], slope, better.s);
    step_side<R, BLOCKS, V, SIDE_VALUES>(a, a.worse[i], -slope, worse.s);
  }
  *a.correct += correct;
  return total;
}

}  // namespace crossfm::CROSSFM_ISA
