// Exact draws from the Polya-Gamma distribution PG(c, z) for whole c: N. Polson, J. Scott, J. Windle, "Bayesian Inference
// for Logistic Models Using Polya-Gamma Latent Variables", JASA 2013, section 4, after L. Devroye, "On exact simulation
// algorithms for some distributions related to Jacobi theta functions", 2009.
//
// PG(1, z) is a quarter of J*(1, z / 2), whose density is an alternating series with terms
//
//   a_n(x) ~ (2n + 1) exp(-2 n (n + 1) / x)             for x <= t,
//   a_n(x) ~ (2n + 1) exp(-n (n + 1) pi^2 x / 2)        beyond, both relative to a_0(x).
//
// Proposals have the density of a_0, tilted: an inverse Gaussian of mean 1 / z cut off at t, an exponential beyond. Partial
// sums of the series are by turns above and below, so that one of them decides at last. Here z is that of J*, half the
// given one, and not negative.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

#include "draws.hpp"

namespace crossfm {

class PolyaGamma {
 public:
  explicit PolyaGamma(double score) : z_(0.5 * std::fabs(score)), rate_(0.125 * kPi * kPi + 0.5 * z_ * z_) {
    // The masses of both proposals. exp(z) Phi(-(t z + 1) / sqrt t) is at most exp(-1 / (2 t)), but its factors leave the
    // numbers for large z, where beyond t there is next to nothing: exp(-z^2 t / 2) of it.
    if (z_ > 30.0) {
      beyond_ = 0.0;
      return;
    }
    const double root = 1.0 / std::sqrt(kCut);
    const double below = 2.0 * (std::exp(-z_) * normal(root * (kCut * z_ - 1.0)) +
                                std::exp(z_) * normal(-root * (kCut * z_ + 1.0)));
    const double above = 0.5 * kPi / rate_ * std::exp(-kCut * rate_);
    beyond_ = above / (above + below);
  }

  double draw(Draws& draws) const {
    for (;;) {
      const bool far = draws.uniform() < beyond_;
      const double x = far ? kCut + draws.exponential() / rate_ : near(draws);
      const double u = draws.uniform();
      if (u < kSure || accepted(std::exp(far ? -kPi * kPi * x : -4.0 / x), u)) return 0.25 * x;
    }
  }

 private:
  static constexpr double kPi = std::numbers::pi;
  static constexpr double kCut = 0.64;  // t, the paper's choice
  static constexpr double kSure = 0.994;  // below 1 - 3 exp(-4 / t) and 1 - 3 exp(-pi^2 t)

  static double normal(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

  // Whether u is below 1 - 3 r + 5 r^3 - 7 r^6 + ..., r = a_1 / (3 a_0).
  static bool accepted(double r, double u) {
    double sum = 1.0, power = 1.0, step = 1.0;
    for (int n = 1;; ++n) {
      step *= r;
      power *= step;
      const double term = (2 * n + 1) * power;
      sum += n % 2 ? -term : term;
      if (n % 2 ? u <= sum : u > sum) return n % 2;
      if (term == 0.0) return u <= sum;
    }
  }

  // An inverse Gaussian number of mean 1 / z and shape 1 that is at most t.
  double near(Draws& draws) const {
    if (z_ * kCut < 1.0) {  // the mean is beyond t: of mean infinity first, then accepted by the tilt
      for (;;) {
        double x, first, second;
        do {
          first = draws.exponential();
          second = draws.exponential();
        } while (first * first * kCut > 2.0 * second);
        x = 1.0 + kCut * first;
        x = kCut / (x * x);
        if (draws.uniform() <= std::exp(-0.5 * z_ * z_ * x)) return x;
      }
    }
    const double mean = 1.0 / z_;
    for (;;) {  // J. Michael, W. Schucany, R. Haas, "Generating Random Variates Using Transformations with Multiple Roots", 1976
      const double normal = draws.normal();
      const double y = mean * normal * normal;
      double x = mean * (1.0 + 0.5 * (y - std::sqrt(y * (4.0 + y))));
      if (draws.uniform() * (mean + x) > mean) x = mean * mean / x;
      if (x > 0.0 && x <= kCut) return x;
    }
  }

  double z_, rate_, beyond_;
};

}  // namespace crossfm
