#include <immintrin.h>

#include <cstddef>

#include "core/prefetch.h"
#include "kernels/cpu/isa.h"

namespace gapless {
namespace {

inline __m256i load256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

struct Ints {
  using Sum = __m256i;
  static constexpr std::int32_t kBias = 0;
  static constexpr std::size_t kNibbleStep = 32;

  static Sum zero() { return _mm256_setzero_si256(); }
  // Not vpmaddubsw: two products of a byte with 127 exceed its 16 bits.
  static Sum bytes(Sum sum, const std::uint8_t* row, const std::int8_t* query) {
    sum = bytes_half(sum, load256(row), load256(query));
    return bytes_half(sum, load256(row + 32), load256(query + 32));
  }
  static Sum bytes_half(Sum sum, __m256i row, __m256i query) {
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(query, 8), 8);
    const __m256i odd = _mm256_srai_epi16(query, 8);
    const __m256i low = _mm256_and_si256(row, _mm256_set1_epi16(255));
    const __m256i high = _mm256_srli_epi16(row, 8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(low, even));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(high, odd));
  }
  static Sum nibbles(Sum sum, const std::uint8_t* row, const std::int8_t* low,
                     const std::int8_t* high) {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i both = load256(row);
    const __m256i of_low = _mm256_maddubs_epi16(_mm256_and_si256(both, mask), load256(low));
    const __m256i of_high =
        _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(both, 4), mask), load256(high));
    return add_pairs(sum, _mm256_add_epi16(of_low, of_high));
  }
  static Sum nibbles_half(Sum sum, const std::uint8_t*, const std::int8_t*, const std::int8_t*) {
    return sum;
  }
  static Sum sum_bits(const std::int8_t* code, const std::uint8_t* bits, std::size_t blocks) {
    constexpr std::size_t kMost = 64;  // blocks whose sums, 254 for two dims, fit in 16 bits
    Sum sum = zero();
    for (std::size_t first = 0; first < blocks; first += kMost) {
      const std::size_t end = blocks < first + kMost ? blocks : first + kMost;
      __m256i pairs = zero();
      for (std::size_t b = first; b < end; ++b) {
        pairs = _mm256_add_epi16(pairs, under_bits(code + 64 * b, bits + 8 * b));
        pairs = _mm256_add_epi16(pairs, under_bits(code + 64 * b + 32, bits + 8 * b + 4));
      }
      sum = add_pairs(sum, pairs);
    }
    return sum;
  }
  // The code of 32 dims where their bit is set, summed in pairs.
  static __m256i under_bits(const std::int8_t* code, const std::uint8_t* bits) {
    const __m256i byte_of =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
    std::int32_t four;
    __builtin_memcpy(&four, bits, sizeof(four));
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(four), byte_of);
    const __m256i one = _mm256_min_epu8(_mm256_and_si256(spread, bit_of), _mm256_set1_epi8(1));
    return _mm256_maddubs_epi16(one, load256(code));
  }
  static Sum add_pairs(Sum sum, __m256i pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static void store4(Sum a, Sum b, Sum c, Sum d, std::int32_t* out) {
    const __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), halves(all));
  }
  static std::int32_t total(Sum sum) {
    __m128i half = halves(sum);
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
  }
  static __m128i halves(Sum sum) {
    return _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  }
};

struct Floats {
  static constexpr std::size_t kLanes = 8;
  using Reg = __m256;

  static Reg zero() { return _mm256_setzero_ps(); }
  static Reg broadcast(float x) { return _mm256_set1_ps(x); }
  static Reg load(const float* p) { return _mm256_loadu_ps(p); }
  static Reg load_bf16(const std::uint16_t* p) {
    const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(upper), 16));
  }
  static void store(float* p, Reg x) { _mm256_storeu_ps(p, x); }
  static void store_bytes(std::uint8_t* p, Reg x) {
    const __m256i whole = _mm256_and_si256(_mm256_cvtps_epi32(x), _mm256_set1_epi32(255));
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
  }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  static Reg abs(Reg x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static Reg round(Reg x) { return _mm256_round_ps(x, _MM_FROUND_CUR_DIRECTION); }
  static std::uint32_t at_least(Reg a, Reg b) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)));
  }
  static float sum(Reg x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static float largest(Reg x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  // Each lane's partner plus the lane, or minus it in the second of the two.
  static Reg hadamard(Reg x) {
    Reg other = _mm256_permute_ps(x, 0xb1);
    x = _mm256_blend_ps(_mm256_add_ps(other, x), _mm256_sub_ps(other, x), 0xaa);
    other = _mm256_permute_ps(x, 0x4e);
    x = _mm256_blend_ps(_mm256_add_ps(other, x), _mm256_sub_ps(other, x), 0xcc);
    other = _mm256_permute2f128_ps(x, x, 1);
    return _mm256_blend_ps(_mm256_add_ps(other, x), _mm256_sub_ps(other, x), 0xf0);
  }
};

#include "kernels/cpu/codes_body.inc"
#include "kernels/cpu/encode_body.inc"
#include "kernels/cpu/filter_body.inc"

}  // namespace

const CodeKernels kAvx2CodeKernels = {"avx2",       dot_bytes,     dot_nibbles, dot_bf16,
                                      filter_lines, score_nibbles, hadamard,    encode_query,
                                      encode_row,   decode_row,    encode_bytes};

}  // namespace gapless
