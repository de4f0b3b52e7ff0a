#pragma once

#include <cstddef>
#include <vector>

namespace gapless {

// Directions in which rows vary most, leading first: an approximate principal basis. Bounds built
// on it need it orthonormal, not principal; `skew` says how far from orthonormal its floats are.
struct ScanBasis {
  std::vector<double> mean;
  std::size_t dims = 0;        // a multiple of kPartDims; 0 where rows are too short
  std::vector<float> vectors;  // dims x dim
  double skew = 0.0;           // Frobenius norm of vectors * vectors' - 1
};

ScanBasis find_scan_basis(const float* rows, std::size_t stride, std::size_t count,
                          std::size_t dim);

}  // namespace gapless
