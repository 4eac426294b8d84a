// Embeddings for networks, compiled once per instruction set.
#include "choose.hpp"
#include "embedding.hpp"
#include "isa_verbs.hpp"

namespace crossfm::CROSSFM_ISA {

void embedding_look_up(const LookupArgs& a) {
  with_blocks(a.table.padded, [&](auto blocks, auto v) {
    with_values(a.rows.values, [&](auto values) { look_up<blocks.value, decltype(v), values.value != 0>(a); });
  });
}

// FTRL is not among these: its closed form takes the gradient of one row.
template <class F>
static void with_batch_rule(Rule rule, F f) {
  switch (rule) {
    case Rule::sgd: return f(Sgd{});
    case Rule::adagrad: return f(AdaGrad{});
    case Rule::adagrad_row: return f(AdaGradRow{});
    default: return f(Adam{});
  }
}

void embedding_update(Rule rule, const EmbeddingUpdateArgs& a) {
  with_batch_rule(rule, [&](auto r) {
    with_blocks(a.table.padded, [&](auto blocks, auto v) {
      with_values(a.rows.values,
                  [&](auto values) { update_embeddings<decltype(r), blocks.value, decltype(v), values.value != 0>(a); });
    });
  });
}

}  // namespace crossfm::CROSSFM_ISA
