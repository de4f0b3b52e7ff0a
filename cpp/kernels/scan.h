#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gapless {

inline constexpr std::size_t kPanelRows = 16;  // coded rows that lie interleaved
inline constexpr std::size_t kPartDims = 32;
inline constexpr std::size_t kMostScanDims = 256;
inline constexpr std::size_t kScanQueries = 8;  // most queries of one scan
inline constexpr int kScanQueryLimit = 63;      // of a query's codes: two products fit 16 bits

// The first dims of coded rows, in parts. In a part, dim d of row i is the byte
//   (i / kPanelRows * kPartDims + d / 4 * 4) * kPanelRows + i % kPanelRows * 4 + d % 4.
struct ScanRows {
  const std::uint8_t* const* parts;
  std::size_t part_count;
  const float* scale;
  const float* tail;
  const float* inverse_r;  // by row from `first`, or null: 1
};
struct ScanQuery {
  const std::int8_t* code;  // part_count * kPartDims values within +-kScanQueryLimit
  std::int32_t sum;         // of code
  std::int32_t start;
  float tail, limit, shift;
};
struct ScanKernel {
  const char* name;  // scalar, avx2, avx512vnni or neon
  // Appends to kept[q * count + found[q]++], ascending, every row i of first to first + count - 1
  // (multiples of kPanelRows) unless scale[i] * (<code, row i - 128> + start) + tail[i] * query
  // tail < limit * inverse_r + shift. NaN keeps a row. The integers are exact, the rest is rounded.
  void (*scan)(const ScanQuery* queries, std::size_t query_count, const ScanRows& rows,
               std::size_t first, std::size_t count, std::uint32_t* kept, std::uint32_t* found);
};
const ScanKernel& scan_kernel();                                 // the one that goes with kernels()
const std::vector<const ScanKernel*>& available_scan_kernels();  // scalar first

}  // namespace gapless
