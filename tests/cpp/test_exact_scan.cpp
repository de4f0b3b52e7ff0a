#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "index/exact_scan.h"
#include "kernels/kernels.h"

using namespace gapless;

namespace {

enum class Kind { kSphere, kClusters, kDecaying, kOutliers, kCopies, kOneRow };
constexpr Kind kKinds[] = {Kind::kSphere,   Kind::kClusters, Kind::kDecaying,
                           Kind::kOutliers, Kind::kCopies,   Kind::kOneRow};

// Unit rows with labels, and whatever else a search may be given.
struct Field {
  Field(std::size_t dim_, std::size_t count_, Kind kind, unsigned seed)
      : dim(dim_), stride((dim_ + 15) / 16 * 16), count(count_), random(seed) {
    vectors.assign(count * stride, 0.0f);
    std::vector<float> centres(7 * dim);
    for (float& x : centres) x = normal(random);
    for (std::size_t i = 0; i < count; ++i) {
      float* row = &vectors[i * stride];
      for (std::size_t j = 0; j < dim; ++j) {
        row[j] = normal(random);
        if (kind == Kind::kClusters) row[j] = 0.1f * row[j] + centres[i % 7 * dim + j];
        if (kind == Kind::kDecaying) row[j] /= static_cast<float>(1 + j);
        if (kind == Kind::kOutliers && (j % 97 == 3 || i % 53 == 0)) row[j] *= 50.0f;
      }
      if (kind == Kind::kOneRow || (kind == Kind::kCopies && i >= 40)) {
        std::copy_n(&vectors[kind == Kind::kOneRow ? 0 : i % 40 * stride], dim, row);
      }
      kernels().normalise(row, row, dim);
      labels.push_back(static_cast<Label>((i * 7919) % 1000003));
    }
  }

  std::vector<float> query() {
    std::vector<float> made(dim);
    const float* row = &vectors[random() % count * stride];
    for (std::size_t j = 0; j < dim; ++j) made[j] = row[j] + 0.05f * normal(random);
    return made;
  }

  ScannedRows rows() const {
    return {vectors.data(),
            stride,
            count,
            labels.data(),
            r.empty() ? nullptr : r.data(),
            has_filter ? &allowed : nullptr};
  }

  std::size_t dim, stride, count;
  std::mt19937 random;
  std::normal_distribution<float> normal;
  std::vector<float> vectors;
  std::vector<Label> labels;
  std::vector<float> r;
  std::vector<Slot> allowed;
  bool has_filter = false;
};

std::vector<Hit> hits_of(TopK& best, std::size_t k) {
  std::vector<float> scores(k);
  std::vector<Label> labels(k);
  best.write(scores.data(), labels.data());
  std::vector<Hit> hits;
  for (std::size_t i = 0; i < k; ++i) hits.push_back({scores[i], labels[i]});
  return hits;
}

struct Exact {
  double score;
  Label label;
};

// Against a scan of the f32 rows, bit for bit, and against float64, up to ties.
void check(const Field& field, const ScanTarget& target, std::size_t k, TopK& found) {
  const ScannedRows rows = field.rows();
  std::vector<float> scores(field.count);
  kernels().dot_rows(target.vector, rows.vectors, rows.stride, field.dim, field.count,
                     scores.data());
  TopK best(k);
  std::vector<Exact> exact;
  double span = std::fabs(static_cast<double>(target.c));
  for (std::size_t j = 0; j < field.dim; ++j) span += std::fabs(target.vector[j]);
  double most_r = 1.0;
  for (std::size_t i = 0; i < field.count; ++i) {
    if (field.labels[i] == kNoLabel) continue;
    if (field.has_filter &&
        !std::binary_search(field.allowed.begin(), field.allowed.end(), static_cast<Slot>(i))) {
      continue;
    }
    float score = scores[i];
    double sum = target.c;
    for (std::size_t j = 0; j < field.dim; ++j) {
      sum += static_cast<double>(target.vector[j]) * field.vectors[i * field.stride + j];
    }
    if (!field.r.empty()) {
      score = (score + target.c) * field.r[i];
      sum *= field.r[i];
      most_r = std::max(most_r, static_cast<double>(field.r[i]));
    } else if (target.c != 0.0f) {
      score += target.c;
    }
    best.push({score, field.labels[i]});
    exact.push_back({sum, field.labels[i]});
  }
  const std::vector<Hit> expected = hits_of(best, k);
  const std::vector<Hit> got = hits_of(found, k);
  for (std::size_t i = 0; i < k; ++i) {
    CAPTURE(i);
    REQUIRE(got[i].label == expected[i].label);
    REQUIRE(got[i].score == expected[i].score);
  }
  if (exact.size() <= k) return;
  std::sort(exact.begin(), exact.end(),
            [](const Exact& a, const Exact& b) { return a.score > b.score; });
  const double tolerance = 1e-6 * std::max(1.0, span) * most_r;
  for (std::size_t i = 0; i < k; ++i) {
    REQUIRE(std::fabs(got[i].score - exact[i].score) <= tolerance);
  }
}

void check_all(Field& field, const ExactScan& scan, const std::vector<std::vector<float>>& queries,
               float c, std::size_t k, std::size_t threads) {
  std::vector<ScanTarget> targets;
  for (const auto& query : queries) targets.push_back({query.data(), c});
  std::vector<TopK> best(queries.size(), TopK(k));
  scan.search(targets.data(), targets.size(), k, field.rows(), threads, best.data());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    CAPTURE(q);
    check(field, targets[q], k, best[q]);
  }
}

