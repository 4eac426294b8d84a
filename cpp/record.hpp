// A feature's record, and what one row does with it. Callers check shapes and ids; nothing here throws.
//
// A record is V[padded] | states of V[padded] each | tail: w and what it keeps, 4 numbers. Records are moved up to four
// at a time: their tails, transposed, make vectors of four w, so that w costs a quarter of its scalar work.
//
// BLOCKS is the number of vectors V of factors, known at compile time for the common sizes (the factor loop is
// then whole registers); 0 is the linear model, where w stands alone, -1 any other size. S holds a factor: a float, or half.
#pragma once

#include "half.hpp"
#include "losses.hpp"
#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

constexpr int kMaxFactors = 1024;
constexpr int kAhead = 2;  // rows whose records are fetched before they are needed
// So that what a pass holds in registers stays there, and because the compiler drops calls of a function that does
// nothing but prefetch.
#define CROSSFM_INLINE [[gnu::always_inline]] inline

// One copy each, called once a row: they take what they read again and again by value, where no store can reach it. A row
// comes in pieces, which go through registers: put together in memory, it would wait for the stores of the row before.
#define CROSSFM_CALLED [[gnu::noinline]]

constexpr int kTail = 4;
constexpr int kGroup = 4;  // records moved together

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

CROSSFM_INLINE float* record_of(const Table& t, uint32_t id) { return t.data + id * t.stride; }

// Floats that V takes: its states stand behind them.
template <class S>
CROSSFM_INLINE int64_t floats_of(int64_t padded) {
  return padded * static_cast<int64_t>(sizeof(S)) / static_cast<int64_t>(sizeof(float));
}

// Fetch a record that rule R will move.
template <class R, int BLOCKS, class V, class S = float>
CROSSFM_INLINE void prefetch_record(const Table& t, const float* record) {
  constexpr int padded = BLOCKS * lanes<V>;
  const int64_t used =
      BLOCKS < 0 ? t.stride : BLOCKS ? floats_of<S>(padded) + padded * (R::row_wise ? 0 : R::states) + kTail : 1;
  for (int64_t at = 0; at < used; at += 16) __builtin_prefetch(record + at, 1, 3);
}

template <class R, int BLOCKS, class V, class S = float>
CROSSFM_INLINE void prefetch_row(const RowsView& rows, int64_t row, const Table& t) {
  for (int64_t at = rows.begin(row), end = rows.end(row); at < end; ++at)
    prefetch_record<R, BLOCKS, V, S>(t, record_of(t, rows.indices[at]));
}

// Sums on their way: of w x, of v x and of (v x)^2.
template <int BLOCKS, class V>
struct Running {
  V s[RowSums<BLOCKS, V>::capacity];
  V squares{};
  float linear = 0.0f;

  explicit Running(int blocks) {
    for (int b = 0; b < blocks; ++b) s[b] = V{};
  }

  template <bool VALUES, class S>
  void add(float* record, float x, const Table& t, int blocks) {
    for (int b = 0; b < blocks; ++b) {
      V z = load_weights<V>(weights_of<S>(record) + b * lanes<V>);
      if constexpr (VALUES) z *= x;
      s[b] += z;
      squares += z * z;
    }
    linear += VALUES ? record[t.w_at] * x : record[t.w_at];
  }
};

// Score and factor sums of one row: bias + sum_i w_i x_i + 1/2 sum_f (s_f^2 - sum_i v_if^2 x_i^2).
// Even and odd places are summed apart, so that an addition need not wait for the one before.
template <int BLOCKS, class V, bool VALUES, class S = float>
CROSSFM_CALLED void sum_ids(const uint32_t* ids, const float* values, int64_t n, Table t, float bias,
                            RowSums<BLOCKS, V>& out) {
  const int blocks = count_blocks<BLOCKS>(t.padded, lanes<V>);
  int64_t at = 0;
  const int64_t end = n;
  const auto add_to = [&](Running<BLOCKS, V>& sums) __attribute__((always_inline)) {
    sums.template add<VALUES, S>(record_of(t, ids[at]), VALUES ? values[at] : 1.0f, t, blocks);
    ++at;
  };
  Running<BLOCKS, V> even(blocks);
  if constexpr (BLOCKS >= 0) {
    Running<BLOCKS, V> odd(blocks);
    while (at + 1 < end) add_to(even), add_to(odd);
    for (int b = 0; b < blocks; ++b) even.s[b] += odd.s[b];
    even.squares += odd.squares;
    even.linear += odd.linear;
  }
  while (at < end) add_to(even);
  V total = -even.squares;
  for (int b = 0; b < blocks; ++b) {
    out.s[b] = even.s[b];
    total += even.s[b] * even.s[b];
  }
  out.score = bias + even.linear + (blocks ? 0.5f * sum(total) : 0.0f);
}

