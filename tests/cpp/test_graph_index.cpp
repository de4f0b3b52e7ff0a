// What a graph index is made of: the pool of a walk, the rotation, the codes of rows.
#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "index/candidate_pool.h"
#include "index/codes.h"
#include "index/rotation.h"
#include "index/row_table.h"
#include "kernels/kernels.h"

using namespace gapless;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Met {
  float score;
  Slot slot;
  bool allowed;
};

// The allowed rows a pool must still hold: the best `ef`, and of these the ones within reach of
// the k-th.
std::vector<Slot> wanted(std::vector<Met> met, const SearchWidth& width) {
  std::erase_if(met, [](const Met& one) { return !one.allowed; });
  std::stable_sort(met.begin(), met.end(),
                   [](const Met& a, const Met& b) { return a.score > b.score; });
  if (met.size() > width.ef) met.resize(width.ef);
  std::vector<Slot> slots;
  for (const Met& one : met) slots.push_back(one.slot);
  return slots;
}

std::vector<float> unit_rows(std::size_t count, std::size_t dim, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> rows(count * dim);
  for (std::size_t i = 0; i < count; ++i) {
    float* row = rows.data() + i * dim;
    // Embeddings share a direction, and some of their dims are far larger than the others.
    for (std::size_t j = 0; j < dim; ++j) row[j] = normal(random) + (j % 7 == 0 ? 1.5F : 0.0F);
    kernels().normalise(row, row, dim);
  }
  return rows;
}

double product(const float* a, const float* b, std::size_t dim) {
  double sum = 0.0;
  for (std::size_t j = 0; j < dim; ++j) sum += static_cast<double>(a[j]) * b[j];
  return sum;
}

}  // namespace

TEST_CASE("a pool keeps the best rows that may be returned, whatever else it meets") {
  std::mt19937 random(1);
  CandidatePool pool;
  for (int round = 0; round < 400; ++round) {
    const std::size_t ef = 1 + random() % 40;
    const SearchWidth width{1 + random() % ef, ef, kInfinity};
    pool.begin(width);
    std::vector<Met> met;
    const std::size_t count = random() % 200;
    for (Slot slot = 0; slot < count; ++slot) {
      const float score = static_cast<float>(random() % 1000) / 900.0F;  // beyond 1, and ties
      const bool allowed = random() % 3 != 0;
      // A walk asks first; what it does not insert must not be among the best.
      if (score > pool.limit()) {
        pool.insert(score, slot, allowed);
      }
      met.push_back({score, slot, allowed});
    }
    std::vector<Candidate> found(ef);
    found.resize(pool.best(ef, found.data()));
    const std::vector<Slot> expected = wanted(met, width);
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      REQUIRE(found[i].score == met[expected[i]].score);
      REQUIRE(met[found[i].slot].allowed);
    }
  }
}

TEST_CASE("a pool expands every row that matters once, the best first at any time") {
  std::mt19937 random(2);
  CandidatePool pool;
  for (int round = 0; round < 200; ++round) {
    const std::size_t ef = 1 + random() % 30;
    pool.begin({1 + random() % ef, ef, kInfinity});
    std::vector<Met> met;
    std::vector<bool> expanded;
    for (int step = 0; step < 60; ++step) {
      for (std::size_t i = random() % 5; i > 0; --i) {
        const auto slot = static_cast<Slot>(met.size());
        met.push_back({static_cast<float>(random()) / 4e9F, slot, random() % 4 != 0});
        expanded.push_back(false);
        if (met.back().score > pool.limit()) pool.insert(met.back().score, slot, met[slot].allowed);
      }
      const Slot hint = pool.peek_next();
      const Slot next = pool.expand_next();
      float best = kNoScore;
      for (std::size_t i = 0; i < met.size(); ++i) {
        if (!expanded[i]) best = std::max(best, met[i].score);
      }
      if (next == kNoSlot) {
        REQUIRE(best <= pool.limit());
        continue;
      }
      REQUIRE(hint == next);
      REQUIRE_FALSE(expanded[next]);
      REQUIRE(met[next].score == best);
      expanded[next] = true;
    }
  }
}

