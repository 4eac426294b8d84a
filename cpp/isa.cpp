// Run-time choice of the instruction set.
#include <atomic>
#include <cstring>

#include "kernels.hpp"

namespace crossfm {

namespace plain {
extern const Isa table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Isa table;
}
namespace avx512 {
extern const Isa table;
}
#endif

bool isa_supported(const char* name) {
  if (std::strcmp(name, "plain") == 0) return true;
#if defined(__x86_64__)
  if (std::strcmp(name, "avx2") == 0) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (std::strcmp(name, "avx512") == 0)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("fma");
#endif
  return false;
}

namespace {

const Isa* find(const char* name) {
  if (!isa_supported(name)) return nullptr;
#if defined(__x86_64__)
  if (std::strcmp(name, "avx2") == 0) return &avx2::table;
  if (std::strcmp(name, "avx512") == 0) return &avx512::table;
#endif
  return &plain::table;
}

const Isa* widest() {
  for (const char* name : {"avx512", "avx2"})
    if (const Isa* found = find(name)) return found;
  return &plain::table;
}

std::atomic<const Isa*>& current() {
  static std::atomic<const Isa*> chosen{widest()};
  return chosen;
}

}  // namespace

const Isa& isa() { return *current().load(std::memory_order_relaxed); }

bool set_isa(const char* name) {
  const Isa* found = find(name);
  if (found) current().store(found);
  return found != nullptr;
}

}  // namespace crossfm
