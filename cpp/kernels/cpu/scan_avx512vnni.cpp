#include <immintrin.h>

#include "core/prefetch.h"
#include "kernels/cpu/scan_tables.inc"

namespace gapless {
namespace {

struct Simd {
  static constexpr std::size_t kBlocks = 1;
  static constexpr std::size_t kPanels = 2;
  static constexpr std::size_t kQueries = 8;
  using Codes = __m512i;
  using Sums = __m512i;

  static Codes load(const std::uint8_t* bytes) { return _mm512_loadu_si512(bytes); }
  static Codes repeat(const std::int8_t* codes) {
    int four;
    __builtin_memcpy(&four, codes, sizeof(four));
    return _mm512_set1_epi32(four);
  }
  static Sums first(const ScanQuery& query) {
    return _mm512_set1_epi32(query.start - 128 * query.sum);
  }
  static Sums add(Sums sums, Codes rows, Codes query) {
    return _mm512_dpbusd_epi32(sums, rows, query);
  }
  template <bool R>
  static std::uint32_t kept(const ScanQuery& query, Sums sums, const ScanRows& rows,
                            std::size_t row, const float* inverse_r) {
    // Not _mm512_cvtepi32_ps: GCC 12 warns of an uninitialised value inside its own header.
    const __m512 steps = __builtin_convertvector((__v16si)sums, __m512);
    const __m512 tail = _mm512_mul_ps(_mm512_loadu_ps(rows.tail + row), _mm512_set1_ps(query.tail));
    const __m512 upper = _mm512_fmadd_ps(_mm512_loadu_ps(rows.scale + row), steps, tail);
    __m512 limit = _mm512_set1_ps(query.limit + query.shift);
    if (R) {
      limit = _mm512_fmadd_ps(_mm512_set1_ps(query.limit), _mm512_loadu_ps(inverse_r),
                              _mm512_set1_ps(query.shift));
    }
    return _mm512_cmp_ps_mask(upper, limit, _CMP_NLT_UQ);
  }
};

#include "kernels/cpu/scan_body.inc"

}  // namespace

const ScanKernel kAvx512VnniScan = {"avx512vnni", scan};

}  // namespace gapless
