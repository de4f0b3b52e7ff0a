#include <doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/error.h"
#include "index/flat.h"
#include "index/hnsw.h"
#include "query/search.h"

using namespace gapless;

namespace {

constexpr std::size_t kDim = 24;

std::vector<float> random_rows(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * kDim);
  for (float& value : rows) value = normal(random);
  return rows;
}

// Items 0 to `items` - 1, of which item i has i % 3 + 1 rows.
std::vector<Label> labels_of(Label items) {
  std::vector<Label> labels;
  for (Label item = 0; item < items; ++item) {
    for (Label ordinal = 0; ordinal <= item % 3; ++ordinal) {
      labels.push_back(row_label(item, ordinal));
    }
  }
  return labels;
}

std::shared_ptr<Index> fill(std::shared_ptr<Index> index, Label items, unsigned seed) {
  const std::vector<Label> labels = labels_of(items);
  index->add(random_rows(labels.size(), seed).data(), labels.size(), labels.data(), 1);
  return index;
}

FieldSearch searching(const std::shared_ptr<Index>& index, std::size_t questions, unsigned seed) {
  FieldSearch search;
  search.index = index;
  search.queries = random_rows(questions, seed);
  search.firsts.clear();
  for (std::size_t i = 0; i <= questions; ++i) search.firsts.push_back(i);
  search.several = true;
  return search;
}

FieldSearch only(const FieldSearch& all, std::size_t question) {
  FieldSearch one = all;
  one.firsts = {0, 1};
  one.queries.assign(all.queries.begin() + static_cast<std::ptrdiff_t>(question * kDim),
                     all.queries.begin() + static_cast<std::ptrdiff_t>((question + 1) * kDim));
  return one;
}

}  // namespace

TEST_CASE("scores of labels: several queries at once give what each gives alone") {
  HnswOptions coded;
  coded.keep_vectors = false;
  std::vector<float> offset(kDim, 0.1f);
  const std::vector<std::shared_ptr<Index>> indexes = {
      fill(std::make_shared<FlatIndex>(kDim), 100, 1),
      fill(std::make_shared<HnswIndex>(kDim, coded), 100, 2),
  };
  indexes[0]->set_alignment(std::make_shared<Alignment>(AffineMap{kDim, kDim, {}, offset},
                                                        std::map<std::string, AffineMap>{}));
  std::vector<Label> labels = labels_of(120);  // some are not there
  std::reverse(labels.begin(), labels.end());
  for (const std::shared_ptr<Index>& index : indexes) {
    for (const std::size_t count : {1, 3, 4, 11}) {
      const std::vector<float> queries = random_rows(count, 3);
      QueryBatch batch(queries.data(), kDim, count, "");
      std::vector<float> all(count * labels.size());
      index->score(batch, 0, count, labels.data(), labels.size(), all.data());
      std::vector<float> alone(labels.size());
      for (std::size_t q = 0; q < count; ++q) {
        index->score(queries.data() + q * kDim, kDim, "", labels.data(), labels.size(),
                     alone.data());
        for (std::size_t i = 0; i < labels.size(); ++i) {
          const float found = all[q * labels.size() + i];
          REQUIRE(std::isnan(found) == (item_of(labels[i]) >= 100));
          REQUIRE((found == alone[i] || std::isnan(found)));
        }
      }
    }
  }
}

TEST_CASE("scores of items: all rows by ordinal, none for an item that is not there") {
  const std::shared_ptr<Index> index = fill(std::make_shared<FlatIndex>(kDim), 50, 1);
  const std::vector<float> queries = random_rows(5, 2);
  QueryBatch batch(queries.data(), kDim, 5, "");
  const std::vector<Label> items = {7, 999, 2, 9};
  ItemScores found;
  index->score_items(batch, 0, 5, items.data(), items.size(), found);
  REQUIRE(found.firsts == std::vector<std::size_t>{0, 2, 2, 5, 6});
  for (std::size_t q = 0; q < 5; ++q) {
    const std::vector<Label> rows = {row_label(7, 0), row_label(7, 1), row_label(2, 0),
                                     row_label(2, 1), row_label(2, 2), row_label(9, 0)};
    std::vector<float> wanted(rows.size());
    index->score(batch, q, 1, rows.data(), rows.size(), wanted.data());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CHECK(found.scores[q * rows.size() + i] == wanted[i]);
    }
  }
}