template <int BLOCKS, class V, bool VALUES, class S = float>
CROSSFM_INLINE void sum_row(Row row, const Table& t, float bias, RowSums<BLOCKS, V>& out) {
  sum_ids<BLOCKS, V, VALUES, S>(row.ids, row.values, row.n, t, bias, out);
}

template <int BLOCKS, class V, bool VALUES, class S = float>
CROSSFM_INLINE void sum_row(const RowsView& rows, int64_t row, const Table& t, float bias, RowSums<BLOCKS, V>& out) {
  sum_row<BLOCKS, V, VALUES, S>(row_of(rows, row), t, bias, out);
}

// Move N records. `w_grad` is the gradient of each w, `grad(j, b, v)` that of the factors v in block b of record j.
// w moves by `h_w`. Without MOVE_W the linear weights stay; the update still counts. Halves are rounded as `key` says.
template <class R, int BLOCKS, class V, int N, bool MOVE_W, class S = float, class Grad>
CROSSFM_INLINE void step_group(const Table& t, const Hyper& h, const Hyper& h_w, float* const* records, Vec4 w_grad,
                               Grad grad, uint32_t key = 0) {
  constexpr int W = lanes<V>;
  const int blocks = count_blocks<BLOCKS>(t.padded, W);
  Vec4 tail[kTail];  // of each record; transposed: w, its states, [accumulator of V], [count]
  for (Vec4& one : tail) one = Vec4{};
  for (int j = 0; j < N; ++j) tail[j] = load<Vec4>(records[j] + t.w_at);
  transpose(tail);
  float states[2 * lanes<Vec4>], *const state = states;
  for (int n = 0; n < R::states; ++n) store(state + n * lanes<Vec4>, tail[1 + n]);
  Vec4 scale = Vec4{} + 1.0f;
  if constexpr (R::counts) {
    float counts[kTail], scales[kTail] = {1.0f, 1.0f, 1.0f, 1.0f};
    store(counts, tail[1 + R::states]);
    for (int j = 0; j < N; ++j) scales[j] = count_update<R>(counts + j, h);
    tail[1 + R::states] = load<Vec4>(counts);
    scale = load<Vec4>(scales);
  }
  if constexpr (MOVE_W) {
    tail[0] = R::template step<Vec4>(tail[0], state, lanes<Vec4>, w_grad, h_w.l1_w, h_w.l2_w, h_w, scale);
    for (int n = 0; n < R::states; ++n) tail[1 + n] = load<Vec4>(state + n * lanes<Vec4>);
  }
  Vec4 rate{};
  if constexpr (R::row_wise) {
    V squares[kGroup]{};
    for (int j = 0; j < N; ++j) {
      for (int b = 0; b < blocks; ++b) {
        const V v = load_weights<V>(weights_of<S>(records[j]) + b * W);
        const V g = grad(j, b, v) + h.l2_V * v;
        squares[j] += g * g;
      }
    }
    tail[2] += sums(squares) * h.factor_share;
    rate = h.learning_rate * vrsqrt(tail[2]);
  }
  transpose(tail);
  Writer<V, S> write(key);
  for (int j = 0; j < N; ++j) {
    float* const states = records[j] + floats_of<S>(t.padded);
    for (int b = 0; b < blocks; ++b) {
      S* const at = weights_of<S>(records[j]) + b * W;
      const V v = load_weights<V>(at);
      if constexpr (R::row_wise) write(at, v - rate[j] * (grad(j, b, v) + h.l2_V * v));
      else write(at, R::template step<V>(v, states + b * W, t.padded, grad(j, b, v), h.l1_V, h.l2_V, h, scale[j]));
    }
    store(records[j] + t.w_at, tail[j]);
  }
}

template <class R, int BLOCKS, class V, int N, bool MOVE_W, class S = float, class Grad>
CROSSFM_INLINE void step_group(const Table& t, const Hyper& h, float* const* records, Vec4 w_grad, Grad grad,
                               uint32_t key = 0) {
  step_group<R, BLOCKS, V, N, MOVE_W, S>(t, h, h, records, w_grad, grad, key);
}

// Whether all of the next kGroup ids differ: only then may their records be moved together.
CROSSFM_INLINE bool all_differ(const uint32_t* ids) {
  return (ids[0] != ids[1]) & (ids[0] != ids[2]) & (ids[0] != ids[3]) & (ids[1] != ids[2]) & (ids[1] != ids[3]) &
         (ids[2] != ids[3]);
}

