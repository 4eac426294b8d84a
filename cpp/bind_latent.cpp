// Binding of the draws behind classes and levels: Polya-Gamma weights of rows, sums by level, latent targets.
#include <cmath>
#include <limits>
#include <vector>

#include "bind.hpp"
#include "ordered.hpp"
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

constexpr int64_t kRows = 4096;  // summed on their own, so that the result does not depend on the threads

// Rows of one level, and its cut points.
struct Stretch {
  int64_t begin, end, level;
  double low, high;
};

// Rows of a level lie side by side, those of level l from begin[l] on.
std::vector<Stretch> stretches(const Array<const int64_t>& begin, const Array<const double>& cuts) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto n_cuts = static_cast<int64_t>(cuts.size());
  std::vector<Stretch> all;
  for (int64_t level = 0; level <= n_cuts; ++level) {
    const double low = level > 0 ? cuts.data()[level - 1] : -infinity, high = level < n_cuts ? cuts.data()[level] : infinity;
    const int64_t end = begin.data()[level + 1];
    for (int64_t from = begin.data()[level]; from < end; from += kRows)
      all.push_back({from, std::min(end, from + kRows), level, low, high});
  }
  return all;
}

// out (n_levels, 5) += the sums of the rows of each level.
void ordered_sums(Array<const float> score, Array<const int64_t> begin, Array<const double> cuts, const nb::object& count,
                  Array<double> out, int n_threads) {
  static const Normal normal;
  const int32_t* const counts = data_or_null<const int32_t>(count);
  const auto all = stretches(begin, cuts);
  const auto n = static_cast<int64_t>(all.size());
  std::vector<LevelSums> found(all.size());
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    for (int64_t at = part_begin(n, part, n_threads); at < part_begin(n, part + 1, n_threads); ++at) {
      const Stretch& own = all[static_cast<std::size_t>(at)];
      found[static_cast<std::size_t>(at)] = level_sums(normal, score.data() + own.begin, counts ? counts + own.begin : nullptr,
                                                       own.end - own.begin, own.low, own.high);
    }
  });
  for (std::size_t at = 0; at < all.size(); ++at) {
    double* const to = out.data() + 5 * all[at].level;
    to[0] += found[at].log;
    to[1] += found[at].low, to[2] += found[at].low_curve;
    to[3] += found[at].high, to[4] += found[at].high_curve;
  }
}

// out[r] = a latent target of the row, or the mean of count[r] of them: the score where that is 0.
void ordered_draw(Array<const float> score, Array<const int64_t> begin, Array<const double> cuts, const nb::object& count,
                  uint64_t seed, Array<float> out, int n_threads) {
  const int32_t* const counts = data_or_null<const int32_t>(count);
  const auto all = stretches(begin, cuts);
  const auto n = static_cast<int64_t>(all.size());
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    for (int64_t at = part_begin(n, part, n_threads); at < part_begin(n, part + 1, n_threads); ++at) {
      const Stretch& own = all[static_cast<std::size_t>(at)];
      for (int64_t r = own.begin; r < own.end; ++r) {
        const double s = score.data()[r];
        const int32_t times = counts ? counts[r] : 1;
        double sum = 0.0;
        Draws draws(seed, static_cast<uint64_t>(r));
        if (!std::isfinite(s)) sum = s * times;  // a draw would not end
        else for (int32_t left = times; left > 0; --left) sum += normal_between(own.low - s, own.high - s, draws);
        out.data()[r] = static_cast<float>(times > 0 ? s + sum / times : s);
      }
    }
  });
}

}  // namespace

void bind_latent(nb::module_& m) {
  m.def("polya_gamma", &polya_gamma, nb::arg("score").noconvert(), nb::arg("count").none(), nb::arg("seed"),
        nb::arg("out").noconvert(), nb::arg("n_threads"));
  m.def("ordered_sums", &ordered_sums, nb::arg("score").noconvert(), nb::arg("begin").noconvert(),
        nb::arg("cuts").noconvert(), nb::arg("count").none(), nb::arg("out").noconvert(), nb::arg("n_threads"));
  m.def("ordered_draw", &ordered_draw, nb::arg("score").noconvert(), nb::arg("begin").noconvert(),
        nb::arg("cuts").noconvert(), nb::arg("count").none(), nb::arg("seed"), nb::arg("out").noconvert(),
        nb::arg("n_threads"));
}

}  // namespace crossfm
