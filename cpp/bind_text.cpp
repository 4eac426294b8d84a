#include <cstdlib>
#include <utility>

#include "bind.hpp"
#include "text.hpp"

namespace crossfm {
namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Hand the memory over to a NumPy array.
template <class T>
nb::object to_numpy(text::Buffer<T>& buffer) {
  T* const data = buffer.data.release();
  nb::capsule owner(data, [](void* p) noexcept { std::free(p); });
  return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {buffer.size}, owner));
}

// A text that comes in pieces.
class TextTable {
 public:
  TextTable(bool libffm, std::uint32_t first_id, bool exact) : options_{libffm, first_id, 1, !exact} {
    text::parse_more(table_, "", 0, options_);  // so that no text at all is no rows
  }

  // (fault, offset in these bytes)
  nb::tuple add(Bytes bytes, int n_threads, std::size_t to_come) {
    options_.n_threads = n_threads;
    {
      nb::gil_scoped_release release;
      text::parse_more(table_, reinterpret_cast<const char*>(bytes.data()), bytes.size(), options_, to_come);
    }
    return nb::make_tuple(static_cast<int>(table_.error.fault), table_.error.offset);
  }

  std::size_t n_lines() const { return table_.n_lines; }

  // (label, indptr, indices, values or None, fields or None, qid or None)
  nb::tuple take() {
    text::Table table = std::exchange(table_, {});
    return nb::make_tuple(to_numpy(table.label), to_numpy(table.indptr), to_numpy(table.indices),
                          table.all_ones ? nb::none() : to_numpy(table.values),
                          table.fields.data ? to_numpy(table.fields) : nb::none(),
                          table.qid.data ? to_numpy(table.qid) : nb::none());
  }

 private:
  text::Options options_;
  text::Table table_;
};

}  // namespace

void bind_text(nb::module_& m) {
  nb::class_<TextTable>(m, "TextTable")
      .def(nb::init<bool, std::uint32_t, bool>(), nb::arg("libffm"), nb::arg("first_id"), nb::arg("exact"))
      .def("add", &TextTable::add, nb::arg("bytes"), nb::arg("n_threads"), nb::arg("to_come"))
      .def_prop_ro("n_lines", &TextTable::n_lines)
      .def("take", &TextTable::take);
}

}  // namespace crossfm
