#include <doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "core/error.h"
#include "query/evidence_bound.h"
#include "query/fuse.h"

using namespace gapless;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void add(RankedLists& lists, std::size_t list, const std::vector<double>& scores,
         const std::vector<Label>& labels) {
  lists.add(list, scores.data(), labels.data(), labels.size());
}

FusionOptions by(const char* method) {
  FusionOptions options;
  options.method = fusion_method(method);
  return options;
}

std::vector<ListTerms> weighted(const std::vector<double>& weights) {
  std::vector<ListTerms> terms(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) terms[i].weight = weights[i];
  return terms;
}

// Label and score of every item merged.
std::vector<std::pair<Label, double>> merged(const RankedLists& lists,
                                             const std::vector<double>& weights,
                                             const FusionOptions& options) {
  check_fusion(options, weights);
  Fuser fuser;
  fuser.merge(lists, weighted(weights), options, 100);
  std::vector<std::pair<Label, double>> found;
  for (std::size_t i = 0; i < fuser.items().size(); ++i) {
    found.emplace_back(lists.labels()[fuser.items()[i]], fuser.scores()[i]);
  }
  return found;
}

double score_of(const std::vector<std::pair<Label, double>>& found, Label label) {
  for (const auto& [known, score] : found) {
    if (known == label) return score;
  }
  return kNaN;
}

// Items 10, 11, 12 in the list 0 and 12, 13 in the list 1; 13 is completed in the list 0.
RankedLists two_lists() {
  RankedLists lists;
  lists.reset(2);
  add(lists, 0, {0.9, 0.7, 0.1}, {10, 11, 12});
  add(lists, 1, {0.5, 0.25}, {12, 13});
  lists.complete(0, 3, 0.8);
  lists.complete(1, 0, kNaN);  // no row there
  return lists;
}

}  // namespace

TEST_CASE("rank merge: the best are those of a full sort, for any k") {
  std::mt19937 random(5);
  for (const std::size_t items : {0, 1, 7, 100, 900}) {
    std::vector<double> totals(items);
    std::vector<Label> labels(items);
    std::iota(labels.begin(), labels.end(), Label{0});
    std::shuffle(labels.begin(), labels.end(), random);
    std::uniform_int_distribution<int> few(0, 50);  // many ties
    for (double& total : totals) total = few(random) < 5 ? kNaN : few(random);
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < items; ++i) {
      if (!std::isnan(totals[i])) order.push_back(i);
    }
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return totals[a] != totals[b] ? totals[a] > totals[b] : labels[a] < labels[b];
    });
    std::vector<MergedRank> found;
    for (const std::size_t k : {0, 1, 10, 99, 5000}) {
      best_merged(totals.data(), labels.data(), items, k, found);
      REQUIRE(found.size() == std::min(k, order.size()));
      for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(found[i].item == order[i]);
        CHECK(found[i].score == totals[order[i]]);
      }
    }
  }
}

TEST_CASE("ranked lists: one numbering, whatever the labels, and after many resets") {
  std::mt19937_64 random(6);
  RankedLists lists;
  for (int round = 0; round < 20; ++round) {
    const std::size_t count = random() % 400;
    lists.reset(3);
    std::set<Label> all;
    for (std::size_t list = 0; list < 3; ++list) {
      std::set<Label> labels;
      while (labels.size() < count)
        labels.insert(static_cast<Label>(random() % 600) << (round * 2));
      const std::vector<Label> found(labels.begin(), labels.end());
      add(lists, list, std::vector<double>(count, 0.5), found);
      all.insert(found.begin(), found.end());
      for (std::size_t i = 0; i < count; ++i) {
        REQUIRE(lists.labels()[lists.list(list).items[i]] == found[i]);
      }
    }
    CHECK(lists.items() == all.size());
    CHECK(std::set<Label>(lists.labels(), lists.labels() + lists.items()) == all);
    std::vector<RankedLists::Item> missing;
    lists.missing(1, missing);
    CHECK(missing.size() == all.size() - count);
  }
}

TEST_CASE("ranked lists: what is no ranking is refused") {
  RankedLists lists;
  const auto refused = [&](const std::vector<double>& scores, const std::vector<Label>& labels,
                           const char* why) {
    lists.reset(1);
    CHECK_THROWS_WITH_AS(add(lists, 0, scores, labels), doctest::Contains(why), InvalidArgument);
  };
  refused({0.5, kNaN}, {1, 2}, "at rank 2 of list 0 is NaN");
  refused({-INFINITY}, {1}, "NaN or infinite");
  refused({0.5, 0.6}, {1, 2}, "above the one before");
  refused({0.5, 0.4, 0.3}, {1, 2, 1}, "id 1 occurs twice in list 0");
  refused({1e101}, {1}, "scale the list");
  lists.reset(1);
  add(lists, 0, {0.5, kNaN}, {1, kNoLabel});  // ended before it
  CHECK(lists.items() == 1);
}

