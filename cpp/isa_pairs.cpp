// Passes over pairs and choices, compiled once per instruction set.
#include "choices.hpp"
#include "choose.hpp"
#include "isa_verbs.hpp"

namespace crossfm::CROSSFM_ISA {

double pair_pass(Rule rule, const PairArgs& a) {
  return with_rule(rule, [&](auto r) {
    return with_blocks(a.table.padded, [&](auto blocks, auto v) {
      return with_values(a.shared.values, [&](auto shared) {
        return with_values(a.sides.values, [&](auto sides) {
          return pair_rows<decltype(r), blocks.value, decltype(v), shared.value != 0, sides.value != 0>(a);
        });
      });
    });
  });
}

double warp_pass(Rule rule, const ChoiceArgs& a) {
  return with_rule(rule, [&](auto r) {
    return with_blocks(a.table.padded, [&](auto blocks, auto v) {
      return with_values(a.shared.values, [&](auto shared) {
        return with_values(a.sides.values, [&](auto sides) {
          return warp_rows<decltype(r), blocks.value, decltype(v), shared.value != 0, sides.value != 0>(a);
        });
      });
    });
  });
}

double softmax_pass(Rule rule, const ChoiceArgs& a) {
  return with_rule(rule, [&](auto r) {
    return with_blocks(a.table.padded, [&](auto blocks, auto v) {
      return with_values(a.shared.values, [&](auto shared) {
        return with_values(a.sides.values, [&](auto sides) {
          return softmax_rows<decltype(r), blocks.value, decltype(v), shared.value != 0, sides.value != 0>(a);
        });
      });
    });
  });
}

}  // namespace crossfm::CROSSFM_ISA
