#include "query/moments.h"

#include <algorithm>
#include <cmath>

namespace gapless {
namespace {

template <typename Term>
double sum_of_terms(std::size_t count, const Term& term) {
  double strands[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (std::size_t s = 0; s < 4; ++s) strands[s] += term(i + s);
  }
  for (; i < count; ++i) strands[0] += term(i);
  return (strands[0] + strands[1]) + (strands[2] + strands[3]);
}

}  // namespace

double sum_of(const double* values, std::size_t count) {
  return sum_of_terms(count, [values](std::size_t i) { return values[i]; });
}

Moments moments(const double* values, std::size_t count) {
  Moments found;
  if (count == 0) return found;
  found.mean = sum_of(values, count) / static_cast<double>(count);
  const double square = sum_of_terms(count, [values, mean = found.mean](std::size_t i) {
    return (values[i] - mean) * (values[i] - mean);
  });
  // Equal values have no spread, whatever the rounding of their mean says.
  const auto [low, high] = std::minmax_element(values, values + count);
  found.deviation = *low < *high ? std::sqrt(square / static_cast<double>(count)) : 0.0;
  return found;
}

Moments moments(const std::vector<double>& values) { return moments(values.data(), values.size()); }

}  // namespace gapless
