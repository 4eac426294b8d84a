// Field-aware factorization machines over CSR rows with fields. Callers check shapes and ids; nothing here throws.
// Juan, Zhuang, Chin, Lin, "Field-aware Factorization Machines for CTR Prediction", RecSys 2016, eq. (4):
//   y = bias + sum_i w_i x_i + sum_{i<j} <v_{i, f_j}, v_{j, f_i}> x_i x_j.
//
// Two ways through a row. In general (Ffm), with S[a][b] = sum of v_{i,b} x_i over the features i of field a, two fields
// cost one inner product, <S[a][b], S[b][a]>, and the gradient of v_{i,b} is x_i S[b][a]; C[a][b] = S[b][a] is kept from the
// score to the update. Where every field has one feature (FfmBlocks) nothing is kept: T fields meet T others in registers,
// as a T x T matrix of vectors that is transposed, so that all loads and stores are whole lines of the records.
#pragma once

#include "half.hpp"
#include "losses.hpp"
#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

// One feature of a row: its record.
struct FieldRecord {
  float* V;
  float* head;    // w, its states, extra
  float* states;  // of V: the first of them
  int64_t apart;  // floats from one to the next
  uint32_t kind;
};

template <class S>
inline FieldRecord field_record(const FieldLayout& l, uint32_t feature, uint32_t field) {
  const uint32_t* where = l.where + 2 * static_cast<int64_t>(feature);
  const uint32_t kind = l.kind[field];
  const bool known = (where[1] & ~kCopy) == kind && where[0] != kNoRecord;
  float* V = known ? (where[1] & kCopy ? l.copies : l.block)[kind] + where[0] * l.length[kind] : l.empty;
  const FieldStates states = states_of(l.head[kind], is_half<S>);
  return {V, V + l.head[kind], V + states.first, states.apart, kind};
}

template <class R>
inline float scale_of(const float* head, const Hyper& h) {
  if constexpr (R::counts) {  // the count that step_scalar is about to add for this update
    const int64_t at = static_cast<int64_t>(head[1 + R::states]);
    return at < h.adam_steps ? h.adam_scale[at] : 1.0f;
  } else {
    return 1.0f;
  }
}

// The rate of a row-wise rule after an update whose squared gradients (of the loss alone, without L2) add up to `squares`.
inline float row_rate(float* head, float squares, const Hyper& h) {
  head[2] += squares * h.factor_share;
  return h.learning_rate * vrsqrt(head[2]);
}

// The fields of a row, numbered in the order of their first feature.
class FieldsHere {
 public:
  explicit FieldsHere(const FieldPassArgs& a)
      : place_(a.work), present_(a.work + a.layout.n_fields), features_(a.work + 2 * a.layout.n_fields) {}

  void scan(const RowsView& rows, int64_t row) {
    begin = rows.begin(row);
    end = rows.end(row);
    fields_ = rows.fields_of(row);
    count = 0;
    for (int64_t at = begin; at < end; ++at) {
      const uint32_t a = field(at);
      if (place_[a] < 0) {
        place_[a] = static_cast<int32_t>(count);
        features_[count] = 0;
        present_[count++] = static_cast<int32_t>(a);
      }
      ++features_[place_[a]];
    }
  }

  void forget() const {
    for (int64_t i = 0; i < count; ++i) place_[present_[i]] = -1;
  }

  uint32_t field(int64_t at) const { return fields_[at - begin]; }
  int32_t place(uint32_t field) const { return place_[field]; }
  int32_t operator[](int64_t i) const { return present_[i]; }
  int32_t features(int64_t i) const { return features_[i]; }

  int64_t begin = 0, end = 0, count = 0;

 private:
  int32_t* const place_;    // (n_fields,) -1 between rows
  int32_t* const present_;  // (n_fields,) fields in order
  int32_t* const features_;  // (n_fields,) how many features each of them has
  const uint32_t* fields_ = nullptr;
};

constexpr int64_t kAhead = 2;  // rows whose records are fetched before they are needed

