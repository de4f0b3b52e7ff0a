#include <doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "cpp/temporary_folder.h"
#include "index/flat.h"
#include "index/hnsw.h"
#include "index/sections.h"
#include "store/segment.h"

using namespace gapless;

namespace {

constexpr std::size_t kDim = 100;

std::vector<float> random_rows(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * kDim);
  for (float& x : rows) x = normal(random);
  return rows;
}

std::vector<Label> labels_from(Label first, std::size_t count) {
  std::vector<Label> labels(count);
  for (std::size_t i = 0; i < count; ++i) labels[i] = first + static_cast<Label>(i);
  return labels;
}

std::unique_ptr<Index> make(const std::string& kind) {
  if (kind == "flat") return std::make_unique<FlatIndex>(kDim);
  return std::make_unique<HnswIndex>(kDim, HnswOptions{8, 40, 1});
}

AlignmentPtr shift(float amount) {
  AffineMap map;
  map.in = map.out = kDim;
  map.offset.assign(kDim, amount);
  return std::make_shared<const Alignment>(map, std::map<std::string, AffineMap>());
}

// True for what a search may return at any moment: best first, no label twice, padding at the end.
bool well_formed(const std::vector<float>& scores, const std::vector<Label>& labels) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if ((labels[i] == kNoLabel) != (scores[i] == kNoScore)) return false;
    if (labels[i] != kNoLabel && !(std::fabs(scores[i]) < 1.0001F)) return false;
    if (i > 0 && better({scores[i], labels[i]}, {scores[i - 1], labels[i - 1]}) &&
        labels[i] != kNoLabel) {
      return false;
    }
    if (labels[i] != kNoLabel && std::count(labels.begin(), labels.end(), labels[i]) != 1) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("a storm of adds, updates, removals, alignments and searches") {
  for (const char* kind : {"flat", "hnsw"}) {
    CAPTURE(kind);
    const std::unique_ptr<Index> index = make(kind);
    const std::vector<float> lasting = random_rows(300, 1);
    const std::vector<Label> lasting_labels = labels_from(0, 300);
    index->add(lasting.data(), 300, lasting_labels.data(), 2);

    std::atomic<bool> done{false};
    std::atomic<int> failures{0};
    std::vector<std::thread> threads;
    for (unsigned writer = 0; writer < 2; ++writer) {
      threads.emplace_back([&, writer] {
        for (unsigned round = 0; round < 12; ++round) {
          const std::vector<float> rows = random_rows(60, 100 * writer + round);
          const auto labels = labels_from(1000 + 1000 * static_cast<Label>(writer), 60);
          index->add(rows.data(), 60, labels.data(), 2);
          index->update(labels.data() + 10, rows.data(), 20, 1);
          index->remove(labels.data(), 60);
        }
      });
    }
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        index->set_alignment(round % 2 == 0 ? shift(0.1F) : nullptr);
        std::this_thread::yield();
      }
    });
    for (unsigned reader = 0; reader < 2; ++reader) {
      threads.emplace_back([&, reader] {
        const std::vector<float> queries = random_rows(4, 50 + reader);
        SearchOptions options;
        options.k = 9;
        options.threads = 2;
        Filter filter;
        filter.labels = labels_from(0, 200);
        while (!done) {
          std::vector<float> scores(4 * 9);
          std::vector<Label> labels(4 * 9);
          options.filter = options.filter == nullptr ? &filter : nullptr;
          index->search(queries.data(), kDim, 4, options, scores.data(), labels.data());
          for (std::size_t q = 0; q < 4; ++q) {
            const std::vector<float> s(scores.begin() + q * 9, scores.begin() + (q + 1) * 9);
            const std::vector<Label> l(labels.begin() + q * 9, labels.begin() + (q + 1) * 9);
            if (!well_formed(s, l)) failures.fetch_add(1);
          }
          std::vector<float> exact(300);
          index->score(queries.data(), kDim, "", lasting_labels.data(), 300, exact.data());
          if (std::any_of(exact.begin(), exact.end(), [](float x) { return std::isnan(x); })) {
            failures.fetch_add(1);
          }
        }
      });
    }
    for (std::size_t i = 0; i < 3; ++i) threads[i].join();
    done = true;
    for (std::size_t i = 3; i < threads.size(); ++i) threads[i].join();

    CHECK(failures == 0);
    CHECK(index->size() == 300);
    CHECK(index->labels() == lasting_labels);
    // Every lasting row is still its own nearest neighbour.
    index->set_alignment(nullptr);
    SearchOptions options;
    options.k = 1;
    options.ef = 100;
    std::vector<float> scores(300);
    std::vector<Label> found(300);
    index->search(lasting.data(), kDim, 300, options, scores.data(), found.data());
    std::size_t right = 0;
    for (std::size_t i = 0; i < 300; ++i) right += found[i] == lasting_labels[i];
    CHECK(right >= 297);
  }
}

TEST_CASE("an index comes back from its segment with the same answers") {
  const TemporaryFolder folder;
  for (const char* kind : {"flat", "hnsw"}) {
    CAPTURE(kind);
    const std::unique_ptr<Index> index = make(kind);
    const std::vector<float> rows = random_rows(200, 2);
    const std::vector<Label> labels = labels_from(5, 200);
    index->add(rows.data(), 200, labels.data(), 1);
    index->remove(labels.data() + 50, 30);
    index->set_alignment(shift(0.2F));
    index->save([&](const Sections& sections) {
      write_segment(folder.file(kind), index->kind(), sections);
    });
    const Segment segment = Segment::read(folder.file(kind));
    const std::unique_ptr<Index> back = restore_index(segment.kind(), segment.sections());
    CHECK(back->labels() == index->labels());
    SearchOptions options;
    std::vector<float> before(20 * 10), after(20 * 10);
    std::vector<Label> labels_before(20 * 10), labels_after(20 * 10);
    index->search(rows.data(), kDim, 20, options, before.data(), labels_before.data());
    back->search(rows.data(), kDim, 20, options, after.data(), labels_after.data());
    CHECK(before == after);
    CHECK(labels_before == labels_after);
  }
}

TEST_CASE("copies of one row score alike and rank by label") {
  const std::vector<float> row = random_rows(1, 3);
  for (const char* kind : {"flat", "hnsw"}) {
    CAPTURE(kind);
    const std::unique_ptr<Index> index = make(kind);
    std::vector<float> copies;
    for (int i = 0; i < 7; ++i) copies.insert(copies.end(), row.begin(), row.end());
    const std::vector<Label> labels = {6, 5, 4, 3, 2, 1, 0};
    index->add(copies.data(), 7, labels.data(), 1);
    for (unsigned seed = 10; seed < 40; ++seed) {
      const std::vector<float> query = random_rows(1, seed);
      SearchOptions options;
      options.k = 7;
      std::vector<float> scores(7), exact(7);
      std::vector<Label> found(7);
      index->search(query.data(), kDim, 1, options, scores.data(), found.data());
      CHECK(found == labels_from(0, 7));
      index->score(query.data(), kDim, "", found.data(), 7, exact.data());
      CHECK(scores == exact);
    }
  }
}

TEST_CASE("names in files are UTF-8 or refused") {
  for (const char* good : {"", "text", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    CHECK(is_utf8(good));
  for (const char* bad : {"\x80", "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "a\xFF"}) {
    CHECK(!is_utf8(bad));
  }
}
