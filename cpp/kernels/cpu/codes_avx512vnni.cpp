// GCC 12 warns of uninitialised values inside its own headers, in most of these intrinsics.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cstddef>

#include "core/prefetch.h"
#include "kernels/cpu/isa.h"

namespace gapless {
namespace {

struct Ints {
  using Sum = __m512i;
  static constexpr std::int32_t kBias = 0;
  static constexpr std::size_t kNibbleStep = 64;

  static Sum zero() { return _mm512_setzero_si512(); }
  static Sum bytes(Sum sum, const std::uint8_t* row, const std::int8_t* query) {
    return _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(row), _mm512_loadu_si512(query));
  }
  static Sum nibbles(Sum sum, const std::uint8_t* row, const std::int8_t* low,
                     const std::int8_t* high) {
    return add_nibbles(sum, _mm512_loadu_si512(row), _mm512_loadu_si512(low),
                       _mm512_loadu_si512(high));
  }
  static Sum nibbles_half(Sum sum, const std::uint8_t* row, const std::int8_t* low,
                          const std::int8_t* high) {
    const __mmask64 half = 0xffffffff;
    return add_nibbles(sum, _mm512_maskz_loadu_epi8(half, row), _mm512_maskz_loadu_epi8(half, low),
                       _mm512_maskz_loadu_epi8(half, high));
  }
  static Sum add_nibbles(Sum sum, __m512i row, __m512i low, __m512i high) {
    const __m512i mask = _mm512_set1_epi8(15);
    sum = _mm512_dpbusd_epi32(sum, _mm512_and_si512(row, mask), low);
    return _mm512_dpbusd_epi32(sum, _mm512_and_si512(_mm512_srli_epi16(row, 4), mask), high);
  }
  // In every 128 bits: the sums of those 128 bits of a, b, c and d.
  static __m512i transpose_add(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  }
  static __m128i add_quarters(__m512i x) {
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static void store4(Sum a, Sum b, Sum c, Sum d, std::int32_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), add_quarters(transpose_add(a, b, c, d)));
  }
  static std::int32_t total(Sum sum) {
    __m128i quarter = add_quarters(sum);
    quarter = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0x4e));
    quarter = _mm_add_epi32(quarter, _mm_shuffle_epi32(quarter, 0xb1));
    return _mm_cvtsi128_si32(quarter);
  }
};

struct Floats {
  static constexpr std::size_t kLanes = 16;
  using Reg = __m512;

