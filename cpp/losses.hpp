// Losses as a table: a value and a slope with respect to the raw score. All three are canonical, so the slope
// is prediction minus target. A row more here is a row more in crossfm.core.losses and in its tests.
#pragma once

#include "kernels.hpp"

namespace crossfm::CROSSFM_ISA {

// log(1 + exp(s)) without overflow.
inline double softplus(double s) {
  return (s > 0.0 ? s : 0.0) + __builtin_log1p(__builtin_exp(-(s < 0.0 ? -s : s)));
}

inline double loss_value(Loss loss, double score, double target) {
  switch (loss) {
    case Loss::squared: return 0.5 * (score - target) * (score - target);
    case Loss::logistic: return softplus(score) - target * score;
    case Loss::poisson: return __builtin_exp(score) - target * score;
  }
  return 0.0;
}

inline float loss_slope(Loss loss, float score, float target) {
  switch (loss) {
    case Loss::squared: return score - target;
    case Loss::logistic: return 1.0f / (1.0f + __builtin_expf(-score)) - target;
    case Loss::poisson: return __builtin_expf(score) - target;
  }
  return 0.0f;
}

}  // namespace crossfm::CROSSFM_ISA
