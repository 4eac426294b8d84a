// From Python's arguments to the kernels' structs.
#pragma once

#include "bind.hpp"
#include "kernels.hpp"

namespace crossfm {

inline RowsView rows_view(const nb::object& indptr, const Array<const uint32_t>& indices, const nb::object& values,
                          int64_t width) {
  RowsView rows{};
  rows.indptr = data_or_null<const int64_t>(indptr);
  rows.indices = indices.data();
  rows.values = data_or_null<const float>(values);
  rows.width = width;
  return rows;
}

struct TableArrays {
  Array<float> data;
  int64_t padded, w_at;
  bool half = false;

  Table view() const { return {data.data(), static_cast<int64_t>(data.shape(1)), padded, w_at, half}; }
};

inline Hyper read_hyper(const nb::dict& d) {
  const auto number = [&](const char* name) { return static_cast<float>(nb::cast<double>(d[name])); };
  const auto scale = nb::cast<Array<const float>>(d["adam_scale"], false);
  return {number("learning_rate"), number("l1_w"),       number("l2_w"),       number("l1_V"),
          number("l2_V"),          number("ftrl_beta"),  number("ftrl_decay"), number("adam_beta1"),
          number("adam_beta2"),    number("adam_eps"),   scale.data(),         static_cast<int64_t>(scale.size()),
          number("factor_share")};
}

}  // namespace crossfm
