// Bindings of pairwise learning.
#include <vector>

#include "bind.hpp"
#include "bind_rows.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

nb::tuple fm_pairs(int rule, const nb::object& shared_indptr, const nb::object& shared_indices,
                   const nb::object& shared_values, int64_t shared_width, const nb::object& shared_at,
                   const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
                   Array<const int64_t> better, Array<const int64_t> worse, const nb::object& weight,
                   const nb::object& offset,
                   Array<float> data, int64_t padded, int64_t w_at, const nb::dict& hyper, int n_threads) {
  PairArgs all{};
  all.shared = {data_or_null<const int64_t>(shared_indptr), data_or_null<const uint32_t>(shared_indices),
                data_or_null<const float>(shared_values), shared_width};
  all.sides = rows_view(indptr, indices, values, width);
  all.shared_at = data_or_null<const int64_t>(shared_at);
  all.better = better.data();
  all.worse = worse.data();
  all.weight = data_or_null<const float>(weight);
  all.offset = data_or_null<const float>(offset);
  all.table = TableArrays{data, padded, w_at}.view();
  all.hyper = read_hyper(hyper);
  const int64_t n_pairs = static_cast<int64_t>(better.size());
  std::vector<double> totals(static_cast<std::size_t>(n_threads), 0.0);
  std::vector<int64_t> correct(static_cast<std::size_t>(n_threads), 0);
  {
    nb::gil_scoped_release release;
    run_parts(n_threads, [&](int part) {  // Hogwild, as in fm_pass
      PairArgs mine = all;
      mine.begin = part_begin(n_pairs, part, n_threads);
      mine.end = part_begin(n_pairs, part + 1, n_threads);
      mine.correct = &correct[static_cast<std::size_t>(part)];
      totals[static_cast<std::size_t>(part)] = isa().pair_pass(static_cast<Rule>(rule), mine);
    });
  }
  double total = 0.0;
  int64_t right = 0;
  for (double t : totals) total += t;
  for (int64_t c : correct) right += c;
  return nb::make_tuple(total, right);
}

}  // namespace

void bind_pairs(nb::module_& m) {
  m.def("fm_pairs", &fm_pairs, nb::arg("rule"), nb::arg("shared_indptr").none(), nb::arg("shared_indices").none(),
        nb::arg("shared_values").none(), nb::arg("shared_width"), nb::arg("shared_at").none(),
        nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(), nb::arg("width"), nb::arg("better").noconvert(),
        nb::arg("worse").noconvert(), nb::arg("weight").none(), nb::arg("offset").none(), nb::arg("table").noconvert(), nb::arg("padded"), nb::arg("w_at"),
        nb::arg("hyper"), nb::arg("n_threads"));
}

}  // namespace crossfm