std::vector<std::vector<float>> queries_of(Field& field, std::size_t count) {
  std::vector<std::vector<float>> queries;
  for (std::size_t q = 0; q < count; ++q) queries.push_back(field.query());
  return queries;
}

}  // namespace

TEST_CASE("exact scan: every kind of rows, dims, one and many queries, any k") {
  unsigned seed = 10;
  for (const Kind kind : kKinds) {
    for (const std::size_t dim : {1, 3, 31, 32, 65, 200}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(dim);
      Field field(dim, 1500 + dim, kind, ++seed);
      ExactScan scan(dim);
      scan.pack(field.vectors.data(), field.stride, field.count, 2);
      REQUIRE(scan.coded() == field.count);
      for (const std::size_t count : {1, 5, 29}) {
        check_all(field, scan, queries_of(field, count), 0.0f, 1 + field.random() % 20, 1);
      }
      check_all(field, scan, queries_of(field, 2), 0.25f, field.count + 5, 1);
      check_all(field, scan, queries_of(field, 3), 0.0f, 10, 2);   // rows are divided
      check_all(field, scan, queries_of(field, 40), 0.0f, 10, 2);  // queries are divided
      check_all(field, scan, {std::vector<float>(dim, 0.0f)}, 0.0f, 7, 1);
    }
  }
}

TEST_CASE("exact scan: long rows, and too few rows to code") {
  for (const std::size_t dim : {513, 768}) {
    Field field(dim, 1300, Kind::kDecaying, static_cast<unsigned>(dim));
    ExactScan scan(dim);
    scan.pack(field.vectors.data(), field.stride, field.count, 2);
    check_all(field, scan, queries_of(field, 6), 0.0f, 10, 1);
  }
  for (const std::size_t dim : {1, 384, 2049}) {
    Field field(dim, 33, Kind::kSphere, static_cast<unsigned>(dim));
    ExactScan scan(dim);
    scan.pack(field.vectors.data(), field.stride, field.count, 1);
    CHECK(scan.coded() == 0);
    check_all(field, scan, queries_of(field, 6), 0.0f, 10, 1);
    check_all(field, scan, queries_of(field, 1), 0.0f, 40, 1);
  }
}

TEST_CASE("exact scan: r of every size, c, and norms of every size") {
  for (const Kind kind : kKinds) {
    CAPTURE(static_cast<int>(kind));
    Field field(96, 2000, kind, 77);
    ExactScan scan(field.dim);
    scan.pack(field.vectors.data(), field.stride, field.count, 1);
    for (const int shape : {0, 1, 2, 3}) {
      CAPTURE(shape);
      field.r.assign(field.count, 1.0f);
      for (float& r : field.r) {
        const auto roll = field.random() % 1000;
        if (shape >= 1) r = 0.8f + 0.0004f * static_cast<float>(roll);
        if (shape == 2 && roll < 30) r = roll < 10 ? 0.0f : 1e6f;
        if (shape == 3) r = roll < 500 ? 0.0f : 1e-35f;
      }
      for (const float c : {0.0f, -0.3f, 2.5f, -40.0f}) {
        CAPTURE(c);
        check_all(field, scan, queries_of(field, 9), c, 10, 1);
      }
    }
    field.r.clear();
    for (const float length : {1e-12f, 1e-3f, 30.0f, 1e9f}) {
      CAPTURE(length);
      auto queries = queries_of(field, 5);
      for (auto& query : queries) {
        for (float& x : query) x *= length;
      }
      std::vector<ScanTarget> targets;
      for (const auto& query : queries) targets.push_back({query.data(), 0.1f});
      std::vector<TopK> best(queries.size(), TopK(12));
      scan.search(targets.data(), targets.size(), 12, field.rows(), 1, best.data());
      for (std::size_t q = 0; q < queries.size(); ++q) check(field, targets[q], 12, best[q]);
    }
  }
}

