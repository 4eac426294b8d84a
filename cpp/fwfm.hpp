// Field-weighted and field-matrixed factorization machines over CSR rows with fields. Nothing here throws.
//   FwFM: Pan et al., "Field-weighted Factorization Machines for CTR Prediction", WWW 2018:
//     y = bias + sum_i w_i x_i + sum_{i<j} r_{f_i f_j} <v_i, v_j> x_i x_j
//   FmFM: Sun et al., "FM2: Field-matrixed Factorization Machines", WWW 2021, eq. (6): v_i^T M_{f_i f_j} v_j in its place.
// Ours: two features of one field meet as in the second-order machine (r = 1, M = I), which the papers leave open.
//
// With S[a] = sum of v_i x_i over the features i of field a, a pair of fields costs one product of sums, and the gradient
// of v_i is x_i C[a] with C[a] = sum_b r_ab S[b] (or M_ab S[b]).
#pragma once

#include "ffm.hpp"

namespace crossfm::CROSSFM_ISA {

// The record of two fields a < b among n.
inline int64_t pair_number(int64_t a, int64_t b, int64_t n) { return a * n - a * (a + 1) / 2 + b - a - 1; }

// One number for two fields: record [r, its states, count].
struct FieldWeight {
  template <class V>
  static float score(const float* r, const float* a, const float* b, int64_t size, float* to_a, float* to_b) {
    V product{};
    for (int64_t f = 0; f < size; f += lanes<V>) {
      const V s_a = load<V>(a + f), s_b = load<V>(b + f);
      product += s_a * s_b;
      store<V>(to_a + f, load<V>(to_a + f) + *r * s_b);
      store<V>(to_b + f, load<V>(to_b + f) + *r * s_a);
    }
    return *r * sum(product);
  }

  template <class R, class V>
  static void update(float* r, const float* a, const float* b, int64_t size, int64_t, float slope, const Hyper& h) {
    V product{};
    for (int64_t f = 0; f < size; f += lanes<V>) product += load<V>(a + f) * load<V>(b + f);
    step_scalar<R>(r, slope * sum(product), 0.0f, 0.0f, h);
  }
};

// A matrix for two fields: record M[size x size] | its states | unused, states, accumulator or count.
struct FieldMatrix {
  template <class V>
  static float score(const float* M, const float* a, const float* b, int64_t size, float* to_a, float* to_b) {
    float total = 0.0f;
    for (int64_t f = 0; f < size; ++f, M += size) {
      V product{};
      for (int64_t g = 0; g < size; g += lanes<V>) {
        const V m = load<V>(M + g);
        product += m * load<V>(b + g);
        store<V>(to_b + g, load<V>(to_b + g) + a[f] * m);
      }
      const float row = sum(product);
      to_a[f] += row;
      total += a[f] * row;
    }
    return total;
  }

  template <class R, class V>
  static void update(float* M, const float* a, const float* b, int64_t size, int64_t rank, float slope, const Hyper& given) {
    Hyper h = given;
    h.l1_V = h.l2_V = 0.0f;
    h.factor_share = 1.0f / static_cast<float>(rank * rank);
    const int64_t floats = size * size, per_row = size / lanes<V>;
    float* head = M + floats * (R::row_wise ? 1 : 1 + R::states);
    step_factors<R, V>(M, static_cast<int>(floats / lanes<V>), floats, head, h, [&](int block, V) {
      return (slope * a[block / per_row]) * load<V>(b + block % per_row * lanes<V>);
    });
    count_update<R>(head + 1 + R::states, h);
  }
};

// PAIR: FieldWeight or FieldMatrix. A row's scratch is S and C of its fields, (2, n, padded). VECTOR: padded is a multiple of
// its lanes.
template <class PAIR, bool VALUES, class VECTOR>
class FieldPairs {
 public:
  explicit FieldPairs(const FieldPassArgs& a) : args_(a), rows_(a.pass.rows), t_(a.pass.table), here_(a) {}

  static int64_t scratch_floats(const FieldPassArgs& a) {
    return 2 * (a.layout.longest < a.layout.n_fields ? a.layout.longest : a.layout.n_fields) * a.pass.table.padded;
  }

  float forward(int64_t row, float* scratch) {
    here_.scan(rows_, row);
    const int64_t n = here_.count, size = t_.padded;
    float *S = scratch, *C = scratch + n * size;
    for (int64_t i = 0; i < 2 * n * size; ++i) scratch[i] = 0.0f;
    float linear = 0.0f, pairs = 0.0f;
    VECTOR inside{};
    for (int64_t at = here_.begin; at < here_.end; ++at) {
      const float* V = record(at);
      float* s = S + here_.place(here_.field(at)) * size;
      linear += x(at) * V[t_.w_at];
      const bool alone = here_.features(here_.place(here_.field(at))) == 1;
      for (int64_t f = 0; f < size; f += kLanes) {
        const VECTOR z = load<VECTOR>(V + f) * x(at);
        if (!alone) inside += load<VECTOR>(s + f) * z;  // with the features of its field before it
        store<VECTOR>(s + f, load<VECTOR>(s + f) + z);
      }
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = i + 1; j < n; ++j) {
        const int64_t a = here_[i] < here_[j] ? i : j, b = a == i ? j : i;
        pairs += PAIR::template score<VECTOR>(pair(a, b), S + a * size, S + b * size, size, C + a * size, C + b * size);
      }
    here_.forget();
    return linear + pairs + sum(inside);
  }

  template <class R>
  void update(int64_t row, const float* scratch, float slope) {
    const Hyper& h = args_.pass.hyper;
    here_.scan(rows_, row);
    const int64_t n = here_.count, size = t_.padded;
    const float *S = scratch, *C = scratch + n * size;
    for (int64_t at = here_.begin; at < here_.end; ++at) {
      if (args_.parts > 1 && rows_.indices[at] % args_.parts != args_.part) continue;
      float* V = record(at);
      const int64_t a = here_.place(here_.field(at));
      const float* c = C + a * size;
      const float* s = here_.features(a) > 1 ? S + a * size : nullptr;
      const float gx = slope * x(at);
      step_factors<R, VECTOR>(V, static_cast<int>(size / kLanes), size, V + t_.w_at, h, [&](int b, VECTOR v) {
        const VECTOR across = load<VECTOR>(c + b * kLanes);
        return gx * (s ? across + (load<VECTOR>(s + b * kLanes) - CROSSFM_ROUNDED(v * x(at))) : across);
      });
      step_scalar<R>(V + t_.w_at, gx, h.l1_w, h.l2_w, h);
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = i + 1; j < n; ++j) {
        const int64_t a = here_[i] < here_[j] ? i : j, b = a == i ? j : i;
        if (args_.parts > 1 && number(a, b) % args_.parts != args_.part) continue;
        PAIR::template update<R, VECTOR>(pair(a, b), S + a * size, S + b * size, size, args_.rank, slope, h);
      }
    here_.forget();
  }

 private:
  static constexpr int kLanes = lanes<VECTOR>;

  float x(int64_t at) const { return VALUES ? rows_.values[at] : 1.0f; }
  float* record(int64_t at) const { return t_.data + rows_.indices[at] * t_.stride; }
  int64_t number(int64_t a, int64_t b) const { return pair_number(here_[a], here_[b], args_.layout.n_fields); }
  float* pair(int64_t a, int64_t b) const { return args_.pairs + number(a, b) * args_.pair_stride; }

  const FieldPassArgs& args_;
  const RowsView rows_;
  const Table t_;
  FieldsHere here_;
};

}  // namespace crossfm::CROSSFM_ISA
