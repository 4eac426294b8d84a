// Binding of SGD with adaptive regularisation.
#include <vector>

#include "bind.hpp"
#include "bind_rows.hpp"

namespace crossfm {
namespace {

double fm_sgda(const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
               Array<const int64_t> order, Array<const double> target, const nb::object& weight,
               const nb::object& valid_indptr, Array<const uint32_t> valid_indices, const nb::object& valid_values,
               int64_t valid_width, const nb::object& valid_order, Array<const double> valid_target,
               const nb::object& valid_weight, Array<float> data, int64_t padded, int64_t w_at, Array<float> bias,
               const nb::object& group, Array<float> penalty, int loss, float learning_rate) {
  SgdaArgs a{};
  a.train.rows = rows_view(indptr, indices, values, width);
  a.train.order = order.data();
  a.train.end = static_cast<int64_t>(order.size());
  a.train.table = TableArrays{data, padded, w_at}.view();
  a.train.bias = bias.data();
  a.train.target = target.data();
  a.train.weight = data_or_null<const float>(weight);
  a.train.loss = static_cast<Loss>(loss);
  a.train.hyper.learning_rate = learning_rate;
  a.valid = rows_view(valid_indptr, valid_indices, valid_values, valid_width);
  a.valid_order = data_or_null<const int64_t>(valid_order);
  a.valid_target = valid_target.data();
  a.valid_weight = data_or_null<const float>(valid_weight);
  a.group = data_or_null<const uint32_t>(group);
  a.penalty = penalty.data();
  std::vector<float> scratch(2 * static_cast<std::size_t>(padded) + penalty.size(), 0.0f);
  a.scratch = scratch.data();
  nb::gil_scoped_release release;
  return isa().sgda_pass(a);
}

}  // namespace

void bind_sgda(nb::module_& m) {
  m.def("fm_sgda", &fm_sgda, nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(),
        nb::arg("width"), nb::arg("order").noconvert(), nb::arg("target").noconvert(), nb::arg("weight").none(),
        nb::arg("valid_indptr").none(), nb::arg("valid_indices").noconvert(), nb::arg("valid_values").none(),
        nb::arg("valid_width"), nb::arg("valid_order").none(), nb::arg("valid_target").noconvert(),
        nb::arg("valid_weight").none(), nb::arg("table").noconvert(), nb::arg("padded"), nb::arg("w_at"),
        nb::arg("bias").noconvert(), nb::arg("group").none(), nb::arg("penalty").noconvert(), nb::arg("loss"),
        nb::arg("learning_rate"));
}

}  // namespace crossfm