// Any row: several features of one field, missing fields. VALUES: not all are 1. S holds a weight.
template <bool VALUES, class S>
class Ffm {
 public:
  explicit Ffm(const FieldPassArgs& a) : args_(a), rows_(a.pass.rows), l_(a.layout), here_(a) {}

  static int64_t scratch_floats(const FieldPassArgs& a) {
    const int64_t most = a.layout.longest < a.layout.n_fields ? a.layout.longest : a.layout.n_fields;
    return most * most * a.layout.vector;
  }

  // Score of a row without the bias; fills C (n x n x vector, n fields in the row) for the update that follows.
  float forward(int64_t row, float* C) {
    here_.scan(rows_, row);
    const int64_t n = here_.count, k = l_.vector;
    for (int64_t i = 0; i < n * n * k; ++i) C[i] = 0.0f;
    for (int64_t at = here_.begin; at < here_.end; ++at) {
      const FieldRecord r = record(at);
      const int64_t a = here_.place(here_.field(at));
      for (int64_t b = 0; b < n; ++b)
        if (const int32_t from = slot(r.kind, here_[b]); from >= 0)
          for (int64_t f = 0; f < k; f += 4)
            put<Vec4>(C + (b * n + a) * k + f, get<Vec4>(C + (b * n + a) * k + f) + part(r, from + f, at));
    }
    float linear = 0.0f, pairs = 0.0f;
    for (int64_t at = here_.begin; at < here_.end; ++at) {
      const FieldRecord r = record(at);
      const float* c = C + here_.place(here_.field(at)) * n * k;
      Vec4 total{};
      each(r, at, c, [&](int64_t f, Vec4 sums) { total += weights(r, f) * sums; });
      linear += x(at) * *r.head;
      pairs += x(at) * sum(total);
    }
    here_.forget();
    return linear + 0.5f * pairs;
  }

  // Move the records of a row that this part owns.
  template <class R>
  void update(int64_t row, const float* C, float slope) {
    const Hyper& h = args_.pass.hyper;
    here_.scan(rows_, row);
    for (int64_t at = here_.begin; at < here_.end; ++at) {
      if (args_.parts > 1 && rows_.indices[at] % args_.parts != args_.part) continue;
      const FieldRecord r = record(at);
      if (r.V == l_.empty) continue;
      Writer<Vec4, S> write(rounding_key(at - here_.begin, slope));  // of its own: another part may move the next one
      const float gx = slope * x(at);
      const float* c = C + here_.place(here_.field(at)) * here_.count * l_.vector;
      if constexpr (R::row_wise) {
        Vec4 squares{};
        each(r, at, c, [&](int64_t, Vec4 sums) {
          squares += (gx * sums) * (gx * sums);
        });
        const float rate = row_rate(r.head, sum(squares), h);
        each(r, at, c, [&](int64_t f, Vec4 sums) {
          const Vec4 v = weights(r, f);
          write(place(r, f), v - rate * (gx * sums + h.l2_V * v));
        });
      } else {
        const float scale = scale_of<R>(r.head, h);
        each(r, at, c, [&](int64_t f, Vec4 sums) {
          write(place(r, f), R::template step<Vec4>(weights(r, f), r.states + f, r.apart, gx * sums, h.l1_V, h.l2_V, h, scale));
        });
      }
      step_scalar<R>(r.head, gx, h.l1_w, h.l2_w, h);
    }
    here_.forget();
  }

 private:
  float x(int64_t at) const { return VALUES ? rows_.values[at] : 1.0f; }
  int32_t slot(uint32_t kind, int64_t field) const { return l_.slot[kind * l_.n_fields + field]; }
  FieldRecord record(int64_t at) const { return field_record<S>(l_, rows_.indices[at], here_.field(at)); }
  static S* place(const FieldRecord& r, int64_t f) { return weights_of<S>(r.V) + f; }
  static Vec4 weights(const FieldRecord& r, int64_t f) { return load_weights<Vec4>(place(r, f)); }

