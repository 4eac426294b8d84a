// Exact moves of the second-order machine, a feature at a time: Gibbs sampling and alternating least squares.
// C. Freudenthaler, L. Schmidt-Thieme, S. Rendle, "Bayesian Factorization Machines", 2011; S. Rendle, "Factorization
// Machines with libFM", ACM TIST 2012. Callers check shapes and ids; nothing here throws.
//
// The score is linear in all parameters of one feature i together: with theta = (w_i, v_i1, ..., v_ik) it moves by
// <h_r, d theta>, where h_r = x (1, q_r1 - x v_i1, ..., q_rk - x v_ik) and q_r = sum_j x_j v_j. Under the prior
// theta_f ~ N(mu_f, 1 / lambda_f) and errors e_r ~ N(0, 1 / (alpha c_r)), c_r the row's weight, theta given all
// others is therefore normal with
//
//   precision P = alpha sum_r c_r h_r h_r' + diag(lambda),
//   mean      theta + P^-1 g,   g = alpha sum_r c_r h_r e_r + lambda (mu - theta).
//
// The papers draw one coordinate after another from the same conditional; here all coordinates of the feature are drawn
// at once, which needs one look at its rows, and another to move e and q. P = U'U: the new theta is
// theta + U^-1 (U'^-1 g + z), z standard normal, or zero for the mean.
#pragma once

#include "gibbs_args.hpp"
#include "vec.hpp"

