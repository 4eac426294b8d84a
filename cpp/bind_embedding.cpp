// Bindings of embeddings for networks.
#include "bind.hpp"
#include "bind_rows.hpp"
#include "sort.hpp"
#include "threads.hpp"

namespace crossfm {
namespace {

RowsView with_fields(const nb::object& indptr, const Array<const uint32_t>& indices, const nb::object& values,
                     int64_t width, const nb::object& fields) {
  RowsView rows = rows_view(indptr, indices, values, width);
  if (fields.is_none()) return rows;
  const auto array = nb::cast<Array<const uint32_t>>(fields, false);
  rows.fields = array.data();
  rows.same_fields = rows.indptr == nullptr && static_cast<int64_t>(array.size()) == width;
  return rows;
}

void look_up(const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
             const nb::object& fields, Array<const int64_t> order, Array<const float> data, int64_t padded, int64_t w_at,
             int64_t n_factors, int64_t n_fields, bool single, Array<float> linear, const nb::object& embedded,
             const nb::object& weights, const nb::object& sums, const nb::object& pooled, const nb::object& pair,
             int n_threads) {
  const Table table{const_cast<float*>(data.data()), static_cast<int64_t>(data.shape(1)), padded, w_at};  // only read
  const LookupArgs all{with_fields(indptr, indices, values, width, fields), order.data(), 0,
                       static_cast<int64_t>(order.size()), table, n_factors, n_fields, single,
                       linear.data(), data_or_null<float>(embedded), data_or_null<float>(weights), data_or_null<float>(sums),
                       data_or_null<float>(pooled), data_or_null<float>(pair)};
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    LookupArgs mine = all;
    mine.begin = part_begin(all.end, part, n_threads);
    mine.end = part_begin(all.end, part + 1, n_threads);
    isa().embedding_look_up(mine);
  });
}

// Fill `sorted` and `starts`; returns the number of ids. `keys`, and `xs` where there are values, are filled too where the ids
// of each column are known to be its own.
int64_t sort(const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
             Array<const int64_t> order, int64_t n_features, int shift, Array<uint64_t> sorted, Array<uint64_t> spare,
             Array<int64_t> starts, const nb::object& low, const nb::object& span, const nb::object& keys,
             const nb::object& xs, int n_threads) {
  const RowsView rows = rows_view(indptr, indices, values, width);
  const ColumnsView columns{data_or_null<const uint32_t>(low), data_or_null<const uint32_t>(span)};
  auto* const own_keys = data_or_null<uint32_t>(keys);
  auto* const own_xs = data_or_null<float>(xs);
  const auto n_rows = static_cast<int64_t>(order.size());
  nb::gil_scoped_release release;
  int64_t n = n_rows * width;
  if (columns.low) {
    run_parts(n_threads, [&](int part) {
      transpose(rows, order.data(), n_rows, part_begin(n_rows, part, n_threads), part_begin(n_rows, part + 1, n_threads),
                columns, own_keys, own_xs);
    });
    run_parts(n_threads, [&](int part) {
      uint64_t* const own = spare.data() + 2 * n_rows * part;
      for (int64_t column = part; column < width; column += n_threads)
        sort_column(own_keys + column * n_rows, n_rows, shift, column, columns, sorted.data() + column * n_rows, own);
    });
  } else {
    n = sort_ids(rows, order.data(), n_rows, shift, n_features, sorted.data(), spare.data());
  }
  return find_starts(sorted.data(), n, starts.data());
}

