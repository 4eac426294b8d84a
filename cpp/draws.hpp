// Random numbers of one row: SplitMix64 from a start that depends on the seed and the row alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "negatives.hpp"

namespace crossfm {

class Draws {
 public:
  Draws(uint64_t seed, uint64_t row) : state_(mix64(seed + kGolden * (row + 1))) {}

  double uniform() {  // above 0, below 1
    state_ += kGolden;
    return (static_cast<double>(mix64(state_) >> 12) + 0.5) * 0x1p-52;
  }
  double exponential() { return -std::log(uniform()); }
  double normal() { return std::sqrt(2.0 * exponential()) * std::cos(2.0 * std::numbers::pi * uniform()); }

 private:
  uint64_t state_;
};

}  // namespace crossfm
