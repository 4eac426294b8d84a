// Second-order factorization machines over CSR rows. Callers check shapes and ids; nothing here throws.
// Rendle, "Factorization Machines", ICDM 2010: eq. (1) in the form of Lemma 3.1, gradients of eq. (4).
//
// BLOCKS is the number of W-wide vectors of factors, known at compile time for the common sizes (the factor
// loop is then whole registers); 0 is the linear model, -1 any other size.
#pragma once

#include "losses.hpp"
#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

constexpr int kMaxFactors = 1024;
constexpr int kAhead = 2;  // rows whose records are fetched before they are needed

// A row's sums: s_f = sum_i v_if x_i, and its score.
template <int BLOCKS, class V>
struct RowSums {
  static constexpr int capacity = BLOCKS < 0 ? kMaxFactors / lanes<V> : (BLOCKS > 0 ? BLOCKS : 1);
  V s[capacity];
  float score;
};

template <int BLOCKS>
inline int count_blocks(int64_t padded, int width) {
  return BLOCKS < 0 ? static_cast<int>(padded / width) : BLOCKS;
}

inline void prefetch_record(const float* record, int64_t floats) {
  for (int64_t at = 0; at < floats; at += 16) __builtin_prefetch(record + at, 1, 3);
}

inline void prefetch_row(const RowsView& rows, int64_t row, const Table& t) {
  for (int64_t at = rows.begin(row), end = rows.end(row); at < end; ++at)
    prefetch_record(t.data + rows.indices[at] * t.stride, t.stride);
}

// Score and factor sums of one row: bias + sum_i w_i x_i + 1/2 sum_f (s_f^2 - sum_i v_if^2 x_i^2).
template <int BLOCKS, class V, bool VALUES>
inline void sum_row(const RowsView& rows, int64_t row, const Table& t, float bias, RowSums<BLOCKS, V>& out) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(t.padded, W);
  V squares{};
  float linear = bias;
  for (int b = 0; b < blocks; ++b) out.s[b] = V{};
  for (int64_t at = rows.begin(row), end = rows.end(row); at < end; ++at) {
    const float* record = t.data + rows.indices[at] * t.stride;
    const float x = VALUES ? rows.values[at] : 1.0f;
    for (int b = 0; b < blocks; ++b) {
      V z = load<V>(record + b * W);
      if constexpr (VALUES) z *= x;
      out.s[b] += z;
      squares += z * z;
    }
    linear += VALUES ? record[t.w_at] * x : record[t.w_at];
  }
  V total = -squares;
  for (int b = 0; b < blocks; ++b) total += out.s[b] * out.s[b];
  out.score = blocks ? linear + 0.5f * sum(total) : linear;
}

// Move the record of one feature: d score / d v_if = x_i s_f - v_if x_i^2, times the slope. Where the rule asks
// for it, the product is rounded as in sum_row, so that a feature alone in its row has a gradient of exactly 0
// and not what a fused multiply-add leaves.
template <class R, int BLOCKS, class V>
inline void step_record(float* record, const Table& t, float x, float slope, const V* s, const Hyper& h) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(t.padded, W);
  const float gx = slope * x;
  step_factors<R, V>(record, blocks, t.padded, record + t.w_at, h, [&](int b, V v) {
    if constexpr (R::normalises) return gx * (s[b] - CROSSFM_ROUNDED(v * x));
    else return gx * (s[b] - v * x);
  });
  step_scalar<R>(record + t.w_at, gx, h.l1_w, h.l2_w, h);
}

// One pass of stochastic updates over order[begin, end); returns the sum of the losses before each update.
template <class R, int BLOCKS, class V, bool VALUES>
double pass_rows(const PassArgs& a) {
  RowSums<BLOCKS, V> sums;
  double total = 0.0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    const int64_t row = a.order[i];
    sum_row<BLOCKS, V, VALUES>(a.rows, row, a.table, *a.bias, sums);
    int64_t ahead = 0, ahead_end = 0;  // records fetched one by one between the updates, not in a burst
    if (i + kAhead < a.end) ahead = a.rows.begin(a.order[i + kAhead]), ahead_end = a.rows.end(a.order[i + kAhead]);
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const LossAt loss = loss_at(a.loss, sums.score, a.target[row]);
    total += weight * loss.value;
    const float slope = weight * loss.slope;
    for (int64_t at = a.rows.begin(row), end = a.rows.end(row); at < end; ++at) {
      const float x = VALUES ? a.rows.values[at] : 1.0f;
      if (ahead < ahead_end) prefetch_record(a.table.data + a.rows.indices[ahead++] * a.table.stride, a.table.stride);
      step_record<R, BLOCKS, V>(a.table.data + a.rows.indices[at] * a.table.stride, a.table, x, slope, sums.s,
                                a.hyper);
    }
    while (ahead < ahead_end) prefetch_record(a.table.data + a.rows.indices[ahead++] * a.table.stride, a.table.stride);
    step_scalar<R>(a.bias, slope, 0.0f, 0.0f, a.hyper);
  }
  return total;
}

