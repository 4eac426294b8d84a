// Calls a template with the compile-time numbers that fit the arguments at hand.
#pragma once

#include "rules.hpp"

namespace crossfm::CROSSFM_ISA {

template <int V>
struct Number {
  static constexpr int value = V;
};

// Factors of a record, with padding: whole vectors of 8, or one of 4.
inline int64_t padded_factors(int64_t n_factors) {
  return n_factors > 0 && n_factors <= 4 ? 4 : (n_factors + 7) / 8 * 8;
}

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

}  // namespace crossfm::CROSSFM_ISA
