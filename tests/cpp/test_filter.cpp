// Filters against the set of labels that they allow.
#include <doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "index/flat.h"
#include "index/hnsw.h"

using namespace gapless;

namespace {

constexpr std::size_t kDim = 16;

std::vector<float> random_rows(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * kDim);
  for (float& value : rows) value = normal(random);
  return rows;
}

std::vector<Label> found_by(const Index& index, const Filter& filter, std::size_t k) {
  const std::vector<float> query = random_rows(1, 99);
  std::vector<float> scores(k);
  std::vector<Label> labels(k);
  SearchOptions options;
  options.k = k;
  options.filter = &filter;
  index.search(query.data(), kDim, 1, options, scores.data(), labels.data());
  labels.erase(std::find(labels.begin(), labels.end(), kNoLabel), labels.end());
  std::sort(labels.begin(), labels.end());
  return labels;
}

void allow(Filter& filter, const std::vector<Label>& labels) {
  if (filter.kind == Filter::Kind::kLabels) {
    filter.labels = labels;
    return;
  }
  filter.bits.assign(static_cast<std::size_t>(labels.back()) / 8 + 1, 0);
  for (const Label label : labels) {
    filter.bits[static_cast<std::size_t>(label) / 8] |= static_cast<std::uint8_t>(1 << (label % 8));
  }
}

}  // namespace

TEST_CASE("filter: one that names items allows all rows of these and no other") {
  std::vector<Label> labels;
  for (Label item = 0; item < 300; ++item) {
    for (Label ordinal = 0; ordinal <= item % 4; ++ordinal) {
      labels.push_back(row_label(item, ordinal));
    }
  }
  const std::vector<Label> chosen = {0, 3, 7, 10, 250, 299};
  std::vector<Label> rows, firsts;
  for (const Label label : labels) {
    if (!std::binary_search(chosen.begin(), chosen.end(), item_of(label))) continue;
    rows.push_back(label);
    if (ordinal_of(label) == 0) firsts.push_back(label);
  }
  std::sort(rows.begin(), rows.end());
  FlatIndex flat(kDim);
  HnswIndex graph(kDim, {});
  for (Index* index : {static_cast<Index*>(&flat), static_cast<Index*>(&graph)}) {
    index->add(random_rows(labels.size(), 1).data(), labels.size(), labels.data(), 1);
    for (const Filter::Kind kind : {Filter::Kind::kLabels, Filter::Kind::kBits}) {
      Filter filter;
      filter.kind = kind;
      allow(filter, chosen);
      CHECK(found_by(*index, filter, 40) == firsts);
      Filter of_items;
      of_items.kind = kind;
      of_items.items = true;
      allow(of_items, chosen);
      CHECK(found_by(*index, of_items, 40) == rows);
      for (const Label label : labels) {
        CHECK(of_items.allows(label) == std::binary_search(rows.begin(), rows.end(), label));
      }
    }
  }
}