TEST_CASE("exact scan: filters, removed rows, rows added and changed since") {
  for (const Kind kind : {Kind::kSphere, Kind::kDecaying, Kind::kCopies}) {
    CAPTURE(static_cast<int>(kind));
    Field field(80, 3000, kind, 5);
    ExactScan scan(field.dim);
    scan.pack(field.vectors.data(), field.stride, 2100, 1);
    for (std::size_t i = 0; i < field.count; i += 3) field.labels[i] = kNoLabel;
    for (const bool extended : {false, true}) {
      if (extended) scan.extend(field.vectors.data(), field.stride, field.count, 2);
      CHECK(scan.coded() == (extended ? field.count : 2100));
      for (const std::size_t step : {1, 2, 40, 4000}) {
        CAPTURE(step);
        field.has_filter = true;
        field.allowed.clear();
        for (std::size_t i = 0; i < field.count; i += step)
          field.allowed.push_back(static_cast<Slot>(i));
        check_all(field, scan, queries_of(field, 9), 0.0f, 15, 1);
        check_all(field, scan, queries_of(field, 2), 0.0f, 15, 2);
        field.has_filter = false;
        check_all(field, scan, queries_of(field, 9), 0.0f, 15, 1);
      }
    }
    std::vector<Slot> changed;
    const Field other(field.dim, field.count, Kind::kOutliers, 6);
    for (Slot slot = 0; slot < field.count; slot += 5) {
      changed.push_back(slot);
      std::copy_n(&other.vectors[slot * field.stride], field.dim,
                  &field.vectors[slot * field.stride]);
    }
    scan.replace(field.vectors.data(), field.stride, changed.data(), changed.size());
    check_all(field, scan, queries_of(field, 20), 0.0f, 15, 1);
  }
}

TEST_CASE("exact scan grows onto a new basis, and rules most rows out") {
  Field field(128, 6000, Kind::kDecaying, 9);
  ExactScan scan(field.dim);
  scan.extend(field.vectors.data(), field.stride, 500, 1);
  CHECK(scan.coded() == 0);
  for (const std::size_t count : {1100, 3000, 6000}) {
    scan.extend(field.vectors.data(), field.stride, count, 1);
    CHECK(scan.coded() == count);
    check_all(field, scan, queries_of(field, 9), 0.0f, 10, 1);
  }
  const auto queries = queries_of(field, 16);
  std::vector<ScanTarget> targets;
  for (const auto& query : queries) targets.push_back({query.data()});
  std::vector<TopK> best(queries.size(), TopK(10));
  ScanCounts counts;
  scan.search(targets.data(), targets.size(), 10, field.rows(), 1, best.data(), counts);
  CHECK(counts.plain == 0);
  CHECK(counts.scanned == queries.size() * field.count);
  CHECK(counts.lines < counts.scanned / 2);
  CHECK(counts.rescored < counts.scanned / 20);
}

TEST_CASE("exact scan gives up on bounds that rule nothing out") {
  Field field(64, 20000, Kind::kOneRow, 3);
  ExactScan scan(field.dim);
  scan.pack(field.vectors.data(), field.stride, field.count, 1);
  const auto queries = queries_of(field, 8);
  std::vector<ScanTarget> targets;
  for (const auto& query : queries) targets.push_back({query.data()});
  std::vector<TopK> best(queries.size(), TopK(10));
  ScanCounts counts;
  scan.search(targets.data(), targets.size(), 10, field.rows(), 1, best.data(), counts);
  CHECK(counts.rescored < queries.size() * field.count / 4);
  CHECK(counts.plain > queries.size() * field.count / 2);
  for (std::size_t q = 0; q < queries.size(); ++q) check(field, targets[q], 10, best[q]);
}
