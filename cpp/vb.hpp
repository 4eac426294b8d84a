// Variational Bayes: moves of a mean field, in which all parameters are independent and normal.
//
// The block of a feature i, theta = (w_i, v_i1, ..., v_ik), all others held, has the optimum of `gibbs.hpp` with
// expectations in place of values: means P^-1 (...) by the same solve, variances s_f = 1 / P_ff. With m the means of v,
// q_r = sum_j x_j m_j, and by factor
//
//   t_r = sum_j x_j^2 s_j,   u_r = sum_j x_j^3 s_j m_j,
//
// the products of derivatives are E[h h'] = E[h] E[h]' + diag(x^2 t_r,-i), where -i leaves the feature's own term out.
// An error depends on the v of the others as a derivative does: E[h e] = E[h] E[e] - x (t_r,-i q_r - u_r,-i). t and u are
// kept beside q.
#pragma once

#include "gibbs.hpp"

namespace crossfm::CROSSFM_ISA {

template <class V, bool Plain>
struct MeanField {
  static constexpr int64_t L = lanes<V>;
  const GibbsArgs& a;
  const int64_t k;
  float *more, *less;  // in the scratch, behind what GibbsWork takes: (k,) sums for A's diagonal and from g, then steps
  const float* v = nullptr;
  float* s = nullptr;

  explicit MeanField(const GibbsArgs& a)
      : a(a), k(a.table.padded), more(a.scratch + gibbs_scratch(k) - 2 * k), less(more + k) {}

  void fetch(int64_t at) const {
    for (int64_t f = 0; f < 2 * k; f += 16) __builtin_prefetch(a.tu + a.row[at] * 2 * k + f, 1);
  }

  float value(int64_t at) const { return Plain || !a.value ? 1.0f : a.value[at]; }

  void start(const float* means, uint32_t feature) {
    v = means;
    s = a.variance + feature * a.table.stride;
    for (int64_t f = 0; f < 2 * k; f += L) store(more + f, V{});
  }

  void add(GibbsWork<V>&, int64_t from, int64_t n) {
    for (int64_t f = 0; f < k; f += L) {
      const V own = load<V>(s + f), own_v = own * load<V>(v + f);
      V square{}, tilt{};
      for (int64_t r = 0; r < n; ++r) {
        const int64_t row = a.row[from + r], at = row * 2 * k + f;
        const float x = value(from + r), root = Plain || !a.root ? 1.0f : a.root[row], c = x * root * root;
        const V t = load<V>(a.tu + at) - own * (x * x), u = load<V>(a.tu + at + k) - own_v * (x * x * x);
        square += t * (x * c);
        tilt += (t * load<V>(a.q + row * k + f) - u) * c;
      }
      store(more + f, load<V>(more + f) + square);
      store(less + f, load<V>(less + f) + tilt);
    }
  }

  // The sums take what is more and less; the variances are found, and how they and s v without the move of v change.
  void settle(GibbsWork<V>& work, const float* lambda) {
    const auto inverse = [&](float sum, float prior) {
      const float precision = a.alpha * sum + prior;
      return 1.0f / (precision < prior ? prior : precision);  // sums of rounded t may be below 0
    };
    for (int64_t f = 0; f < a.n_factors; ++f) {
      work.A[f * (k + 1)] += more[f];
      work.g[f] -= less[f];
      const float now = inverse(work.A[f * (k + 1)], lambda[1 + f]);
      more[f] = now - s[f];
      less[f] = s[f] * v[f];
      s[f] = now;
    }
    s[a.table.w_at] = inverse(work.xx, lambda[0]);
  }

  void move(int64_t begin, int64_t end, const float* delta) {
    for (int64_t f = 0; f < k; f += L)
      store(less + f, load<V>(s + f) * (load<V>(v + f) + load<V>(delta + f)) - load<V>(less + f));
    for (int64_t at = begin; at < end; ++at) {
      if (at + kGibbsAhead < end) fetch(at + kGibbsAhead);
      const float x = value(at);
      float *t = a.tu + int64_t{a.row[at]} * 2 * k, *u = t + k;
      for (int64_t f = 0; f < k; f += L) {
        store(t + f, load<V>(t + f) + load<V>(more + f) * (x * x));
        store(u + f, load<V>(u + f) + load<V>(less + f) * (x * x * x));
      }
    }
  }
};

// The variance of each row's score, the bias left out. With q the sum of x m and t that of x^2 s over a row, that of
// sum_{i<j} x_i v_i x_j v_j is, for each factor, sum_i x_i^2 s_i ((q - x_i m_i)^2 + (t - x_i^2 s_i) / 2).
template <class V>
void vb_variance(const VarianceArgs& a) {
  constexpr int64_t L = lanes<V>;
  for (int64_t r = a.begin; r < a.end; ++r) {
    const Row row = row_of(a.rows, r);
    const auto value = [&](int64_t at) { return row.values ? row.values[at] : 1.0f; };
    float linear = 0.0f;
    for (int64_t at = 0; at < row.n; ++at) linear += value(at) * value(at) * a.w[row.ids[at] * a.w_stride];
    V total{};
    for (int64_t f = 0; f < a.n_factors; f += L) {
      const int64_t rest = a.n_factors - f;
      const auto part = [&](const float* of, int64_t stride, int64_t at) {
        const float* from = of + row.ids[at] * stride + f;
        return rest < L ? load_first<V>(from, static_cast<int>(rest)) : load<V>(from);
      };
      V q{}, t{}, u{};
      for (int64_t at = 0; at < row.n; ++at) {
        const float x = value(at);
        const V xv = part(a.means, a.mean_stride, at) * x, xxs = part(a.variances, a.variance_stride, at) * (x * x);
        q += xv;
        t += xxs;
        u += xxs * xv;
      }
      for (int64_t at = 0; at < row.n; ++at) {
        const float x = value(at);
        const V others = q - part(a.means, a.mean_stride, at) * x;
        const V xxs = part(a.variances, a.variance_stride, at) * (x * x);
        total += xxs * (others * others + (t - xxs) * 0.5f);
      }
      if (a.tu) {
        store(a.tu + r * 2 * a.padded + f, t);
        store(a.tu + (r * 2 + 1) * a.padded + f, u);
      }
    }
    a.out[r] = linear + sum(total);
  }
}

}  // namespace crossfm::CROSSFM_ISA
