// The second-order machine with factors in bfloat16: a unit of its own, as isa_fm.cpp takes long enough to compile.
#include "isa_fm.hpp"

namespace crossfm::CROSSFM_ISA {

double pass_half(Rule rule, const PassArgs& a) { return pass_with<Half>(rule, a); }
void merge_half(const MergeArgs& a) { merge_with<Half>(a); }
void batch_forward_half(const BatchArgs& a) { batch_forward_with<Half>(a); }
void batch_update_half(Rule rule, const BatchArgs& a) { batch_update_with<Half>(rule, a); }
void score_half(const ScoreArgs& a) { score_with<Half>(a); }

}  // namespace crossfm::CROSSFM_ISA
