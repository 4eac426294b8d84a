// Ordered levels: a latent target, normal around the score with deviation 1, falls between the two cut points of its level.
// Sums of which cut points are moved, and draws of latent targets. J. Albert, S. Chib, "Bayesian Analysis of Binary and
// Polychotomous Response Data", JASA 1993. Callers check shapes; nothing here throws.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>

#include "draws.hpp"

namespace crossfm {

// The standard normal distribution, by Taylor's series from the nearest of many points: no exponential and no division a
// value. The relative error is below 1e-8. Beyond 8 deviations by the library.
class Normal {
 public:
  struct At {
    double below, density;
  };

  Normal() {
    for (int i = 0; i < kSize; ++i) {  // Phi's derivatives are phi times Hermite polynomials
      const double x = -i * kStep, phi = density(x);
      double* const c = series_[static_cast<std::size_t>(i)].data();
      c[0] = 0.5 * std::erfc(-x / std::numbers::sqrt2);
      double before = 0.0, hermite = 1.0, scale = 1.0;
      for (int k = 1; k < kTerms; ++k) {
        scale /= k;
        c[k] = phi * hermite * scale;
        const double next = -x * hermite - (k - 1) * before;
        before = hermite, hermite = next;
      }
    }
  }

  At operator()(double x) const {
    const double size = std::fabs(x);
    At found;
    if (size < kEnd) {
      const int i = static_cast<int>(size * (1.0 / kStep) + 0.5);
      const double d = i * kStep - size;
      const double* const c = series_[static_cast<std::size_t>(i)].data();
      double value = c[kTerms - 1], slope = (kTerms - 1) * c[kTerms - 1];
      for (int k = kTerms - 2; k > 0; --k) {
        value = value * d + c[k];
        slope = slope * d + k * c[k];
      }
      found = {value * d + c[0], slope};
    } else {
      found = {0.5 * std::erfc(size / std::numbers::sqrt2), density(size)};
    }
    found.below = x > 0.0 ? 1.0 - found.below : found.below;
    return found;
  }

 private:
  static constexpr double kStep = 1.0 / 32, kEnd = 8.0;
  static constexpr int kSize = 258, kTerms = 8;  // a cache line a point
  static double density(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi); }
  alignas(64) std::array<std::array<double, kTerms>, kSize> series_;
};

// Of rows of one level: the log-likelihood, and slope and curvature of it by the lower and the upper cut point.
struct LevelSums {
  double log = 0.0, low = 0.0, low_curve = 0.0, high = 0.0, high_curve = 0.0;
};

inline LevelSums level_sums(const Normal& normal, const float* score, const int32_t* count, int64_t n, double low,
                            double high) {
  constexpr double small = 1e-300;  // no probability is below
  LevelSums sums;
  double product = 1.0;  // of probabilities whose logs are still to be added
  for (int64_t r = 0; r < n; ++r) {
    const double a = low - score[r], b = high - score[r], times = count ? count[r] : 1;
    const bool mirror = a > 0.0;  // both are near 1: what lies above has more digits
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const Normal::At at_a = low > -infinity ? normal(mirror ? -a : a) : Normal::At{0.0, 0.0};
    const Normal::At at_b = high < infinity ? normal(mirror ? -b : b) : Normal::At{mirror ? 0.0 : 1.0, 0.0};
    double mass = mirror ? at_a.below - at_b.below : at_b.below - at_a.below;
    if (mass < small) mass = small;
    if (count || mass < 1e-100) {
      sums.log += times * std::log(mass);
    } else {
      product *= mass;
      if (product < 1e-200) {
        sums.log += std::log(product);
        product = 1.0;
      }
    }
    const double inverse = 1.0 / mass;
    if (at_a.density > 0.0) {
      const double slope = -at_a.density * inverse;
      sums.low += times * slope;
      sums.low_curve -= times * slope * (a + slope);
    }
    if (at_b.density > 0.0) {
      const double slope = at_b.density * inverse;
      sums.high += times * slope;
      sums.high_curve -= times * slope * (b + slope);
    }
  }
  sums.log += std::log(product);
  return sums;
}

// A standard normal number between low and high, by rejection: half of the proposals or more are accepted wherever the
// interval is. Beyond a point in the tail they are exponential, as in C. Robert, "Simulation of truncated normal variables",
// Statistics and Computing 1995; between near ends they are uniform.
inline double normal_between(double low, double high, Draws& draws) {
  if (high < 0.0) return -normal_between(-high, -low, draws);
  const double width = high - low;
  if (low <= 0.0 && width > 2.5) {
    for (;;) {
      const double x = draws.normal();
      if (low <= x && x <= high) return x;
    }
  }
  if (low <= 0.0 || width * (low + high) < 2.0) {
    const double least = low > 0.0 ? low * low : 0.0;
    for (;;) {
      const double x = low + width * draws.uniform();
      if (draws.uniform() <= std::exp(0.5 * (least - x * x))) return x;
    }
  }
  const double rate = 0.5 * (low + std::sqrt(low * low + 4.0));
  for (;;) {
    const double x = low + draws.exponential() / rate;
    if (x <= high && draws.uniform() <= std::exp(-0.5 * (x - rate) * (x - rate))) return x;
  }
}

}  // namespace crossfm
