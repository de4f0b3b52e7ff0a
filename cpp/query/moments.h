#pragma once

#include <cstddef>
#include <vector>

namespace gapless {

struct Moments {
  double mean = 0.0;
  double deviation = 0.0;  // population; exactly 0 when all values are equal
};

Moments moments(const double* values, std::size_t count);
Moments moments(const std::vector<double>& values);

// The sum, in four strands that do not wait for one another.
double sum_of(const double* values, std::size_t count);

}  // namespace gapless
