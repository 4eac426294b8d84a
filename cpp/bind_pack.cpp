// Bindings of packed words; the GIL is free, so that one thread unpacks while another trains.
#include "bind.hpp"
#include "pack.hpp"

namespace crossfm {
namespace {

void pack_words(Array<const uint32_t> words, Array<const uint32_t> base, Array<const uint8_t> bits, Array<uint8_t> out) {
  const Packing packing{static_cast<int64_t>(base.size()), base.data(), bits.data()};
  const int64_t n_rows = static_cast<int64_t>(words.size()) / packing.width;
  nb::gil_scoped_release release;
  pack(words.data(), n_rows, packing, out.data());
}

void unpack_words(Array<const uint8_t> data, Array<const uint32_t> base, Array<const uint8_t> bits,
                  Array<uint32_t> out) {
  const Packing packing{static_cast<int64_t>(base.size()), base.data(), bits.data()};
  const int64_t n_rows = static_cast<int64_t>(out.size()) / packing.width;
  nb::gil_scoped_release release;
  unpack(data.data(), n_rows, packing, out.data());
}

}  // namespace

void bind_pack(nb::module_& m) {
  m.attr("PACK_TAIL") = kPackTail;
  m.def("pack_words", &pack_words, nb::arg("words").noconvert(), nb::arg("base").noconvert(),
        nb::arg("bits").noconvert(), nb::arg("out").noconvert());
  m.def("unpack_words", &unpack_words, nb::arg("data").noconvert(), nb::arg("base").noconvert(),
        nb::arg("bits").noconvert(), nb::arg("out").noconvert());
}

}  // namespace crossfm
