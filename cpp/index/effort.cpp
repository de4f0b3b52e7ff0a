#include "index/effort.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gapless {

float Effort::reach(std::size_t k, std::size_t ef) const {
  if (ef > distances.size() || k >= ef) return std::numeric_limits<float>::infinity();
  const float nearest = distances[k - 1];
  if (!(nearest > 0.0f)) return std::numeric_limits<float>::infinity();
  return std::max(0.0f, distances[ef - 1] / nearest - 1.0f);
}

std::size_t Effort::ef_for(double recall, std::size_t k) const {
  constexpr double kLearntFor = 10.0;
  if (recalls.empty()) return 0;
  const double stretch = std::max(1.0, static_cast<double>(k) / kLearntFor);
  double ef = static_cast<double>(recalls.back().first);
  for (std::size_t i = 0; i < recalls.size(); ++i) {
    if (recalls[i].second < recall) continue;
    ef = static_cast<double>(recalls[i].first);
    if (i > 0) {
      const double below = recalls[i - 1].second;
      const double share = (recall - below) / (recalls[i].second - below);
      const double least = static_cast<double>(recalls[i - 1].first);
      ef = least * std::pow(ef / least, share);
    }
    break;
  }
  return static_cast<std::size_t>(std::ceil(ef * stretch));
}

}  // namespace gapless
