// Pairwise learning (BPR) with a second-order machine: Rendle et al., "BPR", UAI 2009, eq. for LearnBPR.
// The difference of two rows that share a query side q is
//   y(q, i) - y(q, j) = <s_q, s_i - s_j> + own(i) - own(j),  own(r) = sum w x + pairs inside r:
// the query's own terms cancel, so they are neither computed nor moved.
#pragma once

#include "fm.hpp"

namespace crossfm::CROSSFM_ISA {

// Ids alone: one feature of value 1 a row. Then a row is its record, with no loops and no pairs inside.
CROSSFM_INLINE bool is_lone(const RowsView& rows) { return !rows.indptr && rows.width == 1 && !rows.values; }
CROSSFM_INLINE float* lone_record(const Table& t, const RowsView& rows, int64_t row) {
  return record_of(t, rows.indices[row]);
}

// Move a query and its two sides: `slope` is that of the better one's score, -slope the other's.
template <class R, int BLOCKS, class V>
CROSSFM_INLINE void step_lone(const Table& t, const Hyper& h, float* query, float* better, float* worse, float slope) {
  constexpr int W = lanes<V>, capacity = RowSums<BLOCKS, V>::capacity;
  const int blocks = count_blocks<BLOCKS>(t.padded, W);
  V q[capacity], up[capacity], down[capacity];  // as they are before any moves
  for (int b = 0; b < blocks; ++b)
    q[b] = load<V>(query + b * W), up[b] = load<V>(better + b * W), down[b] = load<V>(worse + b * W);
  float* const sides[2] = {better, worse};
  step_group<R, BLOCKS, V, 1, false>(t, h, &query, Vec4{}, [&](int, int b, V) __attribute__((always_inline)) {
    return slope * (up[b] - down[b]);
  });
  if (query != better && query != worse && better != worse) {
    const Vec4 grad = {slope, -slope};
    step_group<R, BLOCKS, V, 2, true>(t, h, sides, grad, [&](int j, int b, V) __attribute__((always_inline)) {
      return grad[j] * q[b];
    });
    return;
  }
  for (int j = 0; j < 2; ++j) {  // one after another: the second sees what the first has moved
    const float g = j ? -slope : slope;
    const V* const own = j ? down : up;
    step_group<R, BLOCKS, V, 1, true>(t, h, sides + j, Vec4{g}, [&](int, int b, V v) __attribute__((always_inline)) {
      return g * (q[b] + own[b] - rounded_for<R>(v));
    });
  }
}

// pair_rows where both sides are ids alone.
template <class R, int BLOCKS, class V>
double lone_pairs(const PairArgs& args) {
  const PairArgs a = args;  // no store can reach the copy
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  double total = 0.0;
  int64_t correct = 0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + 2 * kAhead < a.end) {
      prefetch_record<R, BLOCKS, V>(a.table, lone_record(a.table, a.shared, a.shared_at[i + 2 * kAhead]));
      prefetch_record<R, BLOCKS, V>(a.table, lone_record(a.table, a.sides, a.better[i + 2 * kAhead]));
      prefetch_record<R, BLOCKS, V>(a.table, lone_record(a.table, a.sides, a.worse[i + 2 * kAhead]));
    }
    float* const query = lone_record(a.table, a.shared, a.shared_at[i]);
    float* const better = lone_record(a.table, a.sides, a.better[i]);
    float* const worse = lone_record(a.table, a.sides, a.worse[i]);
    V cross{};
    for (int b = 0; b < blocks; ++b)
      cross += load<V>(query + b * W) * (load<V>(better + b * W) - load<V>(worse + b * W));
    float difference = better[a.table.w_at] - worse[a.table.w_at] + sum(cross);
    if (a.offset) difference += a.offset[a.better[i]] - a.offset[a.worse[i]];
    const float weight = a.weight ? a.weight[i] : 1.0f;
    const LossAt at = loss_at(Loss::logistic, -difference, 0.0);  // -log sigmoid(difference)
    total += weight * at.value;
    correct += difference > 0.0f;
    step_lone<R, BLOCKS, V>(a.table, a.hyper, query, better, worse, -weight * at.slope);
  }
  *a.correct += correct;
  return total;
}

// One pass over pairs [begin, end); returns the sum of -log sigmoid(difference) before each update.
template <class R, int BLOCKS, class V, bool SHARED_VALUES, bool SIDE_VALUES>
double pair_rows(const PairArgs& a) {
  if constexpr (BLOCKS != 0 && !SHARED_VALUES && !SIDE_VALUES)
    if (a.shared_at && is_lone(a.shared) && is_lone(a.sides)) return lone_pairs<R, BLOCKS, V>(a);
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
