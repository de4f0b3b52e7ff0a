#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gapless {

// A fixed random rotation of `dim` values into padded_dim(): signs, blocked Walsh-Hadamard
// transform, interleaving of the blocks, and all of it again. Padding to a multiple of 64, not to a
// power of two: what is 3 * 128 stays 384. Dot products survive it; outlying dims are spread out.
class Rotation {
 public:
  explicit Rotation(std::size_t dim);

  std::size_t padded_dim() const { return padded_; }
  void apply(const float* in, float* out) const;   // dim values to padded_dim
  void invert(const float* in, float* out) const;  // and back

 private:
  std::size_t dim_;
  std::size_t padded_;
  std::size_t block_;            // a power of two that divides padded_
  std::vector<float> signs_[2];  // +-1
};

// The rotation of unit rows less their mean, which is what codes hold.
class CentredRotation {
 public:
  explicit CentredRotation(const std::vector<float>& mean);

  const Rotation& rotation() const { return rotation_; }  // for what is not to be centred
  std::size_t padded_dim() const { return rotated_mean_.size(); }
  const std::vector<float>& mean() const { return mean_; }
  const std::vector<float>& rotated_mean() const { return rotated_mean_; }
  void apply(const float* unit, float* y) const;
  void invert(const float* y, float* unit) const;  // and back to unit length

 private:
  Rotation rotation_;
  std::vector<float> mean_;
  std::vector<float> rotated_mean_;
};

}  // namespace gapless
