// Bindings of learning from choices: negatives, BPR over them, WARP, sampled softmax.
#include <vector>

#include "bind.hpp"
#include "bind_rows.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

constexpr int64_t kBlock = 512;  // pairs drawn before they are trained on: the draws stay in the cache

Negatives read_negatives(const nb::dict& d, uint64_t seed) {
  const auto n_items = nb::cast<int64_t>(d["n_items"]);
  return {n_items,
          data_or_null<const float>(d["keep"]),
          data_or_null<const uint32_t>(d["alias"]),
          data_or_null<const int64_t>(d["positive"]),
          data_or_null<const int64_t>(d["group"]),
          data_or_null<const int64_t>(d["indptr"]),
          data_or_null<const uint32_t>(d["chosen"]),
          data_or_null<const uint32_t>(d["bits"]),
          (n_items + 31) / 32,
          seed,
          data_or_null<const uint32_t>(d["hard"]),
          data_or_null<const int64_t>(d["hard_list"]),
          nb::cast<int64_t>(d["hard_width"]),
          static_cast<uint64_t>(nb::cast<double>(d["hard_share"]) * 4294967296.0)};
}

void draw_negatives(const nb::dict& negatives, uint64_t seed, bool chosen_too, Array<const int64_t> which,
                    Array<int64_t> out) {
  const Negatives pool = read_negatives(negatives, seed);
  const int64_t n = static_cast<int64_t>(which.size()), each = static_cast<int64_t>(out.shape(1));
  const int64_t* choice = which.data();
  int64_t* item = out.data();
  nb::gil_scoped_release release;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < each; ++k) item[i * each + k] = chosen_too ? pool.item(pool.stream(i), k) : pool.draw(choice[i], i, k);
}

// BPR: blocks of pairs are drawn, then trained on by pair_pass.
double bpr_part(Rule rule, const ChoiceArgs& a) {
  std::vector<int64_t> at(kBlock), better(kBlock), worse(kBlock);
  std::vector<float> weight(kBlock);
  int64_t correct = 0;
  PairArgs pairs{};
  pairs.shared = a.shared;
  pairs.sides = a.sides;
  pairs.shared_at = at.data();
  pairs.better = better.data();
  pairs.worse = worse.data();
  pairs.weight = a.weight ? weight.data() : nullptr;
  pairs.offset = a.offset;
  pairs.table = a.table;
  pairs.hyper = a.hyper;
  pairs.correct = &correct;
  double total = 0.0;
  for (int64_t start = a.begin; start < a.end; start += kBlock) {
    const int64_t stop = start + kBlock < a.end ? start + kBlock : a.end;
    std::size_t n = 0;
    for (int64_t i = start; i < stop; ++i) {
      if (i + 16 < a.end) a.negatives.prefetch_choice(a.which[i + 16]);
      if (i + 8 < a.end) a.negatives.prefetch_group(a.which[i + 8]);
      __builtin_prefetch(a.shared.indices + a.shared.begin(a.which[i]));  // read when the block is trained on
      const int64_t choice = a.which[i], item = a.negatives.draw(choice, i, 0);
      if (item < 0) continue;
      at[n] = choice;
      better[n] = a.negatives.positive[choice];
      worse[n] = item;
      if (a.weight) weight[n] = a.weight[choice];
      ++n;
    }
    pairs.end = static_cast<int64_t>(n);
    total += isa().pair_pass(rule, pairs);
    *a.used += pairs.end;
  }
  return total;
}

nb::tuple fm_choices(const std::string& loss, int rule, const nb::object& shared_indptr,
                     Array<const uint32_t> shared_indices, const nb::object& shared_values, int64_t shared_width,
                     const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
                     Array<const int64_t> which, const nb::object& weight, const nb::object& offset,
                     const nb::dict& negatives, uint64_t seed, int64_t n_negatives, const nb::object& rank_weight,
                     Array<float> data, int64_t padded, int64_t w_at, const nb::dict& hyper, int n_threads) {
  ChoiceArgs all{};
  all.shared = rows_view(shared_indptr, shared_indices, shared_values, shared_width);
  all.sides = rows_view(indptr, indices, values, width);
  all.which = which.data();
  all.weight = data_or_null<const float>(weight);
  all.offset = data_or_null<const float>(offset);
  all.negatives = read_negatives(negatives, seed);
  all.n_negatives = n_negatives;
  all.rank_weight = data_or_null<const float>(rank_weight);
  all.table = TableArrays{data, padded, w_at}.view();
  all.hyper = read_hyper(hyper);
  const int64_t n = static_cast<int64_t>(which.size());
  std::vector<double> totals(static_cast<std::size_t>(n_threads), 0.0);
  std::vector<int64_t> used(static_cast<std::size_t>(n_threads), 0);
  {
    nb::gil_scoped_release release;
    run_parts(n_threads, [&](int part) {  // Hogwild, as in fm_pass
      const auto room = static_cast<std::size_t>(1 + n_negatives);
      std::vector<int64_t> items(room);
      std::vector<float> scratch(room * static_cast<std::size_t>(1 + padded));
      ChoiceArgs mine = all;
      mine.begin = part_begin(n, part, n_threads);
      mine.end = part_begin(n, part + 1, n_threads);
      mine.items = items.data();
      mine.scratch = scratch.data();
      mine.used = &used[static_cast<std::size_t>(part)];
      const auto pass = loss == "bpr" ? bpr_part : loss == "warp" ? isa().warp_pass : isa().softmax_pass;
      totals[static_cast<std::size_t>(part)] = pass(static_cast<Rule>(rule), mine);
    });
  }
  double total = 0.0;
  int64_t count = 0;
  for (double t : totals) total += t;
  for (int64_t c : used) count += c;
  return nb::make_tuple(total, count);
}

}  // namespace

void bind_choices(nb::module_& m) {
  m.def("draw_negatives", &draw_negatives, nb::arg("negatives"), nb::arg("seed"), nb::arg("chosen_too"),
        nb::arg("which").noconvert(), nb::arg("out").noconvert());
  m.def("fm_choices", &fm_choices, nb::arg("loss"), nb::arg("rule"), nb::arg("shared_indptr").none(),
        nb::arg("shared_indices").noconvert(), nb::arg("shared_values").none(), nb::arg("shared_width"),
        nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(), nb::arg("width"),
        nb::arg("which").noconvert(), nb::arg("weight").none(), nb::arg("offset").none(), nb::arg("negatives"),
        nb::arg("seed"), nb::arg("n_negatives"), nb::arg("rank_weight").none(), nb::arg("table").noconvert(),
        nb::arg("padded"), nb::arg("w_at"), nb::arg("hyper"), nb::arg("n_threads"));
}

}  // namespace crossfm
