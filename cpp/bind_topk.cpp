// Binding of exact maximum inner product search.
#include <vector>

#include "bind.hpp"
#include "kernels.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

void top_items(Array<const float> queries, Array<const float> items, const nb::object& skip_indptr,
               const nb::object& skip, Array<int64_t> ids, Array<float> scores, int n_threads) {
  TopArgs all{};
  all.queries = queries.data();
  all.items = items.data();
  all.n_queries = static_cast<int64_t>(queries.shape(0));
  all.dim = static_cast<int64_t>(items.shape(0));
  all.n_items = static_cast<int64_t>(items.shape(1));
  all.n_best = static_cast<int64_t>(ids.shape(1));
  all.skip_indptr = data_or_null<const int64_t>(skip_indptr);
  all.skip = data_or_null<const uint32_t>(skip);
  all.ids = ids.data();
  all.scores = scores.data();
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    std::vector<float> scratch(static_cast<std::size_t>(kTopGroup * kTopBlock));
    TopArgs mine = all;
    mine.begin = part_begin(all.n_queries, part, n_threads);
    mine.end = part_begin(all.n_queries, part + 1, n_threads);
    mine.scratch = scratch.data();
    isa().top(mine);
  });
}

}  // namespace

void bind_topk(nb::module_& m) {
  m.def("top_items", &top_items, nb::arg("queries").noconvert(), nb::arg("items").noconvert(), nb::arg("skip_indptr").none(),
        nb::arg("skip").none(), nb::arg("ids").noconvert(), nb::arg("scores").noconvert(), nb::arg("n_threads"));
}

}  // namespace crossfm
