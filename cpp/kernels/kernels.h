#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/types.h"

namespace gapless {

inline constexpr std::size_t kTileQueries = 4;

// Float kernels of one instruction set. Rows may be unaligned and of any dim >= 1; nothing is
// allocated and nothing throws.
struct Kernels {
  const char* name;  // scalar, avx2, avx512 or neon

  // <a, b>
  float (*dot)(const float* a, const float* b, std::size_t dim);
  // out[i] = <query, rows + i * stride>
  void (*dot_rows)(const float* query, const float* rows, std::size_t stride, std::size_t dim,
                   std::size_t count, float* out);
  // out[q * count + i] = <queries[q], rows + i * stride> for kTileQueries queries: each row is read
  // once for all of them. Bit for bit what dot_rows gives.
  void (*dot_tile)(const float* const* queries, const float* rows, std::size_t stride,
                   std::size_t dim, std::size_t count, float* out);
  // out[i] = <query, rows + slots[i] * stride>, later rows being prefetched while one is computed
  void (*dot_gather)(const float* query, const float* rows, std::size_t stride, std::size_t dim,
                     const Slot* slots, std::size_t count, float* out);
  // scores[i] = (scores[i] + c) * r[i]
  void (*affine_score)(float* scores, float c, const float* r, std::size_t count);
  // out = in / |in|; returns |in|. Zero, NaN or infinite norms are returned and `out` is
  // unspecified.
  double (*normalise)(const float* in, float* out, std::size_t dim);
  // Writes every i with scores[i] >= threshold, ascending, and returns how many: the filter in
  // front of a top-k heap.
  std::size_t (*at_least)(const float* scores, std::size_t count, float threshold,
                          std::uint32_t* positions);
};

// The kernels in use: the best this CPU runs, or those that GAPLESS_SIMD names (InvalidArgument
// when they cannot run here). Chosen once.
const Kernels& kernels();

// All that can run here, scalar first.
const std::vector<const Kernels*>& available_kernels();

}  // namespace gapless
