// What the units of one instruction set give its table (isa_table.cpp).
#pragma once

#include "kernels.hpp"

namespace crossfm::CROSSFM_ISA {

double pass(Rule rule, const PassArgs& a);
void merge(const MergeArgs& a);
void batch_forward(const BatchArgs& a);
void batch_update(Rule rule, const BatchArgs& a);
void score(const ScoreArgs& a);
double sgda_pass(const SgdaArgs& a);
double pass_half(Rule rule, const PassArgs& a);
void merge_half(const MergeArgs& a);
void batch_forward_half(const BatchArgs& a);
void batch_update_half(Rule rule, const BatchArgs& a);
void score_half(const ScoreArgs& a);
double pair_pass(Rule rule, const PairArgs& a);
double warp_pass(Rule rule, const ChoiceArgs& a);
double softmax_pass(Rule rule, const ChoiceArgs& a);
int64_t machine_scratch(Machine machine, const FieldPassArgs& a);
double machine_pass(Machine machine, Rule rule, const FieldPassArgs& a);
void machine_forward(Machine machine, const FieldPassArgs& a);
void machine_update(Machine machine, Rule rule, const FieldPassArgs& a);
void machine_score(Machine machine, const FieldPassArgs& a);
void embedding_look_up(const LookupArgs& a);
void embedding_update(Rule rule, const EmbeddingUpdateArgs& a);
void gibbs_move(const GibbsArgs& a);
void gibbs_gather(const RelationArgs& a);
void gibbs_scatter(const RelationArgs& a);
void variance(const VarianceArgs& a);

}  // namespace crossfm::CROSSFM_ISA
