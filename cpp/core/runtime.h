#pragma once

#include <cstddef>
#include <string>

namespace gapless {

// What this CPU and this environment offer. The only reader of GAPLESS_* variables.
struct Runtime {
  bool avx2 = false;        // with FMA, and saved by the operating system
  bool avx512 = false;      // F, BW, VL, DQ
  bool avx512vnni = false;  // these and VNNI
  bool neon = false;
  bool neondot = false;     // these and the dot products of bytes
  std::string forced_simd;  // GAPLESS_SIMD, empty when unset
  std::size_t cores = 1;    // cores this process may use
};

const Runtime& runtime();

}  // namespace gapless
