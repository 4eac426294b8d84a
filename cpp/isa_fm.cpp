// Passes, mini-batches and scores of the second-order machine, compiled once per instruction set.
#include "isa_fm.hpp"
#include "sgda.hpp"

namespace crossfm::CROSSFM_ISA {

double pass(Rule rule, const PassArgs& a) { return a.table.half ? pass_half(rule, a) : pass_with<float>(rule, a); }

void merge(const MergeArgs& a) {
  if (a.half) merge_half(a);
  else merge_with<float>(a);
}

void batch_forward(const BatchArgs& a) {
  if (a.pass.table.half) batch_forward_half(a);
  else batch_forward_with<float>(a);
}

void batch_update(Rule rule, const BatchArgs& a) {
  if (a.pass.table.half) batch_update_half(rule, a);
  else batch_update_with<float>(rule, a);
}

void score(const ScoreArgs& a) {
  if (a.half) score_half(a);
  else score_with<float>(a);
}

double sgda_pass(const SgdaArgs& a) { return sgda_rows(a); }

}  // namespace crossfm::CROSSFM_ISA