// First half of a synchronous mini-batch: scores of frozen weights.
template <int BLOCKS, class V, bool VALUES>
void forward_rows(const BatchArgs& batch) {
  const PassArgs& a = batch.pass;
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> sums;
  for (int64_t i = a.begin; i < a.end; ++i) {
    if (i + kAhead < a.end) prefetch_row(a.rows, a.order[i + kAhead], a.table);
    const int64_t row = a.order[i];
    sum_row<BLOCKS, V, VALUES>(a.rows, row, a.table, *a.bias, sums);
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const LossAt loss = loss_at(a.loss, sums.score, a.target[row]);
    batch.row_loss[i] = weight * loss.value;
    batch.slope[i] = weight * loss.slope;
    for (int b = 0; b < blocks; ++b) store<V>(batch.sums + i * a.table.padded + b * W, sums.s[b]);
  }
}

// Second half: each feature is moved by one owner, in row order, so the result does not depend on `parts`.
template <class R, int BLOCKS, class V, bool VALUES>
void update_part(const BatchArgs& batch) {
  const PassArgs& a = batch.pass;
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(a.table.padded, W);
  RowSums<BLOCKS, V> sums;
  for (int64_t i = a.begin; i < a.end; ++i) {
    const int64_t row = a.order[i];
    for (int b = 0; b < blocks; ++b) sums.s[b] = load<V>(batch.sums + i * a.table.padded + b * W);
    for (int64_t at = a.rows.begin(row), end = a.rows.end(row); at < end; ++at) {
      const uint32_t id = a.rows.indices[at];
      if (id % batch.parts != batch.part) continue;
      const float x = VALUES ? a.rows.values[at] : 1.0f;
      step_record<R, BLOCKS, V>(a.table.data + id * a.table.stride, a.table, x, batch.slope[i], sums.s, a.hyper);
    }
    if (batch.part == 0) step_scalar<R>(a.bias, batch.slope[i], 0.0f, 0.0f, a.hyper);
  }
}

// Scores under weights in any layout; n_factors need not be a multiple of the vector's width.
template <bool VALUES>
void score_rows(const ScoreArgs& a) {
  constexpr int W = lanes<Vec8>;
  const int whole = static_cast<int>(a.n_factors / W), rest = static_cast<int>(a.n_factors % W);
  Vec8 s[kMaxFactors / W + 1];
  const int blocks = whole + (rest ? 1 : 0);
  for (int64_t row = a.begin; row < a.end; ++row) {
    if (row + kAhead < a.end) {
      for (int64_t at = a.rows.begin(row + kAhead), end = a.rows.end(row + kAhead); at < end; ++at) {
        __builtin_prefetch(a.w + a.rows.indices[at] * a.w_stride, 0, 3);
        for (int64_t f = 0; f < a.n_factors; f += 16)
          __builtin_prefetch(a.V + a.rows.indices[at] * a.V_stride + f, 0, 3);
      }
    }
    for (int b = 0; b < blocks; ++b) s[b] = Vec8{};
    Vec8 squares{};
    float linear = a.bias;
    for (int64_t at = a.rows.begin(row), end = a.rows.end(row); at < end; ++at) {
      const int64_t id = a.rows.indices[at];
      const float x = VALUES ? a.rows.values[at] : 1.0f;
      const float* v = a.V + id * a.V_stride;
      linear += a.w[id * a.w_stride] * x;
      for (int b = 0; b < blocks; ++b) {
        const Vec8 z = (b < whole ? load<Vec8>(v + b * W) : load_first<Vec8>(v + b * W, rest)) * x;
        s[b] += z;
        squares += z * z;
      }
    }
    Vec8 total = -squares;
    for (int b = 0; b < blocks; ++b) total += s[b] * s[b];
    a.score[row] = linear + 0.5f * sum(total);
    if (a.sums) std::memcpy(a.sums + row * a.n_factors, s, sizeof(float) * static_cast<std::size_t>(a.n_factors));
  }
}

}  // namespace crossfm::CROSSFM_ISA
