// Pairwise learning (BPR) with a second-order machine: Rendle et al., "BPR", UAI 2009, eq. for LearnBPR.
// The difference of two rows that share a query side q is
//   y(q, i) - y(q, j) = <s_q, s_i - s_j> + own(i) - own(j),  own(r) = sum w x + pairs inside r:
// the query's own terms cancel, so they are neither computed nor moved.
#pragma once

#include "fm.hpp"

namespace crossfm::CROSSFM_ISA {

// One pass over pairs [begin, end); returns the sum of -log sigmoid(difference) before each update.
template <class R, int BLOCKS, class V, bool SHARED_VALUES, bool SIDE_VALUES>
double pair_rows(const PairArgs& a) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> query, better, worse, D;
  for (int b = 0; b < blocks; ++b) query.s[b] = V{};
  double total = 0.0;
  int64_t correct = 0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + kAhead < a.end) {
      if (a.shared_at) prefetch_row<R, BLOCKS, V>(a.shared, a.shared_at[i + kAhead], a.table);
      prefetch_row<R, BLOCKS, V>(a.sides, a.better[i + kAhead], a.table);
      prefetch_row<R, BLOCKS, V>(a.sides, a.worse[i + kAhead], a.table);
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
    if (a.shared_at) {
      for (int b = 0; b < blocks; ++b) D.s[b] = slope * (better.s[b] - worse.s[b]);
      step_shared<R, BLOCKS, V, SHARED_VALUES>(a.shared, a.shared_at[i], a.table, a.hyper, D.s);
    }
    for (int b = 0; b < blocks; ++b) {
      better.s[b] += query.s[b];
      worse.s[b] += query.s[b];
    }
    step_row<R, BLOCKS, V, SIDE_VALUES>(a.sides, a.better[i], a.table, a.hyper, slope, better.s);
    step_row<R, BLOCKS, V, SIDE_VALUES>(a.sides, a.worse[i], a.table, a.hyper, -slope, worse.s);
  }
  *a.correct += correct;
  return total;
}

}  // namespace crossfm::CROSSFM_ISA
