// The table of one instruction set (CROSSFM_ISA names it), and the search for the largest inner products.
#include "isa_verbs.hpp"
#include "topk.hpp"

namespace crossfm::CROSSFM_ISA {

static void top(const TopArgs& a) { top_items<Wide>(a); }

extern const Isa table;
const Isa table = {CROSSFM_ISA_NAME, pass, merge, batch_forward, batch_update, score, pair_pass, warp_pass, softmax_pass,
                   top, sgda_pass, machine_scratch, machine_pass, machine_forward, machine_update, machine_score,
                   embedding_look_up, embedding_update, gibbs_move, gibbs_gather, gibbs_scatter, variance};

}  // namespace crossfm::CROSSFM_ISA
