#include "bind.hpp"
#include "text.hpp"

namespace crossfm {
namespace {

// Hand the memory over to a NumPy array.
template <class T>
nb::object to_numpy(text::Buffer<T>& buffer) {
  T* const data = buffer.data.release();
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {buffer.size}, owner));
}

// (fault, offset, label, indptr, indices, values or None, fields or None, qid or None)
nb::tuple parse_text(nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> bytes, bool libffm,
                     std::uint32_t first_id, int n_threads, bool exact) {
  text::Table table;
  {
    nb::gil_scoped_release release;
    table = text::parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), {libffm, first_id, n_threads, !exact});
  }
  const int fault = static_cast<int>(table.error.fault);
  if (fault) {
    return nb::make_tuple(fault, table.error.offset, nb::none(), nb::none(), nb::none(), nb::none(), nb::none(),
                          nb::none());
  }
  return nb::make_tuple(fault, std::size_t{0}, to_numpy(table.label), to_numpy(table.indptr), to_numpy(table.indices),
                        table.all_ones ? nb::none() : to_numpy(table.values),
                        table.fields.data ? to_numpy(table.fields) : nb::none(),
                        table.qid.data ? to_numpy(table.qid) : nb::none());
}

}  // namespace

void bind_text(nb::module_& m) {
  m.def("parse_text", &parse_text, nb::arg("bytes"), nb::arg("libffm"), nb::arg("first_id"), nb::arg("n_threads"),
        nb::arg("exact"));
}

}  // namespace crossfm
