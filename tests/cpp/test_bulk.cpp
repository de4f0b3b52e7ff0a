#include <doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "index/hnsw.h"

using namespace gapless;

namespace {

constexpr std::size_t kDim = 96;
constexpr std::size_t kBatch = 12000;  // enough to go the bulk way
constexpr std::size_t kTop = 10;

// Rows about a thousand centres, as embeddings lie.
std::vector<float> clustered(std::size_t count, unsigned seed) {
  std::mt19937 random(17);
  std::normal_distribution<float> normal;
  std::vector<float> centres(1000 * kDim);
  for (float& x : centres) x = normal(random);
  random.seed(seed);
  std::vector<float> rows(count * kDim);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t centre = random() % 1000;
    for (std::size_t j = 0; j < kDim; ++j) {
      rows[i * kDim + j] = centres[centre * kDim + j] + 0.6F * normal(random);
    }
  }
  return rows;
}

HnswIndex make() { return HnswIndex(kDim, HnswOptions{16, 200, 1}); }

void add(HnswIndex& index, const std::vector<float>& rows, std::size_t piece) {
  const std::size_t count = rows.size() / kDim;
  for (std::size_t i = 0; i < count; i += piece) {
    index.add(rows.data() + i * kDim, std::min(piece, count - i), nullptr, 2);
  }
}

std::vector<Label> search(const HnswIndex& index, const std::vector<float>& queries,
                          std::size_t ef) {
  const std::size_t count = queries.size() / kDim;
  SearchOptions options;
  options.k = kTop;
  options.ef = ef;
  options.threads = 1;
  std::vector<float> scores(count * kTop);
  std::vector<Label> labels(count * kTop);
  index.search(queries.data(), kDim, count, options, scores.data(), labels.data());
  return labels;
}

// Against a search that scans all rows.
double recall(const HnswIndex& index, const std::vector<float>& queries, std::size_t ef) {
  const std::vector<Label> found = search(index, queries, ef);
  const std::vector<Label> exact = search(index, queries, index.size());
  std::size_t hits = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto first = exact.begin() + static_cast<std::ptrdiff_t>(i / kTop * kTop);
    hits += std::find(first, first + kTop, found[i]) != first + kTop;
  }
  return static_cast<double>(hits) / static_cast<double>(found.size());
}

bool all_reachable(HnswIndex& index, std::size_t rows) {
  const auto [reached, linked] = index.reachable();
  return reached == linked && linked == rows;
}

}  // namespace

TEST_CASE("a batch that is linked at once finds what rows linked one by one find") {
  const std::vector<float> rows = clustered(kBatch, 1);
  const std::vector<float> queries = clustered(200, 2);
  HnswIndex bulk = make();
  add(bulk, rows, kBatch);
  CHECK(all_reachable(bulk, kBatch));
  CHECK(recall(bulk, queries, 10) >= 0.7);
  if (std::getenv("GAPLESS_TEST_QUICK") != nullptr) return;  // sanitizers walk slowly
  HnswIndex walked = make();
  add(walked, rows, 4000);
  for (const std::size_t ef : {10, 20, 40}) {
    CAPTURE(ef);
    CHECK(recall(bulk, queries, ef) >= recall(walked, queries, ef) - 0.005);
  }
  CHECK(recall(bulk, queries, 120) >= 0.97);
}

TEST_CASE("copies inside a batch are found behind one row") {
  std::vector<float> rows = clustered(kBatch, 3);
  for (std::size_t i = 1; i < 1000; ++i) {
    std::copy_n(rows.begin(), kDim, rows.begin() + static_cast<std::ptrdiff_t>(10 * i * kDim));
  }
  HnswIndex index = make();
  add(index, rows, kBatch);
  CHECK(all_reachable(index, kBatch - 999));
  const std::vector<float> query(rows.begin(), rows.begin() + kDim);
  std::vector<float> scores(1100);
  std::vector<Label> labels(1100);
  SearchOptions options;
  options.k = 1100;
  options.ef = 1100;
  index.search(query.data(), kDim, 1, options, scores.data(), labels.data());
  CHECK(std::all_of(labels.begin(), labels.begin() + 1000,
                    [](Label label) { return label % 10 == 0 && label < 10000; }));
}

TEST_CASE("a batch joins the rows there are, while readers search, and rows go again") {
  const std::vector<float> first = clustered(11000, 4);
  std::vector<float> second = clustered(kBatch, 5);
  std::copy_n(first.begin(), 50 * kDim, second.begin());  // equal to rows there are
  const std::vector<float> queries = clustered(100, 6);
  HnswIndex index = make();
  add(index, first, 11000);
  const double before = recall(index, queries, 60);

  std::atomic<bool> done{false};
  std::atomic<std::size_t> wrong{0};
  std::thread reader([&] {
    const std::vector<float> own(first.begin(), first.begin() + 200 * kDim);
    while (!done) {
      const std::vector<Label> labels = search(index, own, 60);
      std::size_t missed = 0;
      for (std::size_t i = 0; i < 200; ++i) {
        const auto row = labels.begin() + static_cast<std::ptrdiff_t>(i * kTop);
        missed += std::find(row, row + kTop, static_cast<Label>(i)) == row + kTop;
      }
      if (missed > 4) ++wrong;
    }
  });
  add(index, second, kBatch);
  done = true;
  reader.join();
  CHECK(wrong == 0);
  CHECK(all_reachable(index, 11000 + kBatch - 50));
  CHECK(recall(index, queries, 60) >= before - 0.03);

  const std::vector<Label> all = index.labels();
  index.remove(all.data() + 3000, 9000);
  CHECK(all_reachable(index, index.reachable().second));
  const std::vector<Label> found = search(index, queries, 60);
  CHECK(std::none_of(found.begin(), found.end(),
                     [](Label label) { return label >= 3000 && label < 12000; }));
  CHECK(recall(index, queries, 120) >= 0.95);
}
