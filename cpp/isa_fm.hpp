// Passes, mini-batches and scores of the second-order machine whose factors are S.
#pragma once

#include "fm.hpp"
#include "merge.hpp"
#include "choose.hpp"
#include "isa_verbs.hpp"

namespace crossfm::CROSSFM_ISA {

template <class S>
double pass_with(Rule rule, const PassArgs& a) {
  return with_rule(rule, [&](auto r) {
    return with_blocks(a.table.padded, [&](auto blocks, auto v) {
      return with_values(a.rows.values, [&](auto values) {
        constexpr bool has = values.value != 0;
        if (a.hot.key) return pass_rows<decltype(r), blocks.value, decltype(v), has, true, S>(a);
        return pass_rows<decltype(r), blocks.value, decltype(v), has, false, S>(a);
      });
    });
  });
}

template <class S>
void merge_with(const MergeArgs& a) {
  with_rule(a.rule, [&](auto r) {
    if (a.factors % 8) merge_records<decltype(r), Vec4, S>(a);
    else merge_records<decltype(r), Vec8, S>(a);
  });
}

template <class S>
void batch_forward_with(const BatchArgs& a) {
  with_blocks(a.pass.table.padded, [&](auto blocks, auto v) {
    with_values(a.pass.rows.values,
                [&](auto values) { forward_rows<blocks.value, decltype(v), values.value != 0, S>(a); });
  });
}

template <class S>
void batch_update_with(Rule rule, const BatchArgs& a) {
  with_rule(rule, [&](auto r) {
    with_blocks(a.pass.table.padded, [&](auto blocks, auto v) {
      with_values(a.pass.rows.values, [&](auto values) {
        update_part<decltype(r), blocks.value, decltype(v), values.value != 0, S>(a);
      });
    });
  });
}

template <class S>
void score_with(const ScoreArgs& a) {
  with_blocks(padded_factors(a.n_factors), [&](auto blocks, auto v) {
    with_values(a.rows.values, [&](auto values) { score_rows<blocks.value, decltype(v), values.value != 0, S>(a); });
  });
}

}  // namespace crossfm::CROSSFM_ISA