TEST_CASE("a batch prepared for one alignment is prepared anew for another") {
  const std::shared_ptr<Index> index = fill(std::make_shared<FlatIndex>(kDim), 20, 1);
  const std::vector<float> query = random_rows(1, 2);
  QueryBatch batch(query.data(), kDim, 1, "");
  const Label label = 5;
  float before = 0.0f;
  float after = 0.0f;
  float fresh = 0.0f;
  index->score(batch, 0, 1, &label, 1, &before);
  index->set_alignment(
      std::make_shared<Alignment>(AffineMap{kDim, kDim, {}, std::vector<float>(kDim, 0.3f)},
                                  std::map<std::string, AffineMap>{}));
  index->score(batch, 0, 1, &label, 1, &after);
  index->score(query.data(), kDim, "", &label, 1, &fresh);
  CHECK(before != after);
  CHECK(after == fresh);
}

TEST_CASE("search of fields: a batch gives what its questions give alone, on any threads") {
  constexpr std::size_t kQuestions = 75;
  const std::vector<FieldSearch> searches = {
      searching(fill(std::make_shared<HnswIndex>(kDim, HnswOptions{}), 400, 1), kQuestions, 3),
      searching(fill(std::make_shared<FlatIndex>(kDim), 300, 2), kQuestions, 3)};
  FusedOptions options;
  options.k = 12;
  options.depth = 30;
  options.fusion.method = FusionMethod::kZScore;
  for (const std::size_t threads : {1, 2, 5}) {
    options.threads = threads;
    const FusedHits all = search_fields(searches, options);
    REQUIRE(all.questions() == kQuestions);
    for (std::size_t q = 0; q < kQuestions; ++q) {
      const FusedHits one = search_fields({only(searches[0], q), only(searches[1], q)}, options);
      REQUIRE(one.labels.size() == 12);
      for (std::size_t i = 0; i < one.labels.size(); ++i) {
        REQUIRE(all.labels[all.offsets[q] + i] == one.labels[i]);
        REQUIRE(all.scores[all.offsets[q] + i] == one.scores[i]);
      }
    }
  }
}

TEST_CASE("search of fields: whole items beside a writer, and the limit of time") {
  const auto index = fill(std::make_shared<HnswIndex>(kDim, HnswOptions{}), 200, 1);
  const std::vector<FieldSearch> searches = {searching(index, 40, 2)};
  FusedOptions options;
  options.fusion.method = FusionMethod::kMinMax;
  options.threads = 2;
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    const std::vector<float> rows = random_rows(3, 9);
    for (Label item = 2; !stop.load(); item = (item + 3) % 198) {  // items of three rows
      const Label labels[] = {row_label(item, 2), row_label(item, 1), row_label(item, 0)};
      index->remove(labels, 3);
      std::vector<Label> again(labels, labels + 3);
      std::reverse(again.begin(), again.end());
      index->add(rows.data(), 3, again.data(), 1);
    }
  });
  for (int round = 0; round < 10; ++round) {
    const FusedHits hits = search_fields(searches, options);
    for (std::size_t q = 0; q < 40; ++q) {
      std::vector<Label> items(
          hits.labels.begin() + static_cast<std::ptrdiff_t>(hits.offsets[q]),
          hits.labels.begin() + static_cast<std::ptrdiff_t>(hits.offsets[q + 1]));
      std::sort(items.begin(), items.end());
      REQUIRE(items.size() == 10);
      REQUIRE(std::adjacent_find(items.begin(), items.end()) == items.end());
      REQUIRE(items.back() < 200);
    }
  }
  stop = true;
  writer.join();
  options.timeout = 1e-9;
  CHECK_THROWS_WITH_AS(search_fields(searches, options),
                       doctest::Contains("of 40 questions are answered"), Timeout);
}
