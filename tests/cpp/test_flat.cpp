#include <doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "index/flat.h"

using namespace gapless;

namespace {

std::vector<float> rows_of(std::size_t count, std::size_t dim, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * dim);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = normal(random) / (1.0f + static_cast<float>(i % dim) / 4.0f) + 0.2f;
  }
  return rows;
}

std::vector<Label> numbers(std::size_t count, Label first = 0) {
  std::vector<Label> labels(count);
  std::iota(labels.begin(), labels.end(), first);
  return labels;
}

}  // namespace

TEST_CASE("flat index: what is updated beside readers is found once, and never missed") {
  const unsigned rounds = std::getenv("GAPLESS_TEST_QUICK") != nullptr ? 60 : 300;
  constexpr std::size_t kDim = 12, kCount = 5000;
  FlatIndex index(kDim);
  index.add(rows_of(kCount, kDim, 1).data(), kCount, nullptr, 1);
  REQUIRE(index.memory().codes > 0);
  const std::vector<Label> all = numbers(kCount);
  std::atomic<bool> stop{false};
  std::atomic<std::size_t> wrong{0}, answers{0};
  const auto read = [&](std::size_t batch, std::size_t k, std::size_t threads) {
    const std::vector<float> queries = rows_of(batch, kDim, 2);
    std::vector<float> scores(batch * k);
    std::vector<Label> labels(batch * k);
    SearchOptions options;
    options.k = k;
    options.threads = threads;
    while (!stop) {
      index.search(queries.data(), kDim, batch, options, scores.data(), labels.data());
      for (std::size_t q = 0; q < batch; ++q) {
        const auto first = labels.begin() + static_cast<std::ptrdiff_t>(q * k);
        const auto last = first + static_cast<std::ptrdiff_t>(k);
        std::sort(first, last);
        const bool twice = std::adjacent_find(first, last) != last;
        const bool whole = k < kCount ? *first >= 0 : std::equal(first, last, all.begin());
        wrong += twice || !whole;
      }
      ++answers;
    }
  };
  std::vector<std::thread> readers;
  readers.emplace_back(read, 1, kCount, 0);  // every row is wanted
  readers.emplace_back(read, 3, kCount, 1);
  readers.emplace_back(read, 1, 20, 0);  // bounds rule most out
  readers.emplace_back(read, 9, 20, 2);
  std::mt19937 random(3);
  std::vector<Label> changed = all;
  for (unsigned round = 0; round < rounds || answers < 40; ++round) {
    std::shuffle(changed.begin(), changed.end(), random);
    // Some come to where the queries are, some leave.
    const std::vector<float> rows = rows_of(40, kDim, round % 2 == 0 ? 2 : 100 + round % 50);
    index.update(changed.data(), rows.data(), 40, 1);
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
}
