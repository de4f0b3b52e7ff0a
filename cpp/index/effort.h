#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "index/alignment.h"
#include "index/codes.h"

namespace gapless {

// What a sample of queries of one kind taught about searching an index.
struct Effort {
  std::vector<std::vector<float>> sample;  // (dim) each, as given; empty: learnt from the rows
  QueryMean mean;                          // empty: of queries that are like the rows
  std::vector<float> distances;  // median distance 1 - score of the 1st, 2nd, ... nearest row
  std::vector<std::pair<std::size_t, double>> recalls;  // (ef, recall at 10), both ascending

  // How far beyond the k-th nearest row a search with `ef` looks, as a share of its distance: to
  // where a typical query has ef rows. Infinite where that is not known.
  float reach(std::size_t k, std::size_t ef) const;
  // The least ef that reached the recall, by interpolation; 0 = not known.
  std::size_t ef_for(double recall, std::size_t k) const;
};

// By query modality; "" = any other, learnt from the rows.
struct Efforts {
  std::map<std::string, std::shared_ptr<Effort>> of;
  std::shared_ptr<const Efforts> raw;  // while there is an alignment: those without

  const Effort* find(const std::string& modality) const {
    const auto found = of.find(modality);
    return found == of.end() ? nullptr : found->second.get();
  }
};

std::vector<char> pack_efforts(const Efforts& efforts);
// Without the products of the mean queries.
std::shared_ptr<Efforts> unpack_efforts(const Section& section, std::size_t dim);

}  // namespace gapless
