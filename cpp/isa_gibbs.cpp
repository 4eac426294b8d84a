// The exact solvers, compiled once per instruction set.
#include "relation.hpp"
#include "vb.hpp"

namespace crossfm::CROSSFM_ISA {

template <class V, bool Plain>
static void move_with(const GibbsArgs& a) {
  if (a.variance) gibbs_columns<V, Plain>(a, MeanField<V, Plain>(a));
  else gibbs_columns<V, Plain>(a, Alone());
}

template <class V>
static void move_columns(const GibbsArgs& a) {
  if (a.spread) gibbs_columns<V, false>(a, Spread<V>(a));
  else if (a.value || a.root) move_with<V, false>(a);
  else move_with<V, true>(a);
}

// f of a vector as wide as the set has and `padded` factors fill.
template <class F>
static void by_width(int64_t padded, F f) {
  if (padded == 4) f(Vec4{});
  else if (padded % lanes<Wide> == 0) f(Wide{});
  else f(Vec8{});
}

void gibbs_move(const GibbsArgs& a) {
  by_width(a.table.padded, [&](auto v) { move_columns<decltype(v)>(a); });
}

void gibbs_gather(const RelationArgs& a) {
  by_width(a.padded, [&](auto v) { relation_gather<decltype(v)>(a); });
}

void gibbs_scatter(const RelationArgs& a) {
  by_width(a.padded, [&](auto v) { relation_scatter<decltype(v)>(a); });
}

void variance(const VarianceArgs& a) {
  by_width(a.padded, [&](auto v) { vb_variance<decltype(v)>(a); });
}

}  // namespace crossfm::CROSSFM_ISA
