// The extension module: one bind_* function a family, arrays in, arrays out.
#include "bind.hpp"

NB_MODULE(_kernels, m) {
  m.doc() = "Compiled kernels of crossfm. Arguments are checked by crossfm.kernels, not here.";
  crossfm::bind_fm(m);
  crossfm::bind_pairs(m);
  crossfm::bind_choices(m);
  crossfm::bind_sgda(m);
  crossfm::bind_gibbs(m);
  crossfm::bind_latent(m);
  crossfm::bind_machines(m);
  crossfm::bind_embedding(m);
  crossfm::bind_topk(m);
  crossfm::bind_pack(m);
  crossfm::bind_text(m);
}