namespace crossfm::CROSSFM_ISA {

constexpr int64_t kGibbsAhead = 8;  // rows fetched ahead

// Loaded from L - n on, n zeros and then ones.
alignas(64) static constexpr float kSteps[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

// The sums of one feature and room for its derivatives; laid out in the thread's scratch. `padded` is k, a multiple of
// lanes<V>; `rows` of a matrix are k floats, of which the blocks from the diagonal on are kept.
template <class V>
struct GibbsWork {
  static constexpr int64_t L = lanes<V>;
  const int64_t k;
  float *A, *c, *g, *delta, *H, *E, *X;
  float xx = 0.0f, xe = 0.0f;

  GibbsWork(int64_t padded, float* scratch)
      : k(padded), A(scratch), c(A + k * k), g(c + k), delta(g + k), H(delta + 2 * k), E(H + kGibbsChunk * k),
        X(E + kGibbsChunk) {}

  void clear() {
    for (int64_t f = 0; f < (k + 3) * k; f += L) store(A + f, V{});
    xx = xe = 0.0f;
  }

  // Add the products of n rows' derivatives: H H' to A, X H to c, E H to g. Sums of a chunk are made first and added
  // then, so that millions of rows lose no digits.
  void add(int64_t n) {
    constexpr int R = L < 8 ? L : 8;
    for (int64_t f = 0; f < k; f += R)
      for (int64_t col = f / L * L; col < k; col += L) {
        V sums[R] = {};
        for (int64_t r = 0; r < n; ++r) {
          const V h = load<V>(H + r * k + col);
          const float* left = H + r * k + f;
          for (int i = 0; i < R; ++i) sums[i] += left[i] * h;
        }
        for (int i = 0; i < R; ++i) store(A + (f + i) * k + col, load<V>(A + (f + i) * k + col) + sums[i]);
      }
    for (int64_t col = 0; col < k; col += L) {
      V with_x[2] = {}, with_e[2] = {};
      for (int64_t r = 0; r < n; ++r) {
        const V h = load<V>(H + r * k + col);
        with_x[r & 1] += X[r] * h;
        with_e[r & 1] += E[r] * h;
      }
      store(c + col, load<V>(c + col) + (with_x[0] + with_x[1]));
      store(g + col, load<V>(g + col) + (with_e[0] + with_e[1]));
    }
    float sum_xx = 0.0f, sum_xe = 0.0f;
    for (int64_t r = 0; r < n; ++r) {
      sum_xx += X[r] * X[r];
      sum_xe += X[r] * E[r];
    }
    xx += sum_xx;
    xe += sum_xe;
  }
};

// 1 / the root of a pivot. It is at least the prior's precision but for rounding. 0, for no move along the
// coordinate, where neither prior nor rows say anything of it; NaN stays NaN.
inline float inverse_root(float pivot, float prior, float before) {
  if (pivot < prior) pivot = prior;
  return pivot <= 1e-6f * before && prior <= 1e-6f * before ? 0.0f : 1.0f / __builtin_sqrtf(pivot);
}

// From the sums to the move: fills work.delta and returns that of w.
template <class V>
inline float solve(const GibbsArgs& a, GibbsWork<V>& work, const float* v, float w, const float* lambda,
                   const float* mu, const float* noise) {
  constexpr int64_t L = lanes<V>;
  const int64_t k = work.k, n = a.n_factors;
  const float alpha = a.alpha;
  float *__restrict A = work.A, *__restrict c = work.c, *__restrict g = work.g, *__restrict delta = work.delta;
  float* __restrict inverse = work.delta + k;
  const float p_w = alpha * work.xx + lambda[0];
  const float inverse_w = a.fixed_w ? 0.0f : inverse_root(p_w, lambda[0], p_w);
  const float y_w = (alpha * work.xe + lambda[0] * (mu[0] - w)) * inverse_w;
  for (int64_t f = 0; f < k; f += L) {
    const V u = load<V>(c + f) * (alpha * inverse_w);
    const V prior = load<V>(lambda + 1 + f) * (load<V>(mu + 1 + f) - load<V>(v + f));
    store(c + f, u);
    store(g + f, alpha * load<V>(g + f) + prior - u * y_w);
    store(delta + f, V{});
  }
  for (int64_t f = 0; f < n; ++f) {
    float* row = A + f * k;
    const float left = c[f];
    inverse[f] = alpha * row[f] + lambda[1 + f];  // the diagonal before elimination
    for (int64_t col = f / L * L; col < k; col += L)
      store(row + col, alpha * load<V>(row + col) - left * load<V>(c + col));
    row[f] += lambda[1 + f];
  }
  for (int64_t j = 0; j < n; ++j) {  // U row by row, and U'^-1 g beside it
    float* pivot = A + j * k;
    const int64_t first = j / L * L;
    const float scale = inverse[j] = inverse_root(pivot[j], lambda[1 + j], inverse[j]);
    const float y = g[j] * scale;
    store(pivot + first, load<V>(pivot + first) * load<V>(kSteps + 16 - (j - first)));  // nothing left of the diagonal
    for (int64_t col = first; col < k; col += L) {
      const V u = load<V>(pivot + col) * scale;
      store(pivot + col, u);
      store(g + col, load<V>(g + col) - u * y);
    }
    g[j] = y;  // the others of its block have lost U's row times y, those before nothing
    for (int64_t i = j + 1; i < n; ++i) {
      const float left = pivot[i];
      float* row = A + i * k;
      for (int64_t col = i / L * L; col < k; col += L)
        store(row + col, load<V>(row + col) - left * load<V>(pivot + col));
    }
  }
  for (int64_t j = n - 1; j >= 0; --j) {
    V done{};
    for (int64_t col = j / L * L; col < k; col += L) done += load<V>(A + j * k + col) * load<V>(delta + col);
    delta[j] = (g[j] + (noise ? noise[1 + j] : 0.0f) - sum(done)) * inverse[j];
  }
  V done{};
  for (int64_t f = 0; f < k; f += L) done += load<V>(c + f) * load<V>(delta + f);
  return (y_w + (noise ? noise[0] : 0.0f) - sum(done)) * inverse_w;
}

// What a move has beside it: nothing, the variances of a mean field (`vb.hpp`), or what several rows have beside their
// mean (`relation.hpp`).
struct Alone {
  void fetch(int64_t) const {}
  void start(const float*, uint32_t) {}
  template <class V>
  void add(GibbsWork<V>&, int64_t, int64_t) {}
  template <class V>
  void settle(GibbsWork<V>&, const float*) {}
  void move(int64_t, int64_t, const float*) {}
};

// Plain: all values and weights are 1.
template <class V, bool Plain, class Beside>
inline void gibbs_column(const GibbsArgs& a, int64_t column, GibbsWork<V>& work, Beside& beside) {
  constexpr int64_t L = lanes<V>;
  const int64_t k = work.k, begin = a.start[column], end = a.start[column + 1];
  const uint32_t feature = a.feature[column];
  float* v = a.table.data + feature * a.table.stride;
  float* w = v + a.table.w_at;
  const auto value = [&](int64_t at) { return Plain || !a.value ? 1.0f : a.value[at]; };
  const int64_t limit = a.start[a.end];
  const auto fetch = [&](int64_t at) {
    if (at >= limit) return;
    __builtin_prefetch(a.e + a.row[at], 1);
    for (int64_t f = 0; f < k; f += 16) __builtin_prefetch(a.q + a.row[at] * k + f, 1);
    beside.fetch(at);
  };
  work.clear();
  beside.start(v, feature);
  for (int64_t from = begin; from < end; from += kGibbsChunk) {
    const int64_t n = end - from < kGibbsChunk ? end - from : kGibbsChunk;
    for (int64_t r = 0; r < n; ++r) {
      fetch(from + r + kGibbsAhead);
      const int64_t row = a.row[from + r];
      const float x = value(from + r), root = Plain || !a.root ? 1.0f : a.root[row];
      for (int64_t f = 0; f < k; f += L)
        store(work.H + r * k + f, (load<V>(a.q + row * k + f) - load<V>(v + f) * x) * (x * root));
      work.X[r] = x * root;
      work.E[r] = a.e[row] * root;
    }
    work.add(n);
    beside.add(work, from, n);
  }
  const int64_t prior = a.group[feature] * (1 + k);
  beside.settle(work, a.lambda + prior);
  const float dw = solve(a, work, v, *w, a.lambda + prior, a.mu + prior,
                         a.noise ? a.noise + column * (1 + a.n_factors) : nullptr);
  const float* delta = work.delta;
  const auto move = [&](int64_t at) {  // q of a row; returns by lanes what its score gains from v
    const float x = value(at);
    float* q = a.q + int64_t{a.row[at]} * k;
    V gain{};
    for (int64_t f = 0; f < k; f += L) {
      const V before = load<V>(q + f), step = load<V>(delta + f) * x;
      gain += (before - load<V>(v + f) * x) * step;
      store(q + f, before + step);
    }
    return gain;
  };
  int64_t at = begin;
  for (; at + 4 <= end; at += 4) {
    V gain[4];
    for (int i = 0; i < 4; ++i) {
      fetch(at + i + kGibbsAhead);
      gain[i] = move(at + i);
    }
    const Vec4 total = sums(gain);
    for (int i = 0; i < 4; ++i) a.e[a.row[at + i]] -= total[i] + value(at + i) * dw;
  }
  for (; at < end; ++at) a.e[a.row[at]] -= sum(move(at)) + value(at) * dw;
  beside.move(begin, end, delta);
  for (int64_t f = 0; f < k; f += L) store(v + f, load<V>(v + f) + load<V>(delta + f));
  *w += dw;
}

template <class V, bool Plain, class Beside>
void gibbs_columns(const GibbsArgs& a, Beside beside) {
  GibbsWork<V> work(a.table.padded, a.scratch);
  for (int64_t column = a.begin; column < a.end; ++column) gibbs_column<V, Plain>(a, column, work, beside);
}

}  // namespace crossfm::CROSSFM_ISA
