// The reference of the scan, and the choice among its instruction sets.
#include <cstring>

#include "core/runtime.h"
#include "kernels/cpu/scan_tables.inc"
#include "kernels/kernels.h"
#include "kernels/scan.h"

namespace gapless {
namespace {

std::int32_t dot(const ScanQuery& query, const ScanRows& rows, std::size_t row) {
  const std::size_t place = row / kPanelRows * kPartDims * kPanelRows + row % kPanelRows * 4;
  std::int32_t sum = 0;
  for (std::size_t d = 0; d < rows.part_count * kPartDims; ++d) {
    const std::size_t in_part = d % kPartDims;
    const std::uint8_t code =
        rows.parts[d / kPartDims][place + in_part / 4 * 4 * kPanelRows + in_part % 4];
    sum += query.code[d] * (code - 128);
  }
  return sum;
}

void scan(const ScanQuery* queries, std::size_t query_count, const ScanRows& rows,
          std::size_t first, std::size_t count, std::uint32_t* kept, std::uint32_t* found) {
  for (std::size_t q = 0; q < query_count; ++q) {
    const ScanQuery& query = queries[q];
    for (std::size_t row = first; row < first + count; ++row) {
      const float inverse = rows.inverse_r == nullptr ? 1.0f : rows.inverse_r[row - first];
      const auto steps = static_cast<float>(dot(query, rows, row) + query.start);
      const float upper = rows.scale[row] * steps + rows.tail[row] * query.tail;
      if (upper < query.limit * inverse + query.shift) continue;
      kept[q * count + found[q]++] = static_cast<std::uint32_t>(row);
    }
  }
}

std::vector<const ScanKernel*> find_available() {
  std::vector<const ScanKernel*> found{&kScalarScan};
#if defined(__x86_64__)
  if (runtime().avx2) found.push_back(&kAvx2Scan);
  if (runtime().avx512vnni) found.push_back(&kAvx512VnniScan);
#elif defined(__aarch64__)
  if (runtime().neon) found.push_back(&kNeonScan);
#endif
  return found;
}

const ScanKernel& choose() {
  const ScanKernel* best = &kScalarScan;
  const bool wide = std::strcmp(kernels().name, "avx512") == 0;
  for (const ScanKernel* candidate : available_scan_kernels()) {
    if (std::strcmp(candidate->name, wide ? "avx2" : kernels().name) == 0) best = candidate;
  }
  return *best;
}

}  // namespace

const ScanKernel kScalarScan = {"scalar", scan};

const std::vector<const ScanKernel*>& available_scan_kernels() {
  static const std::vector<const ScanKernel*> kAvailable = find_available();
  return kAvailable;
}

const ScanKernel& scan_kernel() {
  static const ScanKernel& kChosen = choose();
  return kChosen;
}

}  // namespace gapless