// Move the records of `row.ids[at, ...)`, N of them: d score / d v_if = x_i s_f - v_if x_i^2, times the slope. Where the rule
// asks for it, the product is rounded as in sum_row, so that a feature alone in its row has a gradient of exactly
// 0 and not what a fused multiply-add leaves.
template <class R, int BLOCKS, class V, bool VALUES, int N, class S>
CROSSFM_INLINE void step_records(const Row& row, int64_t at, const Table& t, const Hyper& h, float slope, const V* s) {
  float* records[N];
  Vec4 x{};
  for (int j = 0; j < N; ++j) {
    records[j] = record_of(t, row.ids[at + j]);
    x[j] = VALUES ? row.values[at + j] : 1.0f;
  }
  const Vec4 gx = slope * x;
  const uint32_t key = sizeof(S) < sizeof(float) ? rounding_key(at, slope) : 0;
  step_group<R, BLOCKS, V, N, true, S>(t, h, records, gx, [&](int j, int b, V v) __attribute__((always_inline)) {
    return VALUES ? gx[j] * (s[b] - rounded_for<R>(v * x[j])) : slope * (s[b] - v);
  }, key);
}

template <class R, int BLOCKS, class V, bool VALUES, class S = float>
CROSSFM_INLINE void step_one(const Row& row, int64_t at, const Table& t, const Hyper& h, float slope, const V* s) {
  if constexpr (BLOCKS == 0) {
    const float x = VALUES ? row.values[at] : 1.0f;
    step_scalar<R>(record_of(t, row.ids[at]), slope * x, h.l1_w, h.l2_w, h);
  } else {
    step_records<R, BLOCKS, V, VALUES, 1, S>(row, at, t, h, slope, s);
  }
}

// Move all features of a row whose sums are `s`. The records of the row `ahead` are fetched one by one between the
// updates, not in a burst.
template <class R, int BLOCKS, class V, bool VALUES, class S = float>
CROSSFM_CALLED void step_ids(const uint32_t* ids, const float* values, int64_t n, Table t, Hyper h, float slope,
                             const V* s, const uint32_t* ahead, int64_t n_ahead) {
  const Row row{ids, values, n};
  int64_t at = 0, next = 0;
  if constexpr (BLOCKS != 0) {
    for (; at + kGroup <= n && all_differ(ids + at); at += kGroup) {
      for (const int64_t stop = next + kGroup; next < stop && next < n_ahead; ++next)
        prefetch_record<R, BLOCKS, V, S>(t, record_of(t, ahead[next]));
      step_records<R, BLOCKS, V, VALUES, kGroup, S>(row, at, t, h, slope, s);
    }
  }
  for (; at < n; ++at) {
    if (next < n_ahead) prefetch_record<R, BLOCKS, V, S>(t, record_of(t, ahead[next++]));
    step_one<R, BLOCKS, V, VALUES, S>(row, at, t, h, slope, s);
  }
  for (; next < n_ahead; ++next) prefetch_record<R, BLOCKS, V, S>(t, record_of(t, ahead[next]));
}

template <class R, int BLOCKS, class V, bool VALUES, class S = float>
CROSSFM_INLINE void step_row(Row row, const Table& t, const Hyper& h, float slope, const V* s, Row ahead = {}) {
  step_ids<R, BLOCKS, V, VALUES, S>(row.ids, row.values, row.n, t, h, slope, s, ahead.ids, ahead.n);
}

template <class R, int BLOCKS, class V, bool VALUES>
CROSSFM_INLINE void step_row(const RowsView& rows, int64_t row, const Table& t, const Hyper& h, float slope, const V* s) {
  step_row<R, BLOCKS, V, VALUES>(row_of(rows, row), t, h, slope, s);
}

// Move the factors of a row's features along D, x_i D_f each, and leave w alone: a row that both sides share.
template <class R, int BLOCKS, class V, bool VALUES>
CROSSFM_CALLED void step_shared(RowsView rows, int64_t row, Table t, Hyper h, const V* D) {
  if constexpr (BLOCKS == 0) return;
  for (int64_t at = rows.begin(row), end = rows.end(row); at < end; ++at) {
    float* const record = record_of(t, rows.indices[at]);
    const float x = VALUES ? rows.values[at] : 1.0f;
    step_group<R, BLOCKS, V, 1, false>(t, h, &record, Vec4{}, [&](int, int b, V) __attribute__((always_inline)) { return x * D[b]; });
  }
}

}  // namespace crossfm::CROSSFM_ISA
