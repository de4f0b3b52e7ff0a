// The reference: every other instruction set is tested against these loops. Sums are kept in
// double, so that the reference is the most accurate of them all.
#include <cmath>

#include "kernels/cpu/isa.h"

namespace gapless {
namespace {

float dot(const float* a, const float* b, std::size_t dim) {
  double sum = 0.0;
  for (std::size_t i = 0; i < dim; ++i) sum += static_cast<double>(a[i]) * b[i];
  return static_cast<float>(sum);
}

void dot_rows(const float* query, const float* rows, std::size_t stride, std::size_t dim,
              std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = dot(query, rows + i * stride, dim);
}

void dot_tile(const float* const* queries, const float* rows, std::size_t stride, std::size_t dim,
              std::size_t count, float* out) {
  for (std::size_t q = 0; q < kTileQueries; ++q) {
    dot_rows(queries[q], rows, stride, dim, count, out + q * count);
  }
}

void dot_gather(const float* query, const float* rows, std::size_t stride, std::size_t dim,
                const Slot* slots, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = dot(query, rows + slots[i] * stride, dim);
}

void affine_score(float* scores, float c, const float* r, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) scores[i] = (scores[i] + c) * r[i];
}

double normalise(const float* in, float* out, std::size_t dim) {
  double sum = 0.0;
  for (std::size_t i = 0; i < dim; ++i) sum += static_cast<double>(in[i]) * in[i];
  const double norm = std::sqrt(sum);
  const double inverse = 1.0 / norm;
  for (std::size_t i = 0; i < dim; ++i) out[i] = static_cast<float>(in[i] * inverse);
  return norm;
}

std::size_t at_least(const float* scores, std::size_t count, float threshold,
                     std::uint32_t* positions) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (scores[i] >= threshold) positions[found++] = static_cast<std::uint32_t>(i);
  }
  return found;
}

}  // namespace

const Kernels kScalarKernels = {"scalar",     dot,       dot_rows, dot_tile,           dot_gather,
                                affine_score, normalise, at_least, &kScalarCodeKernels};

}  // namespace gapless
