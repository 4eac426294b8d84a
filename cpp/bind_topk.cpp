// Binding of exact maximum inner product search.
#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "bind.hpp"
#include "kernels.hpp"
#include "threads.hpp"
#include "topkey.hpp"

namespace crossfm {

void keep_largest(uint64_t* keys, int64_t n, int64_t n_best) {
  std::nth_element(keys, keys + n_best - 1, keys + n, std::greater<>());
}

namespace {

constexpr int64_t kKeys = 1 << 21;  // kept at once: 16 MiB

// What one thread finds among its blocks.
struct Part {
  std::vector<uint64_t> keys;
  std::vector<int64_t> found, skipped;
  std::vector<float> least;

  Part(int64_t n_queries, int64_t room)
      : keys(static_cast<std::size_t>(n_queries * room)),
        found(static_cast<std::size_t>(n_queries)),
        skipped(found.size()),
        least(found.size(), -std::numeric_limits<float>::infinity()) {}

  void search(TopArgs args) {
    args.keys = keys.data();
    args.found = found.data();
    args.skipped = skipped.data();
    args.least = least.data();
    const int64_t first = args.begin * kTopLanes;
    for (int64_t q = 0; args.skip_indptr && q < args.n_queries; ++q)
      skipped[static_cast<std::size_t>(q)] =
          std::lower_bound(args.skip + args.skip_indptr[q], args.skip + args.skip_indptr[q + 1], first) - args.skip;
    isa().top(args);
  }
};

// The best of what all threads found for one query, best first.
void answer(const std::vector<Part>& parts, int64_t query, const TopArgs& a, std::vector<uint64_t>& keys, int64_t* ids,
            float* scores) {
  keys.clear();
  for (const Part& part : parts) {
    const uint64_t* mine = part.keys.data() + query * a.room;
    keys.insert(keys.end(), mine, mine + part.found[static_cast<std::size_t>(query)]);
  }
  int64_t n = static_cast<int64_t>(keys.size());
  if (n > a.n_best) keep_largest(keys.data(), n, a.n_best);
  n = std::min(n, a.n_best);
  std::sort(keys.begin(), keys.begin() + n, std::greater<>());
  for (int64_t i = 0; i < a.n_best; ++i) {
    ids[i] = i < n ? id_of(keys[static_cast<std::size_t>(i)]) : -1;
    scores[i] = i < n ? score_of(keys[static_cast<std::size_t>(i)]) : -std::numeric_limits<float>::infinity();
  }
}

// All items for as many queries as `a` has; threads share out the blocks, then the answers.
void search(const TopArgs& a, int n_threads, int64_t* ids, float* scores) {
  std::vector<Part> parts;
  for (int i = 0; i < n_threads; ++i) parts.emplace_back(a.n_queries, a.room);
  const int64_t n_blocks = (a.n_items + kTopLanes - 1) / kTopLanes;
  run_parts(n_threads, [&](int part) {
    TopArgs mine = a;
    mine.begin = part_begin(n_blocks, part, n_threads);
    mine.end = part_begin(n_blocks, part + 1, n_threads);
    parts[static_cast<std::size_t>(part)].search(mine);
  });
  run_parts(n_threads, [&](int part) {
    std::vector<uint64_t> keys;
    for (int64_t q = part_begin(a.n_queries, part, n_threads); q < part_begin(a.n_queries, part + 1, n_threads); ++q)
      answer(parts, q, a, keys, ids + q * a.n_best, scores + q * a.n_best);
  });
}

// The items of the last block, which is not whole, coordinate by coordinate, with zeros behind them.
std::vector<float> last_block(const float* items, int64_t n_items, int64_t dim) {
  std::vector<float> last(static_cast<std::size_t>(dim * kTopLanes));
  const int64_t first = n_items / kTopLanes * kTopLanes;
  for (int64_t d = 0; d < dim; ++d)
    std::copy(items + d * n_items + first, items + (d + 1) * n_items, last.data() + d * kTopLanes);
  return last;
}

// `items` is (dim, n_items), or packed: (n_blocks, dim, kTopLanes).
void top_items(Array<const float> queries, Array<const float> items, int64_t n_items, const nb::object& skip_indptr,
               const nb::object& skip, const nb::object& allowed, Array<int64_t> ids, Array<float> scores, int n_threads) {
  TopArgs all{};
  const bool packed = items.ndim() == 3;
  const auto n_queries = static_cast<int64_t>(queries.shape(0));
  all.items = items.data();
  all.dim = static_cast<int64_t>(queries.shape(1));
  all.n_items = n_items;
  all.block_apart = packed ? all.dim * kTopLanes : kTopLanes;
  all.coordinate_apart = packed ? kTopLanes : n_items;
  all.n_best = static_cast<int64_t>(ids.shape(1));
  all.room = std::min(all.n_best + std::max<int64_t>(all.n_best, 256), n_items) + kTopLanes;
  const auto* offsets = data_or_null<const int64_t>(skip_indptr);
  all.skip = data_or_null<const uint32_t>(skip);
  all.allowed = data_or_null<const uint8_t>(allowed);
  nb::gil_scoped_release release;
  if (all.n_best == 0) return;
  std::vector<float> last;
  if (!packed && n_items % kTopLanes) last = last_block(all.items, n_items, all.dim);
  all.last = last.empty() ? nullptr : last.data();
  const int64_t at_once = std::max<int64_t>(1, kKeys / all.room);
  for (int64_t first = 0; first < n_queries; first += at_once) {
    all.n_queries = std::min(at_once, n_queries - first);
    all.queries = queries.data() + first * all.dim;
    all.skip_indptr = offsets ? offsets + first : nullptr;
    search(all, n_threads, ids.data() + first * all.n_best, scores.data() + first * all.n_best);
  }
}

}  // namespace

void bind_topk(nb::module_& m) {
  m.attr("TOP_LANES") = kTopLanes;
  m.def("top_items", &top_items, nb::arg("queries").noconvert(), nb::arg("items").noconvert(), nb::arg("n_items"),
        nb::arg("skip_indptr").none(), nb::arg("skip").none(), nb::arg("allowed").none(), nb::arg("ids").noconvert(),
        nb::arg("scores").noconvert(), nb::arg("n_threads"));
}

}  // namespace crossfm
