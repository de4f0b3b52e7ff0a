#pragma once

#include <doctest.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/kernels.h"

// What the tests of the kernels over codes share.

inline bool quick() { return std::getenv("GAPLESS_TEST_QUICK") != nullptr; }

inline std::vector<std::size_t> dims() {
  if (quick()) return {64, 128, 192, 256, 384, 448, 512, 768, 1024, 2112};
  std::vector<std::size_t> found;
  for (std::size_t dim = 64; dim <= 2112; dim += 64) found.push_back(dim);
  return found;
}

template <typename Check>
void for_each_isa(Check check) {
  for (const gapless::Kernels* isa : gapless::available_kernels()) {
    CAPTURE(std::string(isa->name));
    check(*isa->codes);
  }
}

inline const gapless::CodeKernels& scalar_codes() {
  return *gapless::available_kernels().front()->codes;
}
