#include "bind.hpp"

namespace crossfm {
void bind_text(nb::module_&) {}
}  // namespace crossfm
