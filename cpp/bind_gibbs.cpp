// Binding of the exact solvers: a sweep over all columns, and the sums of which the other draws are made.
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "bind.hpp"
#include "bind_rows.hpp"
#include "gibbs_args.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

constexpr int64_t kShared = 4096;  // non-zeros of a colour from which on threads share it

// A thread's own room, from a cache line on.
struct Scratch {
  std::vector<float> room;
  float* begin;

  explicit Scratch(int64_t padded) : room(static_cast<std::size_t>(gibbs_scratch(padded)) + kLine), begin(room.data()) {
    while (reinterpret_cast<std::uintptr_t>(begin) % (kLine * sizeof(float)) != 0) ++begin;
  }
};

// The first column of a thread's share of columns [first, last): shares have about as many non-zeros each.
int64_t share_begin(const int64_t* start, int64_t first, int64_t last, int part, int parts) {
  const int64_t from = start[first] + part_begin(start[last] - start[first], part, parts);
  return std::lower_bound(start + first, start + last, from) - start;
}

// The colour of each column, the lowest that no column of its rows has yet: columns of one colour share no row, and the
// columns of one-hot blocks side by side have one colour a block. From 63 on each column has one of its own.
void gibbs_colours(Array<const int64_t> start, Array<const uint32_t> row, int64_t n_rows, Array<int64_t> colour) {
  nb::gil_scoped_release release;
  std::vector<uint64_t> taken(static_cast<std::size_t>(n_rows), 0);
  int64_t own = 63;
  for (std::size_t column = 0; column < colour.size(); ++column) {
    const int64_t begin = start.data()[column], end = start.data()[column + 1];
    uint64_t seen = 0;
    for (int64_t at = begin; at < end; ++at) seen |= taken[row.data()[at]];
    const int lowest = std::countr_one(seen);
    if (lowest < 63) {
      for (int64_t at = begin; at < end; ++at) taken[row.data()[at]] |= uint64_t{1} << lowest;
      colour.data()[column] = lowest;
    } else {
      colour.data()[column] = own++;
    }
  }
}

// Columns of one colour are moved at the same time, colour after colour. n_factors of the table's factors move, from
// `first` on, with room for `padded`; w moves with those from 0.
void gibbs_sweep(Array<const uint32_t> feature, Array<const int64_t> start, Array<const uint32_t> row,
                 const nb::object& value, const nb::object& root, Array<const int64_t> colours, Array<float> table,
                 int64_t first, int64_t padded, int64_t w_at, int64_t n_factors, Array<float> e, Array<float> q, float alpha,
                 Array<const uint32_t> group, Array<const float> lambda, Array<const float> mu, const nb::object& noise,
                 const nb::object& spread, const nb::object& tilt, const nb::object& variance,
                 const nb::object& tu, int n_threads) {
  GibbsArgs all{};
  all.feature = feature.data();
  all.start = start.data();
  all.row = row.data();
  all.value = data_or_null<const float>(value);
  all.root = data_or_null<const float>(root);
  all.table = TableArrays{table, padded, w_at - first}.view();
  all.table.data += first;
  all.fixed_w = first > 0;
  all.n_factors = n_factors;
  all.e = e.data();
  all.q = q.data();
  all.alpha = alpha;
  all.group = group.data();
  all.lambda = lambda.data();
  all.mu = mu.data();
  all.noise = data_or_null<const float>(noise);
  all.spread = data_or_null<const float>(spread);
  all.tilt = data_or_null<float>(tilt);
  all.variance = data_or_null<float>(variance);
  all.tu = data_or_null<float>(tu);
  const int64_t* const colour = colours.data();
  const int64_t n_colours = static_cast<int64_t>(colours.size()) - 1;
  nb::gil_scoped_release release;
  Barrier barrier(n_threads);
  run_parts(n_threads, [&](int part) {
    Scratch scratch(padded);
    GibbsArgs own = all;
    own.scratch = scratch.begin;
    const int64_t least = all.spread ? kShared / 16 : kShared;
    const auto shared = [&](int64_t at) { return all.start[colour[at + 1]] - all.start[colour[at]] >= least; };
    for (int64_t at = 0; at < n_colours; ++at) {
      const int64_t first = colour[at], last = colour[at + 1];
      const int parts = shared(at) ? n_threads : 1;
      if (part < parts) {
        own.begin = share_begin(all.start, first, last, part, parts);
        own.end = part + 1 == parts ? last : share_begin(all.start, first, last, part + 1, parts);
        if (own.begin < own.end) isa().gibbs_move(own);
      }
      if (shared(at) || (at + 1 < n_colours && shared(at + 1))) barrier.wait();
    }
  });
}

