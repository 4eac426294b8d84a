// What the binding files share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

namespace crossfm {

namespace nb = nanobind;

template <class T>
using Array = nb::ndarray<T, nb::c_contig, nb::device::cpu>;

template <class T>
inline T* data_or_null(const nb::object& array) {
  if (array.is_none()) return nullptr;
  return nb::cast<Array<T>>(array, false).data();  // no conversion: a copy would die here
}

void bind_fm(nb::module_& m);
void bind_pairs(nb::module_& m);
void bind_choices(nb::module_& m);
void bind_sgda(nb::module_& m);
void bind_gibbs(nb::module_& m);
void bind_latent(nb::module_& m);
void bind_machines(nb::module_& m);
void bind_embedding(nb::module_& m);
void bind_topk(nb::module_& m);
void bind_pack(nb::module_& m);
void bind_text(nb::module_& m);

}  // namespace crossfm
