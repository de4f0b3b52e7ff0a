#include "index/rotation.h"

#include <algorithm>
#include <bit>

#include "core/mix.h"
#include "kernels/kernels.h"

namespace gapless {

Rotation::Rotation(std::size_t dim)
    : dim_(dim),
      padded_((dim + kCodeDims - 1) / kCodeDims * kCodeDims),
      block_(std::size_t{1} << std::countr_zero(padded_)) {
  std::uint64_t counter = 0;
  for (auto& signs : signs_) {
    signs.resize(padded_);
    for (float& sign : signs) sign = mixed(0, counter++) >> 63 ? 1.0f : -1.0f;
  }
}

void Rotation::apply(const float* in, float* out) const {
  thread_local std::vector<float> first;
  first.resize(padded_);
  for (std::size_t i = 0; i < dim_; ++i) first[i] = in[i] * signs_[0][i];
  std::fill(first.begin() + static_cast<std::ptrdiff_t>(dim_), first.end(), 0.0f);
  const std::size_t blocks = padded_ / block_;
  kernels().codes->hadamard(first.data(), block_, blocks);
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t i = 0; i < block_; ++i) {
      const std::size_t to = i * blocks + b;
      out[to] = first[b * block_ + i] * signs_[1][to];
    }
  }
  kernels().codes->hadamard(out, block_, blocks);
}

void Rotation::invert(const float* in, float* out) const {
  thread_local std::vector<float> second;
  thread_local std::vector<float> first;
  second.assign(in, in + padded_);
  first.resize(padded_);
  const std::size_t blocks = padded_ / block_;
  kernels().codes->hadamard(second.data(), block_, blocks);  // its own inverse
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t i = 0; i < block_; ++i) {
      const std::size_t from = i * blocks + b;
      first[b * block_ + i] = second[from] * signs_[1][from];
    }
  }
  kernels().codes->hadamard(first.data(), block_, blocks);
  for (std::size_t i = 0; i < dim_; ++i) out[i] = first[i] * signs_[0][i];
}

CentredRotation::CentredRotation(const std::vector<float>& mean)
    : rotation_(mean.size()), mean_(mean), rotated_mean_(rotation_.padded_dim()) {
  rotation_.apply(mean_.data(), rotated_mean_.data());
}

void CentredRotation::apply(const float* unit, float* y) const {
  rotation_.apply(unit, y);
  for (std::size_t j = 0; j < rotated_mean_.size(); ++j) y[j] -= rotated_mean_[j];
}

void CentredRotation::invert(const float* y, float* unit) const {
  rotation_.invert(y, unit);
  for (std::size_t j = 0; j < mean_.size(); ++j) unit[j] += mean_[j];
  kernels().normalise(unit, unit, mean_.size());
}

}  // namespace gapless
