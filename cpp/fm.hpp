// Second-order factorization machines over CSR rows. Callers check shapes and ids; nothing here throws.
// Rendle, "Factorization Machines", ICDM 2010: eq. (1) in the form of Lemma 3.1, gradients of eq. (4).
#pragma once

#include "places.hpp"
#include "record.hpp"

namespace crossfm::CROSSFM_ISA {

// A shuffled order reads rows from all over memory: their ids are fetched kRowsAhead rows before they are
// needed, the offsets of CSR rows twice as far.
constexpr int64_t kRowsAhead = 16;

CROSSFM_INLINE void prefetch_ids(const RowsView& rows, const int64_t* order, int64_t i, int64_t end) {
  if (rows.indptr && i + 2 * kRowsAhead < end) __builtin_prefetch(rows.indptr + order[i + 2 * kRowsAhead]);
  if (i + kRowsAhead >= end) return;
  const int64_t row = order[i + kRowsAhead];
  for (int64_t at = rows.begin(row), last = rows.end(row); at < last + 15; at += 16) {  // the last line as well
    __builtin_prefetch(rows.indices + at);
    if (rows.values) __builtin_prefetch(rows.values + at);
  }
}

CROSSFM_INLINE void prefetch_ids(const PassArgs& a, int64_t i) {
  prefetch_ids(a.rows, a.order, i, a.end);
  if (i + kRowsAhead >= a.end) return;
  const int64_t row = a.order[i + kRowsAhead];
  __builtin_prefetch(a.target + row);
  if (a.weight) __builtin_prefetch(a.weight + row);
}

// The rows of an order with their records: those of the table, or where PLACED the thread's own copies of frequent ones.
// Then the ids of a row are turned into places kAhead rows before it is needed.
template <bool PLACED>
class RowsAhead {
 public:
  explicit RowsAhead(const PassArgs& a) : a_(a) {
    for (int64_t i = a.begin; i < a.begin + kAhead; ++i) place(i);
  }

  // Row number i of the order.
  CROSSFM_INLINE Row at(int64_t i) const {
    Row row = row_of(a_.rows, a_.order[i]);
    if constexpr (PLACED) row.ids = slot(i);
    return row;
  }

  // What is worth fetching of row number i: copies are in the cache.
  CROSSFM_INLINE Row to_fetch(int64_t i) const {
    if (i >= a_.end) return {};
    if constexpr (PLACED) return {slot(i) + a_.hot.room, nullptr, n_cold_[i % HotPlaces::slots]};
    else return at(i);
  }

  CROSSFM_INLINE void place(int64_t i) {
    if (!PLACED || i >= a_.end) return;
    const Row row = row_of(a_.rows, a_.order[i]);
    uint32_t* const to = slot(i);
    n_cold_[i % HotPlaces::slots] = place_ids(a_.hot, row.ids, row.n, to, to + a_.hot.room);
  }

 private:
  static_assert(kAhead < HotPlaces::slots);
  CROSSFM_INLINE uint32_t* slot(int64_t i) const { return a_.hot.ring + (i % HotPlaces::slots) * 2 * a_.hot.room; }

  const PassArgs& a_;
  int64_t n_cold_[HotPlaces::slots] = {};
};

// One pass of stochastic updates over order[begin, end); returns the sum of the losses before each update.
template <class R, int BLOCKS, class V, bool VALUES, bool PLACED, class S>
double pass_rows(const PassArgs& a) {
  RowSums<BLOCKS, V> sums;
  RowsAhead<PLACED> rows(a);
  double total = 0.0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    prefetch_ids(a, i);
    rows.place(i + kAhead);
    const Row row = rows.at(i);
    sum_row<BLOCKS, V, VALUES, S>(row, a.table, *a.bias, sums);
    const float weight = a.weight ? a.weight[a.order[i]] : 1.0f;
    const LossAt loss = loss_at(a.loss, sums.score, a.target[a.order[i]]);
    total += weight * loss.value;
    const float slope = weight * loss.slope;
    step_row<R, BLOCKS, V, VALUES, S>(row, a.table, a.hyper, slope, sums.s, rows.to_fetch(i + kAhead));
    step_scalar<R>(a.bias, slope, 0.0f, 0.0f, a.hyper);
  }
  return total;
}

// First half of a synchronous mini-batch: scores of frozen weights.
template <int BLOCKS, class V, bool VALUES, class S>
void forward_rows(const BatchArgs& batch) {
  const PassArgs& a = batch.pass;
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> sums;
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + kAhead < a.end) prefetch_row<Sgd, BLOCKS, V, S>(a.rows, a.order[i + kAhead], a.table);
    const int64_t row = a.order[i];
    sum_row<BLOCKS, V, VALUES, S>(a.rows, row, a.table, *a.bias, sums);
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const LossAt loss = loss_at(a.loss, sums.score, a.target[row]);
    batch.row_loss[i] = weight * loss.value;
    batch.slope[i] = weight * loss.slope;
    for (int b = 0; b < blocks; ++b) store<V>(batch.sums + i * a.table.padded + b * W, sums.s[b]);
  }
}

