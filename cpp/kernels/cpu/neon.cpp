#include <arm_neon.h>

#include "core/prefetch.h"
#include "kernels/cpu/isa.h"

namespace gapless {
namespace {

struct Simd {
  static constexpr std::size_t kLanes = 4;
  static constexpr std::size_t kTileRows = 4;  // of dot_tile, as many as registers hold
  using Reg = float32x4_t;

  static Reg zero() { return vdupq_n_f32(0.0f); }
  static Reg broadcast(float x) { return vdupq_n_f32(x); }
  static Reg load(const float* p) { return vld1q_f32(p); }
  static Reg load_part(const float* p, std::size_t n) {
    float lanes[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (std::size_t i = 0; i < n; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
  }
  static void store(float* p, Reg x) { vst1q_f32(p, x); }
  static Reg fma(Reg a, Reg b, Reg c) { return vfmaq_f32(c, a, b); }
  static Reg add(Reg a, Reg b) { return vaddq_f32(a, b); }
  static Reg mul(Reg a, Reg b) { return vmulq_f32(a, b); }
  static float sum(Reg x) { return vaddvq_f32(x); }
  static std::uint32_t at_least(Reg a, Reg b) {
    const uint32x4_t bit = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(a, b), bit));
  }
};

#include "kernels/cpu/body.inc"

}  // namespace

const Kernels kNeonKernels = {"neon",       dot,       dot_rows, dot_tile,         dot_gather,
                              affine_score, normalise, at_least, &kNeonCodeKernels};
// The same with the kernels over codes of CPUs since ARMv8.4, and of many before.
const Kernels kNeonDotKernels = {"neondot", dot,        dot_rows,
                                 dot_tile,  dot_gather, affine_score,
                                 normalise, at_least,   &kNeonDotCodeKernels};

}  // namespace gapless