TEST_CASE("fusion: ranks ignore completed scores, or take them among the retrieved") {
  const RankedLists lists = two_lists();
  FusionOptions options = by("rrf");
  auto found = merged(lists, {1.0, 1.0}, options);
  CHECK(score_of(found, 13) == doctest::Approx(1.0 / 62));
  options.complete_ranks = true;
  found = merged(lists, {1.0, 1.0}, options);
  CHECK(score_of(found, 13) == doctest::Approx(1.0 / 62 + 1.0 / 62));  // behind 0.9
  CHECK(score_of(found, 11) == doctest::Approx(1.0 / 63));
  CHECK(score_of(found, 12) == doctest::Approx(1.0 / 64 + 1.0 / 61));
  options = by("combsum");
  options.norm = Norm::kRank;
  options.complete_ranks = true;
  found = merged(lists, {1.0, 1.0}, options);
  CHECK(score_of(found, 13) == doctest::Approx(0.75 + 0.5));
  options = by("borda");
  found = merged(lists, {1.0, 1.0}, options);
  CHECK(score_of(found, 13) == doctest::Approx(1.0 + 3.0));  // a share of 1 in the list 0
  CHECK(score_of(found, 10) == doctest::Approx(4.0 + 1.5));
}

TEST_CASE("fusion: statistics come from what was retrieved, completed scores may fall outside") {
  RankedLists lists = two_lists();
  lists.complete(1, 1, 0.75);
  const auto found = merged(lists, {1.0, 2.0}, by("minmax"));
  CHECK(score_of(found, 13) == doctest::Approx((0.8 - 0.1) / 0.8));
  CHECK(score_of(found, 11) == doctest::Approx(0.6 / 0.8 + 2.0 * (0.75 - 0.25) / 0.25));
  CHECK(score_of(found, 12) == doctest::Approx(2.0));
  CHECK(score_of(found, 10) == doctest::Approx(1.0));
}

TEST_CASE("fusion: a list that retrieves nothing is normalised by its completed scores") {
  RankedLists lists;
  lists.reset(2);
  add(lists, 0, {0.9, 0.7, 0.1}, {10, 11, 12});
  lists.complete(1, 0, 0.5);
  lists.complete(1, 1, 0.1);
  const auto found = merged(lists, {1.0, -0.5}, by("minmax"));
  REQUIRE(found.size() == 3);
  CHECK(found[0].first == 11);
  CHECK(found[0].second == doctest::Approx(0.6 / 0.8));
  CHECK(score_of(found, 10) == doctest::Approx(1.0 - 0.5));
  const auto ranked = merged(lists, {1.0, 1.0}, by("rrf"));
  CHECK(score_of(ranked, 11) == doctest::Approx(1.0 / 62));
}

TEST_CASE("fusion: items that no list of positive weight speaks of are left out") {
  const RankedLists lists = two_lists();
  CHECK(merged(lists, {1.0, 0.0}, by("rrf")).size() == 3);
  CHECK(merged(lists, {1.0, 0.0}, by("minmax")).size() == 4);  // 13 is completed there
  CHECK(merged(lists, {0.0, 1.0}, by("minmax")).size() == 2);
  CHECK(merged(lists, {-1.0, 1.0}, by("zscore")).size() == 2);
  const auto points = merged(lists, {0.0, 1.0}, by("borda"));
  REQUIRE(points.size() == 2);
  CHECK(points[0].second == 2.0);
}

TEST_CASE("fusion: contributions name rank, score and value of the items merged") {
  const RankedLists lists = two_lists();
  Fuser fuser;
  Contributions said;
  for (const auto& [method, outside] : {std::pair{"minmax", 0.7 / 0.8}, {"rrf", kNaN}}) {
    fuser.merge(lists, weighted({1.0, 1.0}), by(method), 100);
    fuser.contributions(lists, by(method), said);
    const auto row = static_cast<std::size_t>(
        std::find(fuser.items().begin(), fuser.items().end(), 3U) - fuser.items().begin());
    REQUIRE(row < 4);
    CHECK(said.ranks[2 * row] == 0);
    CHECK(said.ranks[2 * row + 1] == 2);
    CHECK(said.raw[2 * row] == 0.8);
    CHECK(said.raw[2 * row + 1] == 0.25);
    if (std::isnan(outside)) {
      CHECK(std::isnan(said.normalised[2 * row]));
      CHECK(said.normalised[2 * row + 1] == doctest::Approx(1.0 / 62));
    } else {
      CHECK(said.normalised[2 * row] == doctest::Approx(outside));
    }
  }
}