// Second half: each feature is moved by one owner, in row order, so the result does not depend on `parts`.
template <class R, int BLOCKS, class V, bool VALUES, class S>
void update_part(const BatchArgs& batch) {
  const PassArgs& a = batch.pass;
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> sums;
  for (int64_t i = a.begin; i < a.end; ++i) {
    const Row row = row_of(a.rows, a.order[i]);
    for (int b = 0; b < blocks; ++b) sums.s[b] = load<V>(batch.sums + i * a.table.padded + b * W);
    for (int64_t at = 0; at < row.n; ++at) {
      if (row.ids[at] % batch.parts != batch.part) continue;
      step_one<R, BLOCKS, V, VALUES, S>(row, at, a.table, a.hyper, batch.slope[i], sums.s);
    }
    if (batch.part == 0) step_scalar<R>(a.bias, batch.slope[i], 0.0f, 0.0f, a.hyper);
  }
}

// The last block of factors may be cut short: n_factors need not be a multiple of the vector's width.
template <int BLOCKS, class V>
CROSSFM_INLINE V load_block(const Half* v, int b, int, int) {
  return load_weights<V>(v + b * lanes<V>);  // in a table, where zeros follow
}

template <int BLOCKS, class V>
CROSSFM_INLINE V load_block(const float* v, int b, int blocks, int rest) {
  return b < blocks - 1 || rest == 0 ? load<V>(v + b * lanes<V>) : load_first<V>(v + b * lanes<V>, rest);
}

// Scores under weights in any layout; as sum_row, with V and w apart.
template <int BLOCKS, class V, bool VALUES, class S>
void score_rows(const ScoreArgs& args) {
  const ScoreArgs a = args;  // no store can reach the copy
  const S* const weights = static_cast<const S*>(a.V);
  constexpr int W = lanes<V>;
  constexpr int capacity = BLOCKS < 0 ? kMaxFactors / W : BLOCKS;
  const int blocks = BLOCKS < 0 ? static_cast<int>((a.n_factors + W - 1) / W) : BLOCKS;
  const int rest = static_cast<int>(a.n_factors % W);
  V s[2][capacity ? capacity : 1];
  for (int64_t row = a.begin; row < a.end; ++row) {
    int64_t at = a.rows.begin(row);
    const int64_t end = a.rows.end(row);
    const int64_t later = row + kAhead < a.end ? row + kAhead : row;
    int64_t ahead = a.rows.begin(later);
    const int64_t ahead_end = a.rows.end(later);
    for (auto& half : s)
      for (int b = 0; b < blocks; ++b) half[b] = V{};
    V squares[2]{};
    float linear[2]{};
    const auto add_to = [&](int half) __attribute__((always_inline)) {
      const int64_t id = a.rows.indices[at];
      const float x = VALUES ? a.rows.values[at] : 1.0f;
      linear[half] += a.w[id * a.w_stride] * x;
      for (int b = 0; b < blocks; ++b) {
        const V z = load_block<BLOCKS, V>(weights + id * a.V_stride, b, blocks, rest) * x;
        s[half][b] += z;
        squares[half] += z * z;
      }
      ++at;
      if (ahead < ahead_end) {
        const int64_t next = a.rows.indices[ahead++];
        __builtin_prefetch(a.w + next * a.w_stride, 0, 3);
        const S* const v = weights + next * a.V_stride;
        for (int64_t f = 0; f < blocks * W; f += 64 / static_cast<int64_t>(sizeof(S))) __builtin_prefetch(v + f, 0, 3);
        if (blocks) __builtin_prefetch(v + a.n_factors - 1, 0, 3);  // a line more where v starts inside one
      }
    };
    while (at + 1 < end) add_to(0), add_to(1);
    if (at < end) add_to(0);
    V total = -(squares[0] + squares[1]);
    for (int b = 0; b < blocks; ++b) {
      s[0][b] += s[1][b];
      total += s[0][b] * s[0][b];
    }
    a.score[row] = a.bias + linear[0] + linear[1] + (blocks ? 0.5f * sum(total) : 0.0f);
    if (a.sums) std::memcpy(a.sums + row * a.n_factors, s[0], sizeof(float) * static_cast<std::size_t>(a.n_factors));
  }
}

}  // namespace crossfm::CROSSFM_ISA
