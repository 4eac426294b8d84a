// Losses as a table: a value and a slope with respect to the raw score. All three are canonical, so the slope
// is prediction minus target. A row more here is a row more in crossfm.core.losses and in its tests.
#pragma once

#include "kernels.hpp"

namespace crossfm::CROSSFM_ISA {

// log(1 + exp(s)) without overflow.
inline double softplus(double s) {
  return (s > 0.0 ? s : 0.0) + __builtin_log1p(__builtin_exp(-(s < 0.0 ? -s : s)));
}

struct LossAt {
  double value;
  float slope;
};

// Both at one score. The logistic loss takes one exponential for the two: with e = exp(-|s|), log(1 + e^s) is
// max(s, 0) + log(1 + e) and the sigmoid is 1 / (1 + e) or e / (1 + e).
inline LossAt loss_at(Loss loss, float score, double target) {
  const float y = static_cast<float>(target);
  switch (loss) {
    case Loss::squared: {
      const double error = score - target;
      return {0.5 * error * error, score - y};
    }
    case Loss::logistic: {
      const bool positive = score > 0.0f;
      const float e = __builtin_expf(positive ? -score : score);
      const float sigmoid = (positive ? 1.0f : e) / (1.0f + e);
      const float u = 1.0f + e;  // log1p(e) = log(u) + what the rounding of u left out: faster than the library's
      const float log_u = __builtin_logf(u) + (e - (u - 1.0f)) / u;
      return {(positive ? score : 0.0) + log_u - target * score, sigmoid - y};
    }
    case Loss::poisson: {
      const float rate = __builtin_expf(score);
      return {rate - target * score, rate - y};
    }
  }
  return {0.0, 0.0f};
}

}  // namespace crossfm::CROSSFM_ISA