  static Reg zero() { return _mm512_setzero_ps(); }
  static Reg broadcast(float x) { return _mm512_set1_ps(x); }
  static Reg load(const float* p) { return _mm512_loadu_ps(p); }
  static Reg load_bf16(const std::uint16_t* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static void store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  static void store_bytes(std::uint8_t* p, Reg x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
  }
  static Reg fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg min(Reg a, Reg b) { return _mm512_min_ps(a, b); }
  static Reg abs(Reg x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x); }
  static Reg round(Reg x) { return _mm512_roundscale_ps(x, _MM_FROUND_CUR_DIRECTION); }
  static std::uint32_t at_least(Reg a, Reg b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
  static __m256 lower(Reg x) { return _mm512_castps512_ps256(x); }
  static __m256 upper(Reg x) { return __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15); }
  static float sum(Reg x) {
    const __m256 half = _mm256_add_ps(lower(x), upper(x));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  static float largest(Reg x) {
    const __m256 half = _mm256_max_ps(lower(x), upper(x));
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  // The lane's partner plus the lane, or minus it where `lane & distance`.
  static Reg butterfly(Reg x, Reg partner, __mmask16 minus) {
    return _mm512_mask_sub_ps(_mm512_add_ps(partner, x), minus, partner, x);
  }
  static Reg hadamard(Reg x) {
    x = butterfly(x, _mm512_permute_ps(x, 0xb1), 0xaaaa);
    x = butterfly(x, _mm512_permute_ps(x, 0x4e), 0xcccc);
    x = butterfly(x, _mm512_shuffle_f32x4(x, x, 0xb1), 0xf0f0);
    return butterfly(x, _mm512_shuffle_f32x4(x, x, 0x4e), 0xff00);
  }
};

#include "kernels/cpu/codes_body.inc"
#include "kernels/cpu/encode_body.inc"

// The filter takes 16 rows at a time, and of each 64 dims a step: the query under a mask of bits.
constexpr std::size_t kFilterRows = 16;

struct Lines {
  const std::uint8_t* first;
  std::size_t stride;
  std::size_t blocks;  // of 64 dims
  const std::uint8_t* operator[](Slot slot) const { return first + slot * stride; }
};

// Bits as a mask. In assembly: GCC takes some of them through a general register, at twice the
// cost.
inline __mmask64 load_mask(const std::uint8_t* bits) {
  struct Eight {
    std::uint8_t bytes[8];
  };
  __mmask64 mask;
  asm("kmovq %1, %0" : "=k"(mask) : "m"(*reinterpret_cast<const Eight*>(bits)));
  return mask;
}

// The sum of one row, spread over the lanes. kBlocks = lines.blocks where that is known, else 0.
template <std::size_t kBlocks>
inline __m512i sum_line(const std::int8_t* code, const std::uint8_t* line, std::size_t blocks) {
  const __m512i ones = _mm512_set1_epi8(1);
  const std::uint8_t* bits = line + sizeof(LineHead);
  __m512i sum = _mm512_setzero_si512();
  const auto add = [&](std::size_t b) {
    const __m512i part = _mm512_loadu_si512(code + 64 * b);
    sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_mov_epi8(load_mask(bits + 8 * b), part));
  };
  if constexpr (kBlocks == 0) {
    for (std::size_t b = 0; b < blocks; ++b) add(b);
  } else {
#pragma GCC unroll 16
    for (std::size_t b = 0; b < kBlocks; ++b) add(b);
  }
  return sum;
}

template <std::size_t kBlocks>
inline __m512i sum_four(const std::int8_t* code, const Lines& lines, const Slot* slots) {
  return Ints::transpose_add(sum_line<kBlocks>(code, lines[slots[0]], lines.blocks),
                             sum_line<kBlocks>(code, lines[slots[1]], lines.blocks),
                             sum_line<kBlocks>(code, lines[slots[2]], lines.blocks),
                             sum_line<kBlocks>(code, lines[slots[3]], lines.blocks));
}

// The heads of every fourth row, in the quarters of a register.
inline __m512i four_heads(const Lines& lines, const Slot* slots) {
  const auto head = [&](std::size_t i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(lines[slots[4 * i]]));
  };
  const __m512i two = _mm512_inserti32x4(_mm512_zextsi128_si512(head(0)), head(1), 1);
  return _mm512_inserti32x4(_mm512_inserti32x4(two, head(2), 2), head(3), 3);
}

