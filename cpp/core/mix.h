#pragma once

#include <cstdint>

namespace gapless {

// SplitMix64 (Steele, Lea and Flood 2014): a uniform number for each counter value. Codes on disk
// depend on it.
inline std::uint64_t mixed(std::uint64_t seed, std::uint64_t counter) {
  std::uint64_t x = seed + (counter + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace gapless
