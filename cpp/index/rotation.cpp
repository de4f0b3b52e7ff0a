#include "index/rotation.h"

#include <algorithm>
#include <bit>

#include "kernels/kernels.h"

namespace gapless {
namespace {

// SplitMix64 (Steele, Lea and Flood 2014) of a counter. Codes on disk depend on it.
std::uint64_t mixed(std::uint64_t counter) {
  std::uint64_t x = (counter + 1) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

Rotation::Rotation(std::size_t dim)
    : dim_(dim),
      padded_((dim + kCodeDims - 1) / kCodeDims * kCodeDims),
      block_(std::size_t{1} << std::countr_zero(padded_)) {
  std::uint64_t counter = 0;
  for (auto& signs : signs_) {
    signs.resize(padded_);
    for (float& sign : signs) sign = mixed(counter++) >> 63 ? 1.0f : -1.0f;
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

}  // namespace gapless
