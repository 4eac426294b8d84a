// Passes, mini-batches and scores of the second-order machine, compiled once per instruction set.
#include "fm.hpp"
#include "merge.hpp"
#include "sgda.hpp"
#include "choose.hpp"
#include "isa_verbs.hpp"

namespace crossfm::CROSSFM_ISA {

double pass(Rule rule, const PassArgs& a) {
  return with_rule(rule, [&](auto r) {
    return with_blocks(a.table.padded, [&](auto blocks, auto v) {
      return with_values(a.rows.values, [&](auto values) {
        constexpr bool has = values.value != 0;
        if (a.hot.key) return pass_rows<decltype(r), blocks.value, decltype(v), has, true>(a);
        return pass_rows<decltype(r), blocks.value, decltype(v), has, false>(a);
      });
    });
  });
}

void merge(const MergeArgs& a) {
  with_rule(a.rule, [&](auto r) { merge_records<decltype(r)>(a); });
}

void batch_forward(const BatchArgs& a) {
  with_blocks(a.pass.table.padded, [&](auto blocks, auto v) {
    with_values(a.pass.rows.values,
                [&](auto values) { forward_rows<blocks.value, decltype(v), values.value != 0>(a); });
  });
}

void batch_update(Rule rule, const BatchArgs& a) {
  with_rule(rule, [&](auto r) {
    with_blocks(a.pass.table.padded, [&](auto blocks, auto v) {
      with_values(a.pass.rows.values, [&](auto values) {
        update_part<decltype(r), blocks.value, decltype(v), values.value != 0>(a);
      });
    });
  });
}

void score(const ScoreArgs& a) {
  const int64_t padded = a.n_factors && a.n_factors <= 4 ? 4 : (a.n_factors + 7) / 8 * 8;
  with_blocks(padded, [&](auto blocks, auto v) {
    with_values(a.rows.values, [&](auto values) { score_rows<blocks.value, decltype(v), values.value != 0>(a); });
  });
}

double sgda_pass(const SgdaArgs& a) { return sgda_rows(a); }

}  // namespace crossfm::CROSSFM_ISA
