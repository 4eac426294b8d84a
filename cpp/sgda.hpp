// SGD that adapts its L2 penalties on validation rows: S. Rendle, "Learning Recommender Systems with Adaptive
// Regularization", WSDM 2012. Callers check shapes and ids; nothing here throws.
//
// After each step of the parameters theta on a training row, a validation row (x', y') asks how the penalties should
// have been. With theta' = theta - eta (g + 2 lambda theta), one step ahead along the last gradient g that each
// coordinate had (kept beside it, as in libFM),
//
//   lambda <- max(0, lambda - eta dl(y(x' | theta'), y') / dlambda),
//   d y(x' | theta') / d lambda_w  = -2 eta sum_i w_i x_i
//   d y(x' | theta') / d lambda_vf = -2 eta sum_i x_i v_if (s'_f - x_i v'_if),   s'_f = sum_j x_j v'_jf
//
// where the outer sums run over the features of one group. Plain loops: the compiler makes vectors of them.
#pragma once

#include "losses.hpp"

namespace crossfm::CROSSFM_ISA {

inline float value_at(const RowsView& rows, int64_t at) { return rows.values ? rows.values[at] : 1.0f; }

// The penalties of the group of a feature: lambda of w, then of each factor.
inline float* penalty_of(const SgdaArgs& a, uint32_t feature) {
  return a.penalty + (a.group ? a.group[feature] : 0) * (1 + a.train.table.padded);
}

// One stochastic step on a training row; returns its loss before it.
inline double sgda_step(const SgdaArgs& a, int64_t row) {
  const PassArgs& t = a.train;
  const Table& table = t.table;
  const int64_t k = table.padded;
  const float eta = t.hyper.learning_rate;
  float *__restrict s = a.scratch, *__restrict squares = a.scratch + k;
  for (int64_t f = 0; f < k; ++f) s[f] = squares[f] = 0.0f;
  float score = *t.bias;
  for (int64_t at = t.rows.begin(row), end = t.rows.end(row); at < end; ++at) {
    const float* __restrict v = table.data + t.rows.indices[at] * table.stride;
    const float x = value_at(t.rows, at);
    for (int64_t f = 0; f < k; ++f) {
      const float z = v[f] * x;
      s[f] += z;
      squares[f] += z * z;
    }
    score += v[table.w_at] * x;
  }
  float total = 0.0f;
  for (int64_t f = 0; f < k; ++f) total += s[f] * s[f] - squares[f];
  const LossAt loss = loss_at(t.loss, score + 0.5f * total, t.target[row]);
  const float weight = t.weight ? t.weight[row] : 1.0f;
  const float slope = weight * loss.slope;
  for (int64_t at = t.rows.begin(row), end = t.rows.end(row); at < end; ++at) {
    const uint32_t feature = t.rows.indices[at];
    float* __restrict v = table.data + feature * table.stride;
    float* __restrict g = v + k;  // the last gradient of V
    const float* __restrict lambda = penalty_of(a, feature) + 1;
    const float x = value_at(t.rows, at), gx = slope * x;
    for (int64_t f = 0; f < k; ++f) {
      g[f] = gx * (s[f] - v[f] * x);
      v[f] -= eta * (g[f] + 2.0f * lambda[f] * v[f]);
    }
    float* w = v + table.w_at;
    w[1] = gx;
    w[0] -= eta * (gx + 2.0f * lambda[-1] * w[0]);
  }
  *t.bias -= eta * slope;
  return weight * loss.value;
}

// One step of the penalties on a validation row.
inline void sgda_adapt(const SgdaArgs& a, int64_t row) {
  const PassArgs& t = a.train;
  const Table& table = t.table;
  const int64_t k = table.padded;
  const float eta = t.hyper.learning_rate;
  float *__restrict s = a.scratch, *__restrict squares = a.scratch + k;  // s is s'
  float* outer = a.scratch + 2 * k;  // (n_groups, 1 + k) sums by group; zero between calls
  for (int64_t f = 0; f < k; ++f) s[f] = squares[f] = 0.0f;
  float score = *t.bias;
  for (int64_t at = a.valid.begin(row), end = a.valid.end(row); at < end; ++at) {
    const uint32_t feature = a.valid.indices[at];
    const float* __restrict v = table.data + feature * table.stride;
    const float* w = v + table.w_at;
    const float* __restrict lambda = penalty_of(a, feature) + 1;
    const float x = value_at(a.valid, at);
    for (int64_t f = 0; f < k; ++f) {
      const float z = x * (v[f] - eta * (v[k + f] + 2.0f * lambda[f] * v[f]));
      s[f] += z;
      squares[f] += z * z;
    }
    score += x * (w[0] - eta * (w[1] + 2.0f * lambda[-1] * w[0]));
  }
  float total = 0.0f;
  for (int64_t f = 0; f < k; ++f) total += s[f] * s[f] - squares[f];
  const float weight = a.valid_weight ? a.valid_weight[row] : 1.0f;
  const float slope = weight * loss_at(t.loss, score + 0.5f * total, a.valid_target[row]).slope;
  const float step = 2.0f * eta * eta * slope;
  for (int64_t at = a.valid.begin(row), end = a.valid.end(row); at < end; ++at) {
    const uint32_t feature = a.valid.indices[at];
    const float* __restrict v = table.data + feature * table.stride;
    const float* __restrict lambda = penalty_of(a, feature) + 1;
    float* __restrict sums = outer + (lambda - 1 - a.penalty);
    const float x = value_at(a.valid, at);
    sums[0] += x * v[table.w_at];
    for (int64_t f = 0; f < k; ++f) {
      const float ahead = v[f] - eta * (v[k + f] + 2.0f * lambda[f] * v[f]);
      sums[1 + f] += x * v[f] * (s[f] - x * ahead);
    }
  }
  for (int64_t at = a.valid.begin(row), end = a.valid.end(row); at < end; ++at) {
    float* lambda = penalty_of(a, a.valid.indices[at]);
    float* sums = outer + (lambda - a.penalty);
    for (int64_t f = 0; f <= k; ++f) {  // a group's second feature finds zeros
      const float moved = lambda[f] + step * sums[f];
      lambda[f] = moved < 0.0f ? 0.0f : moved;
      sums[f] = 0.0f;
    }
  }
}

// One pass over order[begin, end), with a validation row after each where there is an order of them.
inline double sgda_rows(const SgdaArgs& a) {
  double total = 0.0;
  for (int64_t i = a.train.begin; i < a.train.end; ++i) {
    total += sgda_step(a, a.train.order[i]);
    if (a.valid_order) sgda_adapt(a, a.valid_order[i]);
  }
  return total;
}

}  // namespace crossfm::CROSSFM_ISA
