// Bindings of the second-order machine: passes, mini-batches, scores, choice of instruction set.
#include <algorithm>
#include <string>
#include <vector>

#include "bind.hpp"
#include "bind_rows.hpp"
#include "hot.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

PassArgs pass_args(const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
                   Array<const int64_t> order, const TableArrays& table, Array<float> bias,
                   Array<const double> target, const nb::object& weight, int loss, const nb::dict& hyper) {
  PassArgs a{};
  a.rows = rows_view(indptr, indices, values, width);
  a.order = order.data();
  a.begin = 0;
  a.end = static_cast<int64_t>(order.size());
  a.table = table.view();
  a.bias = bias.data();
  a.target = target.data();
  a.weight = data_or_null<const float>(weight);
  a.loss = static_cast<Loss>(loss);
  a.hyper = read_hyper(hyper);
  return a;
}

// One thread is exact and repeatable; `spare` are the records behind the table's that several threads work
// on, `longest` the non-zeros of the longest row, which they need too, `visited` the rows that the table has learnt from
// before.
double fm_pass(int rule, const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values,
               int64_t width, Array<const int64_t> order, Array<float> data, int64_t padded, int64_t w_at,
               bool half, Array<float> bias, Array<const double> target, const nb::object& weight, int loss,
               const nb::dict& hyper, int n_threads, const nb::object& spare, int64_t longest, int64_t visited) {
  const PassArgs all = pass_args(indptr, indices, values, width, order, {data, padded, w_at, half}, bias, target, weight,
                                 loss, hyper);
  float* const behind = data_or_null<float>(spare);
  const auto n_features = static_cast<int64_t>(data.shape(0));
  nb::gil_scoped_release release;
  if (n_threads == 1) return isa().pass(static_cast<Rule>(rule), all);
  Hot hot(all, static_cast<Rule>(rule), behind, n_features, longest, n_threads);
  return visit_in_rounds(hot, all.end, visited, n_threads, [&](int part) {
    return [&, args = hot.args(part)](int64_t begin, int64_t end) mutable {
      args.begin = begin, args.end = end;
      return isa().pass(static_cast<Rule>(rule), args);
    };
  });
}

// Synchronous mini-batches: the result is the same for any number of threads.
double fm_batches(int rule, const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values,
                  int64_t width, Array<const int64_t> order, Array<float> data, int64_t padded, int64_t w_at,
                  bool half, Array<float> bias, Array<const double> target, const nb::object& weight, int loss,
                  const nb::dict& hyper, int n_threads, int64_t batch_size) {
  const PassArgs all = pass_args(indptr, indices, values, width, order, {data, padded, w_at, half}, bias, target, weight,
                                 loss, hyper);
  nb::gil_scoped_release release;
  std::vector<float> slope(static_cast<std::size_t>(batch_size));
  std::vector<float> sums(static_cast<std::size_t>(batch_size * padded));
  std::vector<double> row_loss(static_cast<std::size_t>(batch_size));
  Barrier barrier(n_threads);
  double total = 0.0;
  run_parts(n_threads, [&](int part) {
    for (int64_t start = 0; start < all.end; start += batch_size) {
      const int64_t size = std::min(batch_size, all.end - start);
      BatchArgs mine{all, slope.data(), sums.data(), row_loss.data(), static_cast<uint32_t>(part),
                     static_cast<uint32_t>(n_threads)};
      mine.pass.order = all.order + start;
      mine.pass.begin = part_begin(size, part, n_threads);
      mine.pass.end = part_begin(size, part + 1, n_threads);
      isa().batch_forward(mine);
      barrier.wait();
      mine.pass.begin = 0;
      mine.pass.end = size;
      isa().batch_update(static_cast<Rule>(rule), mine);
      if (part == 0)
        for (int64_t i = 0; i < size; ++i) total += row_loss[static_cast<std::size_t>(i)];
      barrier.wait();
    }
  });
  return total;
}

void fm_scores(const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
               int64_t n_rows, float bias, nb::ndarray<const float, nb::device::cpu> w,
               nb::ndarray<nb::ro, nb::device::cpu> V, Array<float> score, const nb::object& sums,
               int n_threads) {
  ScoreArgs all{};
  all.rows = rows_view(indptr, indices, values, width);
  all.bias = bias;
  all.w = w.data();
  all.w_stride = w.stride(0);
  all.half = V.dtype() == nb::dtype<uint16_t>();  // bfloat16
  if (!all.half && V.dtype() != nb::dtype<float>()) throw nb::type_error("V is neither float32 nor uint16");
  all.V = V.data();
  all.V_stride = V.stride(0);
  all.n_factors = static_cast<int64_t>(V.shape(1));
  all.score = score.data();
  all.sums = data_or_null<float>(sums);
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    ScoreArgs mine = all;
    mine.begin = part_begin(n_rows, part, n_threads);
    mine.end = part_begin(n_rows, part + 1, n_threads);
    isa().score(mine);
  });
}

// Mark the ids that occur; the caller has seen to it that all are below the length of `marks`.
void mark(Array<const uint32_t> ids, Array<bool> marks) {
  const uint32_t* const id = ids.data();
  bool* const mark = marks.data();
  nb::gil_scoped_release release;
  for (std::size_t i = 0; i < ids.size(); ++i) mark[id[i]] = true;
}

}  // namespace

void bind_fm(nb::module_& m) {
  m.def("isa", [] { return std::string(isa().name); }, "Name of the instruction set in use.");
  m.def("set_isa", [](const std::string& name) { return set_isa(name.c_str()); });
  m.def("isa_supported", [](const std::string& name) { return isa_supported(name.c_str()); });
  m.def("fm_pass", &fm_pass, nb::arg("rule"), nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(),
        nb::arg("width"), nb::arg("order").noconvert(), nb::arg("table").noconvert(), nb::arg("padded"), nb::arg("w_at"), nb::arg("half"), nb::arg("bias").noconvert(),
        nb::arg("target").noconvert(), nb::arg("weight").none(), nb::arg("loss"), nb::arg("hyper"), nb::arg("n_threads"),
        nb::arg("spare").none(), nb::arg("longest"), nb::arg("visited"));
  m.attr("HOT_PLACES") = HotPlaces::count;
  m.def("fm_batches", &fm_batches, nb::arg("rule"), nb::arg("indptr").none(), nb::arg("indices").noconvert(),
        nb::arg("values").none(), nb::arg("width"), nb::arg("order").noconvert(), nb::arg("table").noconvert(), nb::arg("padded"),
        nb::arg("w_at"), nb::arg("half"), nb::arg("bias").noconvert(), nb::arg("target").noconvert(), nb::arg("weight").none(), nb::arg("loss"),
        nb::arg("hyper"), nb::arg("n_threads"), nb::arg("batch_size"));
  m.def("fm_scores", &fm_scores, nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(),
        nb::arg("width"), nb::arg("n_rows"), nb::arg("bias").noconvert(), nb::arg("w").noconvert(), nb::arg("V").noconvert(), nb::arg("score").noconvert(),
        nb::arg("sums").none(), nb::arg("n_threads"));
  m.def("mark", &mark, nb::arg("ids").noconvert(), nb::arg("marks").noconvert());
}

}  // namespace crossfm
