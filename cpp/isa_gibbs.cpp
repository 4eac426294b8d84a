// The exact solvers, compiled once per instruction set.
#include "vb.hpp"

namespace crossfm::CROSSFM_ISA {

template <class V, bool Plain>
static void move_with(const GibbsArgs& a) {
  if (a.variance) gibbs_columns<V, Plain>(a, MeanField<V, Plain>(a));
  else gibbs_columns<V, Plain>(a, Alone());
}

template <class V>
static void move_columns(const GibbsArgs& a) {
  if (a.value || a.root) move_with<V, false>(a);
  else move_with<V, true>(a);
}

void gibbs_move(const GibbsArgs& a) {
  if (a.table.padded == 4) move_columns<Vec4>(a);
  else if (a.table.padded % lanes<Wide> == 0) move_columns<Wide>(a);
  else move_columns<Vec8>(a);
}

void variance(const VarianceArgs& a) {
  if (a.padded == 4) vb_variance<Vec4>(a);
  else if (a.padded % lanes<Wide> == 0) vb_variance<Wide>(a);
  else vb_variance<Vec8>(a);
}

}  // namespace crossfm::CROSSFM_ISA