  // What four factors of a feature add to a sum; rounded here, so that a feature alone leaves exactly 0 of itself.
  Vec4 part(const FieldRecord& r, int64_t f, int64_t at) const { return CROSSFM_ROUNDED(weights(r, f) * x(at)); }

  // f(number of the first, sums) for every four factors that the row touches, without the feature itself in the sums.
  template <class F>
  void each(const FieldRecord& r, int64_t at, const float* c, F f) const {
    const int32_t own = static_cast<int32_t>(here_.field(at));
    for (int64_t b = 0; b < here_.count; ++b, c += l_.vector) {
      if (here_[b] == own && here_.features(b) == 1) continue;
      if (const int32_t s = slot(r.kind, here_[b]); s >= 0)
        for (int64_t i = 0; i < l_.vector; i += 4)
          f(s + i, here_[b] == own ? get<Vec4>(c + i) - part(r, s + i, at) : get<Vec4>(c + i));
    }
  }

  const FieldPassArgs& args_;
  const RowsView rows_;
  const FieldLayout l_;
  FieldsHere here_;
};

// The T x T blocks of a transposed matrix of blocks; a block is lanes<V> / T floats.
template <int T, class V>
inline void transpose(V (&m)[T]) {
  if constexpr (T == 2 && lanes<V> == 16) {
    const V a = m[0], b = m[1];
    m[0] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    m[1] = __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  } else if constexpr (T == 2) {
    const V a = m[0], b = m[1];
    m[0] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
    m[1] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  } else if constexpr (T == 4) {
    V even[2], odd[2];
    for (int i = 0; i < 2; ++i) {
      const V a = m[i], b = m[i + 2];  // quarters a0 b0 a2 b2 and a1 b1 a3 b3
      even[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
      odd[i] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
    // even[0] = m0q0 m2q0 m0q2 m2q2, even[1] = m1q0 m3q0 m1q2 m3q2; likewise odd with q1, q3
    m[0] = __builtin_shufflevector(even[0], even[1], 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    m[1] = __builtin_shufflevector(odd[0], odd[1], 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    m[2] = __builtin_shufflevector(even[0], even[1], 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    m[3] = __builtin_shufflevector(odd[0], odd[1], 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  }
}

// Whether a zero gradient leaves a weight and its state as they are.
template <class R>
inline bool rests(const Hyper& h) {
  return !R::counts && h.l2_V == 0.0f && h.l1_V == 0.0f && h.ftrl_decay == 1.0f;
}

// A row with one feature a field, under a layout in which every record has a vector for every field, its own too (which
// stays as it is: the head of a record may share a line with it). V is the register, T the fields it holds; with T = 1
// a vector takes any number of registers; S holds a weight. What the loops need is copied to locals: a store could change any member.
template <class V, int T, bool VALUES, class S>
class FfmBlocks {
 public:
  explicit FfmBlocks(const FieldPassArgs& a)
      : rows_(a.pass.rows),
        l_(a.layout),
        records_(a.records),
        x_(a.x),
        rates_(a.x + a.layout.n_fields + 4),
        squares_(a.x + 2 * (a.layout.n_fields + 4)),
        head_(a.layout.uniform ? a.layout.head[0] : 0),
        blocks_((a.layout.n_fields + T - 1) / T),
        chunks_(T == 1 ? a.layout.vector / lanes<V> : 1) {
    for (int64_t f = l_.n_fields; f < blocks_ * T; ++f) records_[f] = l_.empty, x_[f] = 0.0f;
  }

  // Find the records of a row; false where this way cannot go: two features of one field, or too many missing.
  bool find(int64_t row, bool missing_allowed) {
    const int64_t begin = rows_.begin(row), end = rows_.end(row), n = l_.n_fields;
    const uint32_t* fields = rows_.fields_of(row);
    if (end - begin > n || 2 * (end - begin) < n || (end - begin < n && !missing_allowed)) return false;
    for (int64_t a = 0; a < n; ++a) records_[a] = nullptr;
    for (int64_t at = begin; at < end; ++at) {
      const uint32_t a = fields[at - begin];
      if (records_[a]) return false;
      records_[a] = field_record<S>(l_, rows_.indices[at], a).V;
      if constexpr (VALUES) x_[a] = rows_.values[at];
    }
    if (end - begin < n)
      for (int64_t a = 0; a < n; ++a)
        if (!records_[a]) records_[a] = l_.empty, x_[a] = 0.0f;
    return true;
  }

  // Score of the row without the bias; fetches the records of row `next` (-1: none). SQUARES: also leaves, for each
  // field's record, the sum of c^2, where slope x c is the gradient: of all vectors for this field, their squares.
  template <bool SQUARES>
  float forward(int64_t next) {
    if (next >= 0)
      for (int64_t at = rows_.begin(next), end = rows_.end(next); at < end; ++at) fetch(at, head_ + kHead);
    const int64_t n = blocks_, vector = l_.vector, chunks = chunks_;
    float* const* const records = records_;
    float linear = 0.0f;
    for (int64_t a = 0; a < l_.n_fields; ++a) linear += x(a) * records[a][head_];
    V pairs{}, diagonal{};
    if constexpr (SQUARES)
      for (int64_t A = 0; A < n; ++A) store<V>(squares_ + A * lanes<V>, V{});
    for (int64_t A = 0; A < n; ++A) {
      V squares_A{};
      for (int64_t B = A; B < n; ++B) {
        V sum{}, squares_B{};
        for (int64_t i = 0; i < chunks; ++i) {
          V a[T], b[T];
          for (int t = 0; t < T; ++t) {
            a[t] = load_weights<V>(weights_of<S>(records[A * T + t]) + B * T * vector + i * lanes<V>);
            b[t] = load_weights<V>(weights_of<S>(records[B * T + t]) + A * T * vector + i * lanes<V>);
            if constexpr (VALUES) a[t] *= x_[A * T + t], b[t] *= x_[B * T + t];
            if (A == B) a[t] = b[t] = moves(A * T + t, B) ? a[t] : V{};
            if constexpr (SQUARES) squares_A += b[t] * b[t], squares_B += a[t] * a[t];
          }
          transpose<T, V>(b);
          for (int t = 0; t < T; ++t) sum += a[t] * b[t];
        }
        if (A == B) {
          diagonal += sum;
        } else {
          pairs += sum;
          if constexpr (SQUARES) store<V>(squares_ + B * lanes<V>, load<V>(squares_ + B * lanes<V>) + squares_B);
        }
      }
      if constexpr (SQUARES) store<V>(squares_ + A * lanes<V>, load<V>(squares_ + A * lanes<V>) + squares_A);
    }
    return linear + crossfm::CROSSFM_ISA::sum(pairs + 0.5f * diagonal);
  }

  // Move the records of the row; fetches those of row `next` (-1: none). For row-wise rules the rate is in the gradient.
  template <class R>
  void update(float slope, const Hyper& hyper, int64_t next) {
    const Hyper h = hyper;
    Writer<V, S> write(rounding_key(0, slope));
    if constexpr (R::row_wise) set_rates(slope, h);
    const int64_t n = blocks_, n_fields = l_.n_fields, vector = l_.vector, chunks = chunks_;
    const auto [states, apart] = states_of(head_, is_half<S>);
    float* const empty = l_.empty;
    int64_t ahead = 0, ahead_end = 0;
    if (next >= 0) ahead = rows_.begin(next), ahead_end = rows_.end(next);
    for (int64_t A = 0; A < n; ++A) {
      float* ra[T];
      float xa[T], rate_a[T];
      for (int t = 0; t < T; ++t) {
        ra[t] = records_[A * T + t];
        rate_a[t] = R::row_wise ? rates_[A * T + t] : scale_of<R>(ra[t] + head_, h);
        xa[t] = slope * x(A * T + t) * (R::row_wise ? rate_a[t] : 1.0f);
      }
      const V x_A = x_of_block(A);
      for (int64_t B = A; B < n; ++B) {
        const bool edge = A == B || (B + 1) * T > n_fields;
        const V x_B = x_of_block(B);
        for (int64_t i = 0; i < chunks; ++i) {
          const int64_t at_a = B * T * vector + i * lanes<V>, at_b = A * T * vector + i * lanes<V>;
          V a[T], b[T], to_a[T], to_b[T];
          for (int t = 0; t < T; ++t) to_b[t] = a[t] = load_weights<V>(weights_of<S>(ra[t]) + at_a);
          for (int t = 0; t < T; ++t) to_a[t] = b[t] = load_weights<V>(weights_of<S>(records_[B * T + t]) + at_b);
          transpose<T, V>(to_a);
          transpose<T, V>(to_b);
          for (int t = 0; t < T; ++t) {
            if (ra[t] == empty) continue;
            const V g = xa[t] * (VALUES ? to_a[t] * x_B : to_a[t]);
            float* const state = ra[t] + states + at_a;
            write(weights_of<S>(ra[t]) + at_a, edge ? moved_some<R>(state, apart, a[t], g, h, rate_a[t], moves(A * T + t, B))
                                                    : moved<R>(state, apart, a[t], g, h, rate_a[t]));
          }
          if (A == B) continue;
          for (int t = 0; t < T; ++t) {
            float* const rb = records_[B * T + t];
            if (rb == empty) continue;
            const float rate = R::row_wise ? rates_[B * T + t] : scale_of<R>(rb + head_, h);
            const V g = (slope * x(B * T + t) * (R::row_wise ? rate : 1.0f)) * (VALUES ? to_b[t] * x_A : to_b[t]);
            write(weights_of<S>(rb) + at_b, moved<R>(rb + states + at_b, apart, b[t], g, h, rate));
          }
        }
        if (ahead < ahead_end) fetch(ahead++, 0);
      }
    }
    while (ahead < ahead_end) fetch(ahead++, 0);
    for (int64_t a = 0; a < n_fields; ++a)
      if (records_[a] != empty) step_scalar<R>(records_[a] + head_, slope * x(a), h.l1_w, h.l2_w, h);
  }

  // Fetch what says where the records of a row are.
  [[gnu::always_inline]] void look_up(int64_t row) const {
    for (int64_t at = rows_.begin(row), end = rows_.end(row); at < end; ++at)
      __builtin_prefetch(l_.where + 2 * static_cast<int64_t>(rows_.indices[at]));
  }

 private:
  using Mask = MaskOf<V>;

  float x(int64_t a) const { return VALUES ? x_[a] : 1.0f; }

  // The values of a block's fields, each as often as it has lanes.
  V x_of_block(int64_t B) const {
    if constexpr (!VALUES) return V{};
    else if constexpr (T == 1) return V{} + x_[B];
    else if constexpr (T == 2) return blend<V>(V{} + x_[2 * B], V{} + x_[2 * B + 1], 2);
    else return blend<V>(blend<V>(V{} + x_[4 * B], V{} + x_[4 * B + 1], 4), blend<V>(V{} + x_[4 * B + 2], V{} + x_[4 * B + 3], 4), 2);
  }

  // a in the lower lanes of every `parts`-th of the register, b in the upper.
  template <class U>
  static U blend(U a, U b, int parts) {
    MaskOf<U> upper{};
    for (int j = 0; j < lanes<U>; ++j) upper[j] = (j * parts / lanes<U>) % 2 ? -1 : 0;
    return upper ? b : a;
  }

  // Lanes of field a's vectors for block B that may move: not its own, not of fields that do not exist.
  Mask moves(int64_t a, int64_t B) const {
    Mask field{};
    for (int j = 0; j < lanes<V>; ++j) field[j] = j * T / lanes<V>;
    field += static_cast<int32_t>(B * T);
    return (field < static_cast<int32_t>(l_.n_fields)) & (field != static_cast<int32_t>(a));
  }

  template <class R>
  static V moved(float* state, int64_t apart, V v, V g, const Hyper& h, float rate) {
    if constexpr (R::row_wise) return v - (g + rate * h.l2_V * v);
    else return R::template step<V>(v, state, apart, g, h.l1_V, h.l2_V, h, rate);
  }

  template <class R>
  static V moved_some(float* state, int64_t apart, V v, V g, const Hyper& h, float rate, Mask moving) {
    V before[2] = {};
    if constexpr (!R::row_wise)
      for (int s = 0; s < R::states; ++s) before[s] = load<V>(state + s * apart);
    const V to = moved<R>(state, apart, v, g, h, rate);
    if constexpr (!R::row_wise)
      for (int s = 0; s < R::states; ++s) store<V>(state + s * apart, moving ? load<V>(state + s * apart) : before[s]);
    return moving ? to : v;
  }

  // Rates of a row-wise rule, from the squares that forward left.
  void set_rates(float slope, const Hyper& h) {
    constexpr int w = lanes<V> / T;
    for (int64_t a = 0; a < l_.n_fields; ++a) {
      float squares = 0.0f;
      for (int j = 0; j < w; ++j) squares += squares_[a * w + j];
      const float gx = slope * x(a);
      if (records_[a] != l_.empty) rates_[a] = row_rate(records_[a] + head_, gx * gx * squares, h);
    }
  }

  // Fetch the first `floats` of the record of one non-zero; 0: all of it.
  // Always inline: gcc drops calls of a function that only prefetches, as if it did nothing.
  [[gnu::always_inline]] void fetch(int64_t at, int64_t floats) const {
    const uint32_t* where = l_.where + 2 * static_cast<int64_t>(rows_.indices[at]);
    if (where[0] == kNoRecord) return;
    const uint32_t kind = where[1] & ~kCopy;
    const int64_t length = l_.length[kind], size = floats ? floats : length;
    const float* record = (where[1] & kCopy ? l_.copies : l_.block)[kind] + where[0] * length;
    for (int64_t i = 0; i < size; i += kLine) __builtin_prefetch(record + i, 0, 2);
  }

  const RowsView rows_;
  const FieldLayout l_;
  float** const records_;  // (blocks * T,) of the row at hand, by field
  float* const x_;         // (blocks * T,) its values
  float* const rates_;     // (blocks * T,)
  float* const squares_;   // (blocks * lanes<V>,)
  const int64_t head_, blocks_, chunks_;
};

// One pass of stochastic updates over order[begin, end); returns the sum of the losses before each update.
template <class R, class Fast, class Any>
double ffm_rows(const FieldPassArgs& args) {
  const PassArgs& a = args.pass;
  Any any(args);
  Fast fast(args);
  const bool missing_allowed = rests<R>(a.hyper);
  double total = 0.0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    const int64_t row = a.order[i];
    if (i + 2 * kAhead < a.end) fast.look_up(a.order[i + 2 * kAhead]);
    const bool is_fast = args.layout.uniform && fast.find(row, missing_allowed);
    const float score = *a.bias + (is_fast ? fast.template forward<R::row_wise>(-1) : any.forward(row, args.scratch));
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const LossAt loss = loss_at(a.loss, score, a.target[row]);
    total += weight * loss.value;
    const float slope = weight * loss.slope;
    if (is_fast) {
      fast.template update<R>(slope, a.hyper, i + kAhead < a.end ? a.order[i + kAhead] : -1);
    } else {
      any.template update<R>(row, args.scratch, slope);
    }
    step_scalar<R>(a.bias, slope, 0.0f, 0.0f, a.hyper);
  }
  return total;
}

template <class Fast, class Any>
void ffm_score_rows(const FieldPassArgs& args) {
  const PassArgs& a = args.pass;
  Any any(args);
  Fast fast(args);
  for (int64_t row = a.begin; row < a.end; ++row) {
    const bool is_fast = args.layout.uniform && fast.find(row, true);
    const int64_t next = row + 1 < a.end ? row + 1 : -1;
    args.score[row] = *a.bias + (is_fast ? fast.template forward<false>(next) : any.forward(row, args.scratch));
  }
}

}  // namespace crossfm::CROSSFM_ISA
