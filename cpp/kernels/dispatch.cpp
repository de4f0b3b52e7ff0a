#include <string>

#include "core/error.h"
#include "core/runtime.h"
#include "kernels/cpu/isa.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

std::vector<const Kernels*> find_available() {
  std::vector<const Kernels*> found{&kScalarKernels};
#if defined(__x86_64__)
  if (runtime().avx2) found.push_back(&kAvx2Kernels);
  if (runtime().avx512) found.push_back(&kAvx512Kernels);
  if (runtime().avx512vnni) found.push_back(&kAvx512VnniKernels);
#elif defined(__aarch64__)
  if (runtime().neon) found.push_back(&kNeonKernels);
  if (runtime().neondot) found.push_back(&kNeonDotKernels);
#endif
  return found;
}

const Kernels* choose() {
  const std::string& forced = runtime().forced_simd;
  if (forced.empty()) return available_kernels().back();
  std::string names;
  for (const Kernels* candidate : available_kernels()) {
    if (forced == candidate->name) return candidate;
    names += names.empty() ? "" : ", ";
    names += candidate->name;
  }
  throw InvalidArgument("GAPLESS_SIMD is '" + forced + "'; this machine runs " + names +
                        ": set one of these or unset it");
}

}  // namespace

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> kAvailable = find_available();
  return kAvailable;
}

const Kernels& kernels() {
  static const Kernels* const kChosen = choose();
  return *kChosen;
}

}  // namespace gapless