TEST_CASE("a pool lets go of what lies beyond its reach, and of nothing nearer") {
  std::mt19937 random(3);
  CandidatePool pool;
  for (int round = 0; round < 300; ++round) {
    const std::size_t k = 1 + random() % 10;
    const float reach = static_cast<float>(random() % 100) / 100.0F;
    pool.begin({k, 1000, reach});
    std::vector<float> scores;
    for (Slot slot = 0; slot < 150; ++slot) {
      scores.push_back(1.02F - static_cast<float>(random() % 1000) / 1000.0F);
      if (scores.back() > pool.limit()) pool.insert(scores.back(), slot, true);
    }
    std::sort(scores.begin(), scores.end(), std::greater<>());
    const float distance = std::max(0.0F, 1.0F - scores[k - 1]);
    CHECK(pool.limit() == doctest::Approx(scores[k - 1] - reach * distance).epsilon(1e-5));
  }
}

TEST_CASE("scores beyond 1 end no walk before its effort is spent") {
  CandidatePool pool;
  pool.begin({1, 10, kInfinity});
  pool.insert(1.0003F, 0, true);
  CHECK(pool.limit() == kNoScore);
  pool.insert(1.0F, 1, true);
  CHECK(pool.limit() == kNoScore);
  CHECK(pool.expand_next() == 0);
  CHECK(pool.expand_next() == 1);
}

TEST_CASE("a rotation keeps products and lengths, and its inverse undoes it, at every dim") {
  for (const std::size_t dim : {1,   2,   3,   7,   31,  63,  64,   65,   96,   97,   127,
                                128, 191, 384, 385, 512, 769, 1000, 1024, 1537, 2048, 2049}) {
    CAPTURE(dim);
    const Rotation rotation(dim);
    REQUIRE(rotation.padded_dim() % 64 == 0);
    REQUIRE(rotation.padded_dim() >= dim);
    REQUIRE(rotation.padded_dim() < dim + 64);
    const std::vector<float> rows = unit_rows(2, dim, static_cast<unsigned>(dim));
    std::vector<float> a(rotation.padded_dim()), b(rotation.padded_dim()), back(dim);
    rotation.apply(rows.data(), a.data());
    rotation.apply(rows.data() + dim, b.data());
    const double expected = product(rows.data(), rows.data() + dim, dim);
    CHECK(std::fabs(product(a.data(), b.data(), a.size()) - expected) < 1e-5);
    CHECK(std::fabs(product(a.data(), a.data(), a.size()) - 1.0) < 1e-5);
    rotation.invert(a.data(), back.data());
    for (std::size_t j = 0; j < dim; ++j) REQUIRE(std::fabs(back[j] - rows[j]) < 1e-5);
  }
}

