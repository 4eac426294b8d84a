// Binding of the draws behind classes: Polya-Gamma weights of rows.
#include <cmath>
#include <limits>

#include "bind.hpp"
#include "polya_gamma.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

// out[r] ~ PG(count[r], score[r]), or PG(1, score[r]) without count. Each row has random numbers of its own, so that the
// result does not depend on the threads.
void polya_gamma(Array<const float> score, const nb::object& count, uint64_t seed, Array<float> out, int n_threads) {
  const float* const scores = score.data();
  const int32_t* const counts = data_or_null<const int32_t>(count);
  float* const to = out.data();
  const auto n = static_cast<int64_t>(out.size());
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    const int64_t end = part_begin(n, part + 1, n_threads);
    for (int64_t r = part_begin(n, part, n_threads); r < end; ++r) {
      if (!std::isfinite(scores[r])) {  // a draw would not end; the caller finds out that training has diverged
        to[r] = std::numeric_limits<float>::quiet_NaN();
        continue;
      }
      Draws draws(seed, static_cast<uint64_t>(r));
      const PolyaGamma distribution(scores[r]);
      double sum = 0.0;
      for (int32_t left = counts ? counts[r] : 1; left > 0; --left) sum += distribution.draw(draws);
      to[r] = static_cast<float>(sum);
    }
  });
}

}  // namespace

void bind_latent(nb::module_& m) {
  m.def("polya_gamma", &polya_gamma, nb::arg("score").noconvert(), nb::arg("count").none(), nb::arg("seed"),
        nb::arg("out").noconvert(), nb::arg("n_threads"));
}

}  // namespace crossfm
