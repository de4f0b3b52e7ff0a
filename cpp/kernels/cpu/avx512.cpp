#include <immintrin.h>

#include "core/prefetch.h"
#include "kernels/cpu/isa.h"

namespace gapless {
namespace {

struct Simd {
  static constexpr std::size_t kLanes = 16;
  static constexpr std::size_t kTileRows = 4;  // of dot_tile, as many as registers hold
  using Reg = __m512;

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg broadcast(float x) { return _mm512_set1_ps(x); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static Reg load_part(const float* p, std::size_t n) {
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
  }
  static void store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  // Not _mm512_reduce_add_ps: GCC 12 warns of an uninitialised value inside its own headers for
  // every intrinsic that takes a half.
  static float sum(Reg x) {
    const __m256 low = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m256 high = __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m256 half = _mm256_add_ps(low, high);
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  static std::uint32_t at_least(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
};

#include "kernels/cpu/body.inc"

}  // namespace

const Kernels kAvx512Kernels = {"avx512",     dot,       dot_rows, dot_tile,         dot_gather,
                                affine_score, normalise, at_least, &kAvx2CodeKernels};
// The same with the kernels over codes of CPUs since Ice Lake and Zen 4.
const Kernels kAvx512VnniKernels = {"avx512vnni", dot,        dot_rows,
                                    dot_tile,     dot_gather, affine_score,
                                    normalise,    at_least,   &kAvx512VnniCodeKernels};

}  // namespace gapless