TEST_CASE("fusion: one Fuser merges anew each time") {
  std::mt19937 random(8);
  RankedLists kept;
  Fuser used;
  for (int round = 0; round < 60; ++round) {
    const std::size_t count = random() % 5;
    RankedLists fresh;
    for (RankedLists* lists : {&kept, &fresh}) lists->reset(count);
    std::vector<double> weights(count);
    for (std::size_t list = 0; list < count; ++list) {
      weights[list] = list == 0 ? 1.0 : static_cast<double>(random() % 3);
      std::vector<Label> labels(100);
      std::iota(labels.begin(), labels.end(), Label{0});
      std::shuffle(labels.begin(), labels.end(), random);
      labels.resize(random() % 80);
      std::vector<double> scores(labels.size());
      std::uniform_int_distribution<int> some(-500, 500);
      for (double& score : scores) score = some(random);
      std::sort(scores.rbegin(), scores.rend());
      for (RankedLists* lists : {&kept, &fresh}) add(*lists, list, scores, labels);
    }
    for (const char* method : {"rrf", "borda", "combmed", "combmin", "gmnz", "dbsf", "combanz"}) {
      Fuser anew;
      used.merge(kept, weighted(weights), by(method), 10);
      anew.merge(fresh, weighted(weights), by(method), 10);
      REQUIRE(used.items() == anew.items());
      REQUIRE(used.scores() == anew.scores());
    }
  }
}

TEST_CASE("fusion: bounds of the evidence are above it, and hardly") {
  std::vector<double> log_odds = {-kMostLogOdds, kMostLogOdds, 0.0};
  for (double l = -kMostLogOdds; l < kMostLogOdds; l += 0.0071) log_odds.push_back(l);
  std::vector<double> bounds(log_odds.size());
  bound_evidence(log_odds.data(), log_odds.size(), bounds.data());
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    const double exact = evidence(Combine::kNoisyOr, log_odds[i]);
    CHECK(bounds[i] >= exact * (1.0 - 1e-12));
    CHECK(bounds[i] <= exact * (1.0 + kBoundExcess) * (1.0 - 1e-4));
  }
}

TEST_CASE("calibrated fusion: the few best are the first of all, with their probabilities") {
  std::mt19937 random(9);
  RankedLists lists;
  Fuser fuser;
  for (int round = 0; round < 30; ++round) {
    lists.reset(3);
    std::vector<ListTerms> terms =
        weighted({1.0, round % 3 == 0 ? 1.0 : 0.3, round % 2 == 0 ? 2.5 : 0.0});
    for (ListTerms& list : terms) {
      Calibration map;
      map.a = 1.0 + round;
      map.c = round - 20.0;
      list.calibration.map = std::make_shared<Calibration>(map);
    }
    for (std::size_t list = 0; list < 3; ++list) {
      std::vector<Label> labels(300);
      std::iota(labels.begin(), labels.end(), Label{0});
      std::shuffle(labels.begin(), labels.end(), random);
      labels.resize(120);
      std::uniform_int_distribution<int> tenths(-9, 9);  // ties in the ranking
      std::vector<double> scores(labels.size());
      for (double& score : scores) score = 0.1 * tenths(random);
      std::sort(scores.rbegin(), scores.rend());
      add(lists, list, scores, labels);
    }
    FusionOptions options = by("calibrated");
    for (const Combine combine : {Combine::kMax, Combine::kNoisyOr}) {
      options.combine = combine;
      std::vector<std::pair<double, Label>> wanted;  // - evidence, label
      for (std::uint32_t item = 0; item < lists.items(); ++item) {
        double total = 0.0;
        bool known = false;
        for (std::size_t list = 0; list < 3; ++list) {
          const auto& of = lists.list(list);
          const auto at = std::find(of.items.begin(), of.items.end(), item);
          if (at == of.items.end() || terms[list].weight == 0.0) continue;
          const double score = of.scores[static_cast<std::size_t>(at - of.items.begin())];
          const double more = terms[list].weight *
                              evidence(combine, terms[list].calibration.map->log_odds(score, 0.0));
          total = combine == Combine::kMax ? std::max(total, more) : total + more;
          known = true;
        }
        if (known) wanted.emplace_back(-total, lists.labels()[item]);
      }
      std::sort(wanted.begin(), wanted.end());
      for (const std::size_t k : {1, 10, 100, 1000}) {
        fuser.merge(lists, terms, options, k);
        REQUIRE(fuser.items().size() == std::min(k, wanted.size()));
        for (std::size_t i = 0; i < fuser.items().size(); ++i) {
          CHECK(lists.labels()[fuser.items()[i]] == wanted[i].second);
          CHECK(fuser.scores()[i] == doctest::Approx(-std::expm1(wanted[i].first)).epsilon(1e-12));
        }
      }
    }
  }
}

TEST_CASE("fusion: messages name the list as the caller does") {
  CHECK_THROWS_WITH_AS(check_fusion(by("rrf"), {1.0, -1.0}, {"field 'a'", "field 'b'"}),
                       doctest::Contains("weight -1 of field 'b' is negative"), InvalidArgument);
}