// The upper bounds of 16 rows but for r; only the first `rows` are wanted.
template <std::size_t kBlocks>
inline __m512 bounds(const LineQuery& query, const Lines& lines, const Slot* slots,
                     std::size_t rows) {
  __m512i fours[4];
  for (std::size_t i = 0; i < 4; ++i) {
    fours[i] = 4 * i < rows ? sum_four<kBlocks>(query.code, lines, slots + 4 * i) : Ints::zero();
  }
  // The quarters of fours[i] belong to rows 4 i to 4 i + 3: transpose the quarters.
  const __m512i a = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[0], fours[1], 0x88),
                                     _mm512_shuffle_i32x4(fours[0], fours[1], 0xdd));
  const __m512i c = _mm512_add_epi32(_mm512_shuffle_i32x4(fours[2], fours[3], 0x88),
                                     _mm512_shuffle_i32x4(fours[2], fours[3], 0xdd));
  const __m512i sums =
      _mm512_add_epi32(_mm512_shuffle_i32x4(a, c, 0x88), _mm512_shuffle_i32x4(a, c, 0xdd));
  const __m512i steps = _mm512_sub_epi32(_mm512_slli_epi32(sums, 1), _mm512_set1_epi32(query.sum));

  const __m512i h0 = four_heads(lines, slots), h1 = four_heads(lines, slots + 1);
  const __m512i h2 = four_heads(lines, slots + 2), h3 = four_heads(lines, slots + 3);
  const __m512 factor = _mm512_castsi512_ps(
      _mm512_unpacklo_epi64(_mm512_unpacklo_epi32(h0, h1), _mm512_unpacklo_epi32(h2, h3)));
  const __m512i last =
      _mm512_unpackhi_epi64(_mm512_unpackhi_epi32(h0, h1), _mm512_unpackhi_epi32(h2, h3));
  __m512i mean = _mm512_srai_epi32(last, 16);
  if (query.means != nullptr) {
    std::int32_t found[kFilterRows];
    for (std::size_t i = 0; i < kFilterRows; ++i) found[i] = query.means[slots[i]];
    mean = _mm512_loadu_si512(found);
  }
  const __m512 error = _mm512_cvtepi32_ps(_mm512_and_si512(last, _mm512_set1_epi32(0xffff)));
  const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(query.scale), factor);
  __m512 bound = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(steps), _mm512_set1_ps(query.base));
  bound = _mm512_fmadd_ps(_mm512_cvtepi32_ps(mean), _mm512_set1_ps(query.mean_unit), bound);
  return _mm512_fmadd_ps(error, _mm512_set1_ps(query.slack), bound);
}

template <std::size_t kBlocks>
std::size_t filter_blocks(const LineQuery& of, const Lines& at, const Slot* slots,
                          std::size_t count, float limit, Slot* kept) {
  const LineQuery query = of;
  const Lines lines = at;
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; i += kFilterRows) {
    const std::size_t rows = count - i < kFilterRows ? count - i : kFilterRows;
    Slot padded[kFilterRows];
    const Slot* which = slots + i;
    if (slots == nullptr || rows < kFilterRows) {  // the last row stands in for those not there
      for (std::size_t k = 0; k < kFilterRows; ++k) {
        padded[k] = static_cast<Slot>(place(slots, i + (k < rows ? k : rows - 1)));
      }
      which = padded;
    }
    __m512 bound = bounds<kBlocks>(query, lines, which, rows);
    if (query.r != nullptr) {
      float r[kFilterRows];
      for (std::size_t k = 0; k < kFilterRows; ++k) r[k] = query.r[which[k]];
      bound = _mm512_mul_ps(bound, _mm512_loadu_ps(r));
    }
    const auto there = static_cast<__mmask16>((1u << rows) - 1u);
    const __mmask16 keep = _mm512_mask_cmp_ps_mask(there, bound, _mm512_set1_ps(limit), _CMP_GE_OQ);
    const auto kept_here = static_cast<unsigned>(__builtin_popcount(keep));
    _mm512_mask_storeu_epi32(kept + found, static_cast<__mmask16>((1u << kept_here) - 1u),
                             _mm512_maskz_compress_epi32(keep, _mm512_loadu_si512(which)));
    found += kept_here;
  }
  return found;
}

std::size_t filter_lines(const LineQuery& query, const std::uint8_t* lines, std::size_t stride,
                         std::size_t dim, const Slot* slots, std::size_t count, float limit,
                         Slot* kept) {
  const std::size_t blocks = dim / 64;
  const auto filter = blocks == 4    ? filter_blocks<4>
                      : blocks == 6  ? filter_blocks<6>
                      : blocks == 8  ? filter_blocks<8>
                      : blocks == 12 ? filter_blocks<12>
                      : blocks == 16 ? filter_blocks<16>
                                     : filter_blocks<0>;
  return filter(query, {lines, stride, blocks}, slots, count, limit, kept);
}

}  // namespace

const CodeKernels kAvx512VnniCodeKernels = {"avx512vnni", dot_bytes,     dot_nibbles, dot_bf16,
                                            filter_lines, score_nibbles, hadamard,    encode_query,
                                            encode_row,   decode_row,    encode_bytes};

}  // namespace gapless
