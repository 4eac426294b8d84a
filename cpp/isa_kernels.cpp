// Compiled once per instruction set (CROSSFM_ISA names it): picks the template for the call at hand.
#include "choices.hpp"
#include "sgda.hpp"
#include "ffm.hpp"
#include "fwfm.hpp"
#include "hofm.hpp"
#include "passes.hpp"
#include "topk.hpp"

namespace crossfm::CROSSFM_ISA {
namespace {

template <int V>
struct Number {
  static constexpr int value = V;
};

// Call with the block count and vector type that fit the padded number of factors.
template <class F>
inline auto with_blocks(int64_t padded, F f) {
  constexpr int w = lanes<Wide>;
  switch (padded) {
    case 0: return f(Number<0>{}, Vec8{});
    case 4: return f(Number<1>{}, Vec4{});
    case 8: return f(Number<1>{}, Vec8{});
    case 16: return f(Number<16 / w>{}, Wide{});
    case 32: return f(Number<32 / w>{}, Wide{});
    case 64: return f(Number<64 / w>{}, Wide{});
    default: return f(Number<-1>{}, Vec8{});
  }
}

template <class F>
inline auto with_values(const float* values, F f) {
  return values ? f(Number<1>{}) : f(Number<0>{});
}

template <class F>
inline auto with_rule(Rule rule, F f) {
  switch (rule) {
    case Rule::sgd: return f(Sgd{});
    case Rule::adagrad: return f(AdaGrad{});
    case Rule::adagrad_row: return f(AdaGradRow{});
    case Rule::adam: return f(Adam{});
    default: return f(Ftrl{});
  }
}

double pass(Rule rule, const PassArgs& a) {
  return with_rule(rule, [&](auto r) {
    return with_blocks(a.table.padded, [&](auto blocks, auto v) {
      return with_values(a.rows.values, [&](auto values) {
        return pass_rows<decltype(r), blocks.value, decltype(v), values.value != 0>(a);
      });
    });
  });
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

// Call with the register and the fields it holds that fit the floats of a vector.
template <class F>
inline auto with_vector(int64_t vector, F f) {
  constexpr int w = lanes<Wide>;
  if (vector == 4) return f(Number<w / 4>{}, Wide{});
  if (vector == 8) return f(Number<w / 8>{}, Wide{});
  if (vector % w == 0) return f(Number<1>{}, Wide{});
  return f(Number<1>{}, Vec4{});
}

template <class T>
struct Type {
  using type = T;
};

// Call with the class that goes through any row.
template <class F>
inline auto with_machine(Machine machine, const float* values, F f) {
  return with_values(values, [&](auto given) {
    constexpr bool has = given.value != 0;
    switch (machine) {
      case Machine::ffm: return f(Type<Ffm<has>>{});
      case Machine::fwfm: return f(Type<FieldPairs<FieldWeight, has>>{});
      case Machine::fmfm: return f(Type<FieldPairs<FieldMatrix, has>>{});
      default: return f(Type<Hofm<has>>{});
    }
  });
}

int64_t machine_scratch(Machine machine, const FieldPassArgs& a) {
  return with_machine(machine, a.pass.rows.values, [&](auto m) { return decltype(m)::type::scratch_floats(a); });
}

double machine_pass(Machine machine, Rule rule, const FieldPassArgs& a) {
  return with_rule(rule, [&](auto r) {
    using R = decltype(r);
    if (machine == Machine::ffm)
      return with_vector(a.layout.vector, [&](auto fields, auto v) {
        return with_values(a.pass.rows.values, [&](auto values) {
          constexpr bool has = values.value != 0;
          return ffm_rows<R, FfmBlocks<decltype(v), fields.value, has>, Ffm<has>>(a);
        });
      });
    return with_machine(machine, a.pass.rows.values,
                        [&](auto m) { return machine_rows<R, typename decltype(m)::type>(a); });
  });
}

void machine_forward(Machine machine, const FieldPassArgs& a) {
  with_machine(machine, a.pass.rows.values, [&](auto m) { machine_batch_forward<typename decltype(m)::type>(a); });
}

void machine_update(Machine machine, Rule rule, const FieldPassArgs& a) {
  with_rule(rule, [&](auto r) {
    with_machine(machine, a.pass.rows.values,
                 [&](auto m) { machine_batch_update<decltype(r), typename decltype(m)::type>(a); });
  });
}

void machine_score(Machine machine, const FieldPassArgs& a) {
  if (machine == Machine::ffm)
    return with_vector(a.layout.vector, [&](auto fields, auto v) {
      with_values(a.pass.rows.values, [&](auto values) {
        constexpr bool has = values.value != 0;
        ffm_score_rows<FfmBlocks<decltype(v), fields.value, has>, Ffm<has>>(a);
      });
    });
  with_machine(machine, a.pass.rows.values, [&](auto m) { machine_scores<typename decltype(m)::type>(a); });
}

void top(const TopArgs& a) { top_items<Wide>(a); }

double sgda_pass(const SgdaArgs& a) { return sgda_rows(a); }

}  // namespace

extern const Isa table;
const Isa table = {CROSSFM_ISA_NAME, pass, batch_forward, batch_update, score, pair_pass, warp_pass, softmax_pass, top,
                   sgda_pass, machine_scratch, machine_pass, machine_forward, machine_update, machine_score};

}  // namespace crossfm::CROSSFM_ISA
