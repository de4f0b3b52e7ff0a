#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/types.h"

namespace gapless {

// Dims of a coded row are padded to a multiple of this, with zeros before coding.
inline constexpr std::size_t kCodeDims = 64;

// Head of a row's line, before its sign bits (bit j % 8 of byte j / 8, set where the value is >=
// 0).
struct LineHead {
  float factor;         // the row's value along its signs: |y|^2 / |y|_1
  float nibble_scale;   // y[j] ~ nibble_scale * (2 * nibble - 15)
  float byte_scale;     // what that leaves ~ byte_scale * (byte - 128)
  std::uint16_t error;  // of the sign estimate, standard deviation per unit of query, rounded up
  std::int16_t mean;    // <mean query, y>
};
inline constexpr float kErrorUnit = 1.0f / 65536;
inline constexpr float kMeanUnit = 1.0f / 8192;

// The upper half of a float. Static: code of one instruction set must not serve another.
static inline float bf16_to_float(std::uint16_t half) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
}

// A query vector in two bytes a dim: v[j] ~ scale * (high[j] + low[j] / 254), |high| <= 127.
struct QueryCode {
  float scale = 0.0f;
  std::int32_t high_sum = 0;
  std::int32_t low_sum = 0;
};

// A query against lines: an upper bound of a row's score is
//   (scale * factor * (2 * <code, bits> - sum) + mean * mean_unit + error * slack + base) * r
struct LineQuery {
  const std::int8_t* code;
  std::int32_t sum;
  float scale;
  float slack;
  float base;
  const std::int16_t* means;  // by slot, or null: those in the lines
  float mean_unit;
  const float* r;  // by slot, or null: 1
};

// A query against nibbles: score = (scale * nibble_scale * (2 * <code, nibbles> - 15 * sum) + base)
// * r
struct NibbleQuery {
  const std::int8_t* code;
  std::int32_t sum;
  float scale;
  float base;
  const float* r;
};

// Kernels over coded rows; dim is a multiple of kCodeDims, strides are in bytes (values for bf16).
// Integer sums are exact, so every instruction set gives the same. `slots` may be null: rows 0 to
// count - 1.
struct CodeKernels {
  const char* name;
  // out[i] = sum of query[j] * row[j]
  void (*dot_bytes)(const std::int8_t* query, const std::uint8_t* rows, std::size_t stride,
                    std::size_t dim, const Slot* slots, std::size_t count, std::int32_t* out);
  // byte j of a row holds dim j (low nibble) and dim j + dim / 2 (high)
  void (*dot_nibbles)(const std::int8_t* query, const std::uint8_t* rows, std::size_t stride,
                      std::size_t dim, const Slot* slots, std::size_t count, std::int32_t* out);
  void (*dot_bf16)(const float* query, const std::uint16_t* rows, std::size_t stride,
                   std::size_t dim, const Slot* slots, std::size_t count, float* out);
  // Writes the slots whose bound is >= limit, in order; returns how many.
  std::size_t (*filter_lines)(const LineQuery& query, const std::uint8_t* lines, std::size_t stride,
                              std::size_t dim, const Slot* slots, std::size_t count, float limit,
                              Slot* kept);
  // Scores by nibbles; their scales are in the lines.
  void (*score_nibbles)(const NibbleQuery& query, const std::uint8_t* rows, std::size_t stride,
                        const std::uint8_t* lines, std::size_t line_stride, std::size_t dim,
                        const Slot* slots, std::size_t count, float* scores);
  // Orthonormal Walsh-Hadamard transform of each block of `block` (a power of two) values, in
  // place.
  void (*hadamard)(float* values, std::size_t block, std::size_t count);
  // high and low get dim values each.
  QueryCode (*encode_query)(const float* values, std::size_t dim, std::int8_t* high,
                            std::int8_t* low);
  // Codes y (dim values): bits, nibbles and the bytes of what the nibbles leave. Everything in the
  // head but `mean` is computed from the rounded codes.
  LineHead (*encode_row)(const float* y, std::size_t dim, std::uint8_t* bits, std::uint8_t* nibbles,
                         std::uint8_t* bytes);
  // y[j] = what a row's nibbles and bytes say
  void (*decode_row)(const LineHead& head, const std::uint8_t* nibbles, const std::uint8_t* bytes,
                     std::size_t dim, float* y);
  // bytes[j] = 128 + round(y[j] / scale); returns the scale
  float (*encode_bytes)(const float* y, std::size_t dim, std::uint8_t* bytes);
};

}  // namespace gapless