// What both ways between rows and block rows take: e and q of the rows, those factors of q from `first` on that the block
// rows have, and the block rows' means.
RelationArgs relation_args(const Array<float>& e, const Array<float>& q, int64_t first, const Array<float>& mean_e,
                           const Array<float>& mean_q) {
  RelationArgs args{};
  args.padded = static_cast<int64_t>(mean_q.shape(1));
  args.e = e.data();
  args.q = q.data() + first;
  args.stride = static_cast<int64_t>(q.shape(1));
  args.mean_e = mean_e.data();
  args.mean_q = mean_q.data();
  return args;
}

// The rows of each block row become one: fills root, mean_e, mean_q, spread and tilt.
void relation_gather(Array<const int64_t> start, Array<const uint32_t> row, const nb::object& weight, Array<float> e,
                     Array<float> q, int64_t first, Array<float> root, Array<float> mean_e, Array<float> mean_q,
                     Array<float> spread, Array<float> tilt, int n_threads) {
  RelationArgs all = relation_args(e, q, first, mean_e, mean_q);
  all.start = start.data();
  all.row = row.data();
  all.weight = data_or_null<const float>(weight);
  all.root = root.data();
  all.spread = spread.data();
  all.tilt = tilt.data();
  const auto n = static_cast<int64_t>(root.size());
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    Scratch scratch(all.padded);
    RelationArgs own = all;
    own.scratch = scratch.begin;
    own.begin = share_begin(all.start, 0, n, part, n_threads);
    own.end = part + 1 == n_threads ? n : share_begin(all.start, 0, n, part + 1, n_threads);
    isa().gibbs_gather(own);
  });
}

// What the block rows have gained goes to their rows' e and q.
void relation_scatter(Array<const uint32_t> of, Array<float> e, Array<float> q, int64_t first,
                      Array<const float> old_e, Array<const float> old_q, Array<float> mean_e, Array<float> mean_q,
                      int n_threads) {
  RelationArgs all = relation_args(e, q, first, mean_e, mean_q);
  all.of = of.data();
  all.old_e = old_e.data();
  all.old_q = old_q.data();
  const auto n = static_cast<int64_t>(of.size());
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    RelationArgs own = all;
    own.begin = part_begin(n, part, n_threads) / 4 * 4;  // sums are made of four rows: the same four for any number
    own.end = part + 1 == n_threads ? n : part_begin(n, part + 1, n_threads) / 4 * 4;
    isa().gibbs_scatter(own);
  });
}

// e -= by; returns sum c e and sum c e^2, in which blocks of rows are summed first.
std::pair<double, double> gibbs_shift(Array<float> e, const nb::object& weight, float by) {
  float* const at = e.data();
  const float* const c = data_or_null<const float>(weight);
  const auto n = static_cast<int64_t>(e.size());
  nb::gil_scoped_release release;
  constexpr int64_t block = 256;
  double sum = 0.0, squares = 0.0;
  for (int64_t from = 0; from < n; from += block) {
    const int64_t to = std::min(n, from + block);
    double part[8] = {}, squared[8] = {};
    for (int64_t r = from; r < to; ++r) {
      const float moved = at[r] -= by;
      const double weighted = c ? double{c[r]} * moved : double{moved};
      part[r & 7] += weighted;
      squared[r & 7] += weighted * moved;
    }
    for (int i = 0; i < 8; ++i) sum += part[i], squares += squared[i];
  }
  return {sum, squares};
}

// Of the columns' features: how many each group has, and by group the sums and sums of squares of w and each factor.
void gibbs_moments(Array<const uint32_t> feature, Array<const uint32_t> group, Array<const float> table, int64_t w_at,
                   int64_t n_factors, Array<int64_t> count, Array<double> sums, Array<double> squares) {
  const auto stride = static_cast<int64_t>(table.shape(1));
  nb::gil_scoped_release release;
  for (std::size_t at = 0; at < feature.size(); ++at) {
    const uint32_t id = feature.data()[at], own = group.data()[id];
    const float* const v = table.data() + id * stride;
    double* const sum = sums.data() + own * (1 + n_factors);
    double* const square = squares.data() + own * (1 + n_factors);
    const double w = v[w_at];
    ++count.data()[own];
    sum[0] += w, square[0] += w * w;
    for (int64_t f = 0; f < n_factors; ++f) {
      sum[1 + f] += v[f];
      square[1 + f] += double{v[f]} * v[f];
    }
  }
}

