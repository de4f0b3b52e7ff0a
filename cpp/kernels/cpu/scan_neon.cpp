#include <arm_neon.h>

#include "core/prefetch.h"
#include "kernels/cpu/scan_tables.inc"

namespace gapless {
namespace {

struct Simd {
  static constexpr std::size_t kBlocks = 4;
  static constexpr std::size_t kPanels = 1;
  static constexpr std::size_t kQueries = 4;
  using Codes = int8x16_t;
  using Sums = int32x4_t;

  static Codes load(const std::uint8_t* bytes) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), vdupq_n_u8(128)));
  }
  static Codes repeat(const std::int8_t* codes) {
    std::int32_t four;
    __builtin_memcpy(&four, codes, sizeof(four));
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
  }
  static Sums first(const ScanQuery& query) { return vdupq_n_s32(query.start); }
  static Sums add(Sums sums, Codes rows, Codes query) {
    const int16x8_t low = vmull_s8(vget_low_s8(rows), vget_low_s8(query));
    const int16x8_t high = vmull_high_s8(rows, query);
    return vpadalq_s16(sums, vpaddq_s16(low, high));  // two products are below 2^14
  }
  template <bool R>
  static std::uint32_t kept(const ScanQuery& query, Sums sums, const ScanRows& rows,
                            std::size_t row, const float* inverse_r) {
    const uint32x4_t bit = {1, 2, 4, 8};
    const float32x4_t steps = vcvtq_f32_s32(sums);
    const float32x4_t tail = vmulq_n_f32(vld1q_f32(rows.tail + row), query.tail);
    const float32x4_t upper = vfmaq_f32(tail, vld1q_f32(rows.scale + row), steps);
    const float32x4_t r = R ? vld1q_f32(inverse_r) : vdupq_n_f32(1.0f);
    const float32x4_t limit = vfmaq_n_f32(vdupq_n_f32(query.shift), r, query.limit);
    return vaddvq_u32(vbicq_u32(bit, vcltq_f32(upper, limit)));
  }
};

#include "kernels/cpu/scan_body.inc"

}  // namespace

const ScanKernel kNeonScan = {"neon", scan};

}  // namespace gapless
