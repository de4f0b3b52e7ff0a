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

std::vector<char> pack_efforts(const Efforts& efforts) {
  Packer packer;
  packer.size(0);  // once the rows there were; no reader ever used it
  packer.size(efforts.of.size());
  for (const auto& [modality, effort] : efforts.of) {
    packer.text(modality);
    packer.size(effort->sample.size());
    packer.size(effort->sample.empty() ? 0 : effort->sample.front().size());
    for (const std::vector<float>& query : effort->sample) packer.values(query);
    packer.size(effort->mean.mean.size());
    packer.values(effort->mean.mean);
    packer.size(effort->distances.size());
    packer.values(effort->distances);
    packer.size(effort->recalls.size());
    for (const auto& [ef, recall] : effort->recalls) {
      packer.size(ef);
      packer.values(std::vector<double>{recall});
    }
  }
  return packer.take();
}

std::shared_ptr<Efforts> unpack_efforts(const Section& section, std::size_t dim) {
  const auto check = [&](bool sound) {
    if (!sound) throw Corruption{section.name, "holds what no search can have taught"};
  };
  const auto finite = [](const std::vector<float>& all) {
    return std::all_of(all.begin(), all.end(), [](float x) { return std::fabs(x) < 1e6f; });
  };
  Unpacker unpacker(section);
  auto efforts = std::make_shared<Efforts>();
  unpacker.size();  // as above
  for (std::uint64_t left = unpacker.size(); left > 0; --left) {
    const std::string modality = unpacker.text();
    auto effort = std::make_shared<Effort>();
    const std::uint64_t queries = unpacker.size();
    const std::uint64_t query_dim = unpacker.size();
    check(queries <= unpacker.left() / sizeof(float) && (queries == 0 || query_dim == dim));
    for (std::uint64_t i = 0; i < queries; ++i) {
      effort->sample.push_back(unpacker.values<float>(query_dim));
      check(finite(effort->sample.back()) &&
            std::any_of(effort->sample.back().begin(), effort->sample.back().end(),
                        [](float x) { return x != 0.0f; }));
    }
    effort->mean.mean = unpacker.values<float>(unpacker.size());
    check(effort->mean.mean.empty() || effort->mean.mean.size() == dim);
    effort->distances = unpacker.values<float>(unpacker.size());
    check(finite(effort->mean.mean) && finite(effort->distances));
    for (std::uint64_t pairs = unpacker.size(); pairs > 0; --pairs) {
      const std::uint64_t ef = unpacker.size();
      const double recall = unpacker.values<double>(1).front();
      check(ef > 0 && ef < kMaxSlots && recall >= 0.0 && recall <= 1.0);
      check(effort->recalls.empty() ||
            (effort->recalls.back().first < ef && effort->recalls.back().second < recall));
      effort->recalls.emplace_back(ef, recall);
    }
    efforts->of[modality] = std::move(effort);
  }
  if (unpacker.left() != 0) throw Corruption{section.name, "has bytes left over"};
  return efforts;
}

}  // namespace gapless