// Every touched record is moved once, by one thread, its occurrences summed in the order of the rows: the result is the same
// for any number of threads. `sorted` and `starts` are what `sort` made of the same rows.
void update(int rule, const nb::object& indptr, Array<const uint32_t> indices, const nb::object& values, int64_t width,
            const nb::object& fields, Array<const int64_t> order, Array<float> data, int64_t padded, int64_t w_at,
            int64_t n_factors, int64_t n_fields, int shift, Array<const uint64_t> sorted, Array<const int64_t> starts,
            int64_t n_ids, const nb::object& d_linear, const nb::object& d_embedded, const nb::object& d_weights,
            const nb::object& d_pooled, const nb::object& d_pair, const nb::object& sums, const nb::dict& hyper_V,
            const nb::dict& hyper_w, float l2_V, float l2_w, const nb::object& rarity, float clip, float clip_floor,
            const nb::object& xs, const nb::object& plain, int n_threads) {
  EmbeddingUpdateArgs all{};
  all.rows = with_fields(indptr, indices, values, width, fields);
  all.order = order.data();
  all.n_rows = static_cast<int64_t>(order.size());
  all.sorted = sorted.data();
  all.starts = starts.data();
  all.n_sorted = starts.data()[n_ids];
  all.shift = shift;
  all.table = TableArrays{data, padded, w_at}.view();
  all.n_factors = n_factors;
  all.n_fields = n_fields;
  all.d_linear = data_or_null<const float>(d_linear);
  all.d_embedded = data_or_null<const float>(d_embedded);
  all.d_weights = data_or_null<const float>(d_weights);
  all.d_pooled = data_or_null<const float>(d_pooled);
  all.d_pair = data_or_null<const float>(d_pair);
  all.sums = data_or_null<const float>(sums);
  all.hyper_V = read_hyper(hyper_V);
  all.hyper_w = read_hyper(hyper_w);
  all.l2_V = l2_V;
  all.l2_w = l2_w;
  all.rarity = data_or_null<const float>(rarity);
  all.clip = clip;
  all.clip_floor = clip_floor;
  all.xs = data_or_null<const float>(xs);
  all.plain = data_or_null<const bool>(plain);
  nb::gil_scoped_release release;
  run_parts(n_threads, [&](int part) {
    EmbeddingUpdateArgs mine = all;
    mine.begin = part_begin(n_ids, part, n_threads);
    mine.end = part_begin(n_ids, part + 1, n_threads);
    isa().embedding_update(static_cast<Rule>(rule), mine);
  });
}

}  // namespace

void bind_embedding(nb::module_& m) {
  m.def("embedding_look_up", &look_up, nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(),
        nb::arg("width"), nb::arg("fields").none(), nb::arg("order").noconvert(), nb::arg("table").noconvert(), nb::arg("padded"),
        nb::arg("w_at"), nb::arg("n_factors"), nb::arg("n_fields"), nb::arg("single"), nb::arg("linear").noconvert(),
        nb::arg("embedded").none(), nb::arg("weights").none(), nb::arg("sums").none(), nb::arg("pooled").none(),
        nb::arg("pair").none(), nb::arg("n_threads"));
  m.def("embedding_sort", &sort, nb::arg("indptr").none(), nb::arg("indices").noconvert(), nb::arg("values").none(),
        nb::arg("width"), nb::arg("order").noconvert(), nb::arg("n_features"), nb::arg("shift"), nb::arg("sorted").noconvert(),
        nb::arg("spare").noconvert(), nb::arg("starts").noconvert(), nb::arg("low").none(), nb::arg("span").none(),
        nb::arg("keys").none(), nb::arg("xs").none(), nb::arg("n_threads"));
  m.def("embedding_update", &update, nb::arg("rule"), nb::arg("indptr").none(), nb::arg("indices").noconvert(),
        nb::arg("values").none(), nb::arg("width"), nb::arg("fields").none(), nb::arg("order").noconvert(),
        nb::arg("table").noconvert(), nb::arg("padded"), nb::arg("w_at"), nb::arg("n_factors"), nb::arg("n_fields"),
        nb::arg("shift"), nb::arg("sorted").noconvert(), nb::arg("starts").noconvert(), nb::arg("n_ids"),
        nb::arg("d_linear").none(), nb::arg("d_embedded").none(), nb::arg("d_weights").none(), nb::arg("d_pooled").none(),
        nb::arg("d_pair").none(), nb::arg("sums").none(), nb::arg("hyper_V"), nb::arg("hyper_w"), nb::arg("l2_V"),
        nb::arg("l2_w"), nb::arg("rarity").none(), nb::arg("clip"), nb::arg("clip_floor"), nb::arg("xs").none(),
        nb::arg("plain").none(), nb::arg("n_threads"));
}

}  // namespace crossfm