TEST_CASE("a rotation spreads a single dim out") {
  for (const std::size_t dim : {128, 384, 1024}) {
    const Rotation rotation(dim);
    std::vector<float> one(dim, 0.0F), out(rotation.padded_dim());
    one[dim / 3] = 1.0F;
    rotation.apply(one.data(), out.data());
    const float largest = std::fabs(*std::max_element(
        out.begin(), out.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
    CHECK(largest < 0.5F);
  }
}

TEST_CASE("codes give back rows and scores within what their kind promises") {
  struct Promise {
    CodeKind kind;
    double row;    // distance of a decoded row from the row, loosely
    double rough;  // of score()
    double fine;   // of refine()
  };
  constexpr std::size_t kRows = 130;  // more than two blocks of any loop
  for (const Promise& promise :
       {Promise{CodeKind::kF32, 1e-7, 1e-6, 1e-6}, Promise{CodeKind::kBf16, 4e-3, 1e-3, 1e-3},
        Promise{CodeKind::kI8, 1.2e-2, 5e-3, 5e-3},
        Promise{CodeKind::kCascade, 1e-2, 3e-2, 5e-4}}) {
    for (const std::size_t dim : {97, 128, 385, 1025, 2049}) {
      CAPTURE(std::string(code_name(promise.kind)));
      CAPTURE(dim);
      const auto rows = std::make_shared<RowTable>(dim, kRows, true);
      const std::vector<float> units = unit_rows(kRows, dim, 5);
      const std::vector<float> query = unit_rows(1, dim, 6);
      std::vector<float> mean(dim, 0.0F);
      for (std::size_t i = 0; i < kRows; ++i) {
        for (std::size_t j = 0; j < dim; ++j) mean[j] += units[i * dim + j] / kRows;
      }
      const auto codes = make_codes(promise.kind, rows, mean);
      std::vector<Slot> slots(kRows);
      for (Slot slot = 0; slot < kRows; ++slot) {
        slots[slot] = kRows - 1 - slot;
        const float* unit = units.data() + slot * dim;
        std::fill_n(rows->vectors.data() + slot * rows->stride, rows->stride, 0.0F);
        std::copy_n(unit, dim, rows->vectors.data() + slot * rows->stride);
        codes->encode(slot, unit);
      }
      std::vector<float> r(kRows);
      for (std::size_t i = 0; i < kRows; ++i) r[i] = 0.5F + static_cast<float>(i % 5);
      for (const float* scale : std::initializer_list<const float*>{nullptr, r.data()}) {
        CodeQuery coded;
        coded.vector = query.data();
        coded.c = scale == nullptr ? 0.0F : 0.25F;
        coded.r = scale;
        codes->prepare(coded, nullptr, 1.0F);
        std::vector<float> rough(kRows), fine(kRows);
        codes->score(coded, slots.data(), kRows, rough.data());
        codes->refine(coded, slots.data(), kRows, fine.data());
        for (std::size_t i = 0; i < kRows; ++i) {
          const float* row = units.data() + slots[i] * dim;
          const double by = scale == nullptr ? 1.0 : scale[slots[i]];
          const double exact = (product(query.data(), row, dim) + coded.c) * by;
          REQUIRE(std::fabs(rough[i] - exact) < promise.rough * by);
          REQUIRE(std::fabs(fine[i] - exact) < promise.fine * by);
        }
        // The filter may let rows pass that rank lower, and with room for doubt drops none above.
        coded.r = nullptr;
        coded.c = 0.0F;
        codes->prepare(coded, nullptr, 6.0F);
        std::vector<Slot> kept(kRows);
        kept.resize(codes->filter(coded, slots.data(), kRows, 0.5F, kept.data()));
        for (const Slot slot : slots) {
          if (product(query.data(), units.data() + slot * dim, dim) < 0.5) continue;
          REQUIRE(std::find(kept.begin(), kept.end(), slot) != kept.end());
        }
      }
      std::vector<float> decoded(dim);
      for (Slot slot = 0; slot < kRows; ++slot) {
        codes->decode(slot, decoded.data());
        double apart = 0.0;
        for (std::size_t j = 0; j < dim; ++j) {
          const double by = static_cast<double>(decoded[j]) - units[slot * dim + j];
          apart += by * by;
        }
        REQUIRE(std::sqrt(apart) < promise.row);
      }
    }
  }
}

TEST_CASE("codes of one row are equal and those of two are not, also after they have grown") {
  constexpr std::size_t kDim = 130;
  const auto rows = std::make_shared<RowTable>(kDim, 3, true);
  const std::vector<float> units = unit_rows(2, kDim, 8);
  for (const CodeKind kind : {CodeKind::kF32, CodeKind::kBf16, CodeKind::kI8, CodeKind::kCascade}) {
    CAPTURE(std::string(code_name(kind)));
    const auto larger = std::make_shared<RowTable>(kDim, 9, true);
    const auto codes = make_codes(kind, rows, std::vector<float>(kDim, 0.01F));
    for (Slot slot = 0; slot < 3; ++slot) {
      const float* unit = units.data() + (slot % 2) * kDim;
      for (const auto& table : {rows, larger}) {
        std::copy_n(unit, kDim, table->vectors.data() + slot * table->stride);
      }
      codes->encode(slot, unit);
    }
    const auto grown = codes->grown(larger);
    for (const Codes* each : std::initializer_list<const Codes*>{codes.get(), grown.get()}) {
      CHECK(each->equal(0, 2));
      CHECK(each->equal(0, 0));
      CHECK_FALSE(each->equal(0, 1));
      std::vector<float> a(kDim), b(kDim);
      each->decode(0, a.data());
      codes->decode(2, b.data());
      CHECK(a == b);
    }
  }
}
