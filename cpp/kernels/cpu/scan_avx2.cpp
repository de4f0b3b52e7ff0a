#include <immintrin.h>

#include "core/prefetch.h"
#include "kernels/cpu/scan_tables.inc"

namespace gapless {
namespace {

struct Simd {
  static constexpr std::size_t kBlocks = 2;
  static constexpr std::size_t kPanels = 1;
  static constexpr std::size_t kQueries = 4;
  using Codes = __m256i;
  using Sums = __m256i;

  static Codes load(const std::uint8_t* bytes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  }
  static Codes repeat(const std::int8_t* codes) {
    int four;
    __builtin_memcpy(&four, codes, sizeof(four));
    return _mm256_set1_epi32(four);
  }
  static Sums first(const ScanQuery& query) {
    return _mm256_set1_epi32(query.start - 128 * query.sum);
  }
  // Two products of at most 255 * kScanQueryLimit fit 16 bits.
  static Sums add(Sums sums, Codes rows, Codes query) {
    const __m256i pairs = _mm256_maddubs_epi16(rows, query);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  template <bool R>
  static std::uint32_t kept(const ScanQuery& query, Sums sums, const ScanRows& rows,
                            std::size_t row, const float* inverse_r) {
    const __m256 steps = _mm256_cvtepi32_ps(sums);
    const __m256 tail = _mm256_mul_ps(_mm256_loadu_ps(rows.tail + row), _mm256_set1_ps(query.tail));
    const __m256 upper = _mm256_fmadd_ps(_mm256_loadu_ps(rows.scale + row), steps, tail);
    const __m256 r = R ? _mm256_loadu_ps(inverse_r) : _mm256_set1_ps(1.0f);
    const __m256 limit =
        _mm256_fmadd_ps(_mm256_set1_ps(query.limit), r, _mm256_set1_ps(query.shift));
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(upper, limit, _CMP_NLT_UQ)));
  }
};

#include "kernels/cpu/scan_body.inc"

}  // namespace

const ScanKernel kAvx2Scan = {"avx2", scan};

}  // namespace gapless