using Strided = nb::ndarray<const float, nb::device::cpu>;

// Variances of the rows' scores; `padded` is the table's.
void vb_variances(const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
                  int64_t n_rows, Strided V, Strided S, Strided s_w, Array<float> out, const nb::object& tu,
                  int64_t padded, int n_threads) {
  VarianceArgs all{};
  all.rows = rows_view(indptr, indices, values, width);
  all.n_factors = static_cast<int64_t>(V.shape(1));
  all.padded = padded;
  all.means = V.data();
  all.mean_stride = V.stride(0);
  all.variances = S.data();
  all.variance_stride = S.stride(0);
  all.w = s_w.data();
  all.w_stride = s_w.stride(0);
  all.out = out.data();
  all.tu = data_or_null<float>(tu);
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    VarianceArgs own = all;
    own.begin = part_begin(n_rows, part, n_threads);
    own.end = part_begin(n_rows, part + 1, n_threads);
    isa().variance(own);
  });
}

}  // namespace

void bind_gibbs(nb::module_& m) {
  m.def("gibbs_colours", &gibbs_colours, nb::arg("start").noconvert(), nb::arg("row").noconvert(), nb::arg("n_rows"),
        nb::arg("colour").noconvert());
  m.def("gibbs_sweep", &gibbs_sweep, nb::arg("feature").noconvert(), nb::arg("start").noconvert(),
        nb::arg("row").noconvert(), nb::arg("value").none(), nb::arg("root").none(), nb::arg("colours").noconvert(),
        nb::arg("table").noconvert(), nb::arg("first"), nb::arg("padded"), nb::arg("w_at"), nb::arg("n_factors"),
        nb::arg("e").noconvert(), nb::arg("q").noconvert(), nb::arg("alpha"), nb::arg("group").noconvert(),
        nb::arg("lambda_").noconvert(), nb::arg("mu").noconvert(), nb::arg("noise").none(), nb::arg("spread").none(),
        nb::arg("tilt").none(), nb::arg("variance").none(), nb::arg("tu").none(), nb::arg("n_threads"));
  m.def("relation_gather", &relation_gather, nb::arg("start").noconvert(), nb::arg("row").noconvert(),
        nb::arg("weight").none(), nb::arg("e").noconvert(), nb::arg("q").noconvert(), nb::arg("first"),
        nb::arg("root").noconvert(),
        nb::arg("mean_e").noconvert(), nb::arg("mean_q").noconvert(), nb::arg("spread").noconvert(),
        nb::arg("tilt").noconvert(), nb::arg("n_threads"));
  m.def("relation_scatter", &relation_scatter, nb::arg("of").noconvert(), nb::arg("e").noconvert(),
        nb::arg("q").noconvert(), nb::arg("first"), nb::arg("old_e").noconvert(), nb::arg("old_q").noconvert(),
        nb::arg("mean_e").noconvert(), nb::arg("mean_q").noconvert(), nb::arg("n_threads"));
  m.def("gibbs_shift", &gibbs_shift, nb::arg("e").noconvert(), nb::arg("weight").none(), nb::arg("by"));
  m.def("gibbs_moments", &gibbs_moments, nb::arg("feature").noconvert(), nb::arg("group").noconvert(),
        nb::arg("table").noconvert(), nb::arg("w_at"), nb::arg("n_factors"), nb::arg("count").noconvert(),
        nb::arg("sums").noconvert(), nb::arg("squares").noconvert());
  m.def("vb_variances", &vb_variances, nb::arg("indptr").none(), nb::arg("indices").noconvert(),
        nb::arg("values").none(), nb::arg("width"), nb::arg("n_rows"), nb::arg("V").noconvert(),
        nb::arg("S").noconvert(), nb::arg("s_w").noconvert(), nb::arg("out").noconvert(), nb::arg("tu").none(),
        nb::arg("padded"), nb::arg("n_threads"));
}

}  // namespace crossfm
