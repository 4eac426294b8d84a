// Passes over rows for any machine M that scores a row (without the bias) into scratch, and moves its weights from there:
//   M(args), M::scratch_floats(args), forward(row, scratch) -> score, update<R>(row, scratch, slope).
// `update` moves the weights whose number is args.part modulo args.parts.
#pragma once

#include "losses.hpp"
#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

// Stochastic updates over order[begin, end); returns the sum of the losses before each update.
template <class R, class M>
double machine_rows(const FieldPassArgs& args) {
  const PassArgs& a = args.pass;
  M machine(args);
  double total = 0.0;
  for (int64_t i = a.begin; i < a.end; ++i) {
    const int64_t row = a.order[i];
    const float score = *a.bias + machine.forward(row, args.scratch);
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const LossAt loss = loss_at(a.loss, score, a.target[row]);
    total += weight * loss.value;
    machine.template update<R>(row, args.scratch, weight * loss.slope);
    step_scalar<R>(a.bias, weight * loss.slope, 0.0f, 0.0f, a.hyper);
  }
  return total;
}

// First half of a synchronous mini-batch: scores of frozen weights.
template <class M>
void machine_batch_forward(const FieldPassArgs& args) {
  const PassArgs& a = args.pass;
  const int64_t size = M::scratch_floats(args);
  M machine(args);
  for (int64_t i = a.begin; i < a.end; ++i) {
    const int64_t row = a.order[i];
    const float score = *a.bias + machine.forward(row, args.scratch + i * size);
    const float weight = a.weight ? a.weight[row] : 1.0f;
    const LossAt loss = loss_at(a.loss, score, a.target[row]);
    args.row_loss[i] = weight * loss.value;
    args.slope[i] = weight * loss.slope;
  }
}

// Second half: each weight is moved by one owner, in row order, so the result does not depend on `parts`.
template <class R, class M>
void machine_batch_update(const FieldPassArgs& args) {
  const PassArgs& a = args.pass;
  const int64_t size = M::scratch_floats(args);
  M machine(args);
  for (int64_t i = a.begin; i < a.end; ++i) {
    machine.template update<R>(a.order[i], args.scratch + i * size, args.slope[i]);
    if (args.part == 0) step_scalar<R>(a.bias, args.slope[i], 0.0f, 0.0f, a.hyper);
  }
}

template <class M>
void machine_scores(const FieldPassArgs& args) {
  const PassArgs& a = args.pass;
  M machine(args);
  for (int64_t row = a.begin; row < a.end; ++row) args.score[row] = *a.bias + machine.forward(row, args.scratch);
}

}  // namespace crossfm::CROSSFM_ISA
