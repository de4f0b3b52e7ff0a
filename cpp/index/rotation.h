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

  std::size_t dim() const { return dim_; }
  std::size_t padded_dim() const { return padded_; }
  void apply(const float* in, float* out) const;   // dim values to padded_dim
  void invert(const float* in, float* out) const;  // and back

 private:
  std::size_t dim_;
  std::size_t padded_;
  std::size_t block_;            // a power of two that divides padded_
  std::vector<float> signs_[2];  // +-1
};

}  // namespace gapless
