#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/types.h"
#include "kernels/codes.h"

namespace gapless {

inline constexpr std::size_t kTileQueries = 4;

// Float kernels of one instruction set. Rows may be unaligned, dims are at least 1; nothing throws.
struct Kernels {
  const char* name;  // scalar, avx2, avx512, avx512vnni, neon or neondot
  // <a, b>
  float (*dot)(const float* a, const float* b, std::size_t dim);
  // out[i] = <query, rows + i * stride>
  void (*dot_rows)(const float* query, const float* rows, std::size_t stride, std::size_t dim,
                   std::size_t count, float* out);
  // out[q * count + i] = <queries[q], rows + i * stride>, q < kTileQueries; the bits of dot_rows
  void (*dot_tile)(const float* const* queries, const float* rows, std::size_t stride,
                   std::size_t dim, std::size_t count, float* out);
  // out[i] = <query, rows + slots[i] * stride>, with later rows on their way
  void (*dot_gather)(const float* query, const float* rows, std::size_t stride, std::size_t dim,
                     const Slot* slots, std::size_t count, float* out);
  // scores[i] = (scores[i] + c) * r[i]
  void (*affine_score)(float* scores, float c, const float* r, std::size_t count);
  // out = in / |in|; returns |in|, and leaves `out` unspecified when that is zero or not finite
  double (*normalise)(const float* in, float* out, std::size_t dim);
  // Writes every i with scores[i] >= threshold, ascending; returns how many.
  std::size_t (*at_least)(const float* scores, std::size_t count, float threshold,
                          std::uint32_t* positions);
  const CodeKernels* codes;
};

// The best this CPU runs, or what GAPLESS_SIMD names (InvalidArgument if it cannot); chosen once.
const Kernels& kernels();
const std::vector<const Kernels*>& available_kernels();  // scalar first

}  // namespace gapless
