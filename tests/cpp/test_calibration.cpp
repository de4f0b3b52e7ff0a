#include <doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "index/flat.h"
#include "query/fuse.h"
#include "query/search.h"

using namespace gapless;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

Calibration beta(double a, double b, double c) {
  Calibration made;
  made.method = CalibrationMethod::kBeta;
  made.a = a;
  made.b = b;
  made.c = c;
  return made;
}

Calibration isotonic(std::vector<double> knots, std::vector<double> values) {
  Calibration made;
  made.method = CalibrationMethod::kIsotonic;
  made.knots = std::move(knots);
  made.values = std::move(values);
  return made;
}

std::shared_ptr<const Calibration> platt(double a, double c, double background = 0.0) {
  Calibration made;
  made.a = a;
  made.c = c;
  made.background = background;
  return std::make_shared<Calibration>(made);
}

}  // namespace

TEST_CASE("calibration: maps never fall and stay inside (0, 1), wherever the score is") {
  const std::vector<Calibration> maps = {*platt(30.0, -9.0), beta(7.0, 2.0, 1.0),
                                         isotonic({-0.1, 0.2, 0.7}, {-4.0, -4.0, 3.0})};
  for (const Calibration& map : maps) {
    double before = 0.0;
    for (const double score : {-1e300, -1.0, -0.5, -0.1, 0.0, 0.2, 0.21, 0.7, 1.0, 2.0, 1e300}) {
      const double p = probability(map.log_odds(score, 0.0));
      CHECK(p > 0.0);
      CHECK(p < 1.0);
      CHECK(p >= before);
      before = p;
    }
  }
  CHECK(maps[2].log_odds(0.45, 0.0) == doctest::Approx(-0.5));
  CHECK(maps[1].log_odds(0.5, 0.0) ==
        doctest::Approx(7.0 * std::log(0.75) - 2.0 * std::log(0.25) + 1.0));
  CHECK(platt(10.0, 1.0, -4.0)->log_odds(0.3, 0.5) == doctest::Approx(10.0 * 0.3 + 1.0 - 2.0));
}

TEST_CASE("calibration: what would fall or is no number is refused") {
  Calibration quantile;
  quantile.quantile = kNaN;
  for (const Calibration& bad :
       {*platt(-1.0, 0.0), *platt(1.0, kNaN), *platt(1.0, 0.0, kNaN), beta(1.0, -0.1, 0.0),
        isotonic({}, {}), isotonic({0.1}, {0.1, 0.2}), isotonic({0.1, 0.1}, {0.1, 0.2}),
        isotonic({0.1, 0.2}, {0.2, 0.1}), isotonic({0.1, kNaN}, {0.1, 0.2}), quantile}) {
    CHECK_THROWS_AS(check_calibration(bad, "it"), InvalidArgument);
  }
}

TEST_CASE("calibration: quantiles are interpolated between the nearest values") {
  CHECK(quantile_of({3.0}, 0.5) == 3.0);
  CHECK(quantile_of({4.0, 1.0, 3.0, 2.0}, 0.0) == 1.0);
  CHECK(quantile_of({4.0, 1.0, 3.0, 2.0}, 1.0) == 4.0);
  CHECK(quantile_of({4.0, 1.0, 3.0, 2.0}, 0.5) == 2.5);
  CHECK(quantile_of({4.0, 1.0, 3.0, 2.0}, 0.9) == doctest::Approx(3.7));
}

TEST_CASE("calibrated fusion: probabilities of two fields become one") {
  RankedLists lists;
  lists.reset(2);
  const std::vector<double> first = {2.0, 0.5};
  const std::vector<double> second = {1.0};
  const std::vector<Label> first_labels = {7, 3};
  const std::vector<Label> second_labels = {3};
  lists.add(0, first.data(), first_labels.data(), 2);
  lists.add(1, second.data(), second_labels.data(), 1);
  Contributions said;
  const double p7 = probability(2.0), p3 = probability(0.5), q3 = probability(1.0);
  FusionOptions options;
  options.method = FusionMethod::kCalibrated;
  const auto fused_with = [&](Combine combine, std::vector<double> weights) {
    options.combine = combine;
    const std::vector<ListTerms> terms = {{weights[0], {}, {platt(1.0, 0.0), 0.0}},
                                          {weights[1], {}, {platt(2.0, -1.0), 0.0}}};
    Fuser fuser;
    fuser.merge(lists, terms, options, 5);
    REQUIRE(fuser.items().size() == 2);
    REQUIRE(lists.labels()[fuser.items()[0]] == 7);  // the likelier one in every case below
    fuser.contributions(lists, options, said);
    CHECK(std::isnan(said.normalised[1]));
    return fuser.scores();
  };
  const auto close = [](double value) { return doctest::Approx(value).epsilon(1e-12); };
  std::vector<double> scores = fused_with(Combine::kMax, {1.0, 1.0});
  CHECK(scores[0] == close(p7));
  CHECK(scores[1] == close(q3));
  CHECK(said.normalised[2] == close(p3));
  scores = fused_with(Combine::kNoisyOr, {1.0, 0.5});
  CHECK(scores[1] == close(1.0 - (1.0 - p3) * std::sqrt(1.0 - q3)));
  scores = fused_with(Combine::kMeanLogit, {1.0, 3.0});
  CHECK(scores[0] == close(p7));
  CHECK(scores[1] == close(probability((0.5 + 3.0 * 1.0) / 4.0)));
  scores = fused_with(Combine::kMax, {1.0, 0.0});
  CHECK(scores[1] == close(p3));
}

TEST_CASE("calibrated search: a field without a calibration is refused by name") {
  const auto index = std::make_shared<FlatIndex>(2);
  const std::vector<float> rows = {1.0f, 0.0f, 0.6f, 0.8f, 0.0f, 1.0f};
  index->add(rows.data(), 3, nullptr, 1);
  FieldSearch search;
  search.index = index;
  search.queries = {1.0f, 0.0f};
  search.field = "caption";
  FusedOptions options;
  options.k = 3;
  options.fusion.method = FusionMethod::kCalibrated;
  CHECK_THROWS_WITH_AS(search_fields({search}, options), doctest::Contains("'caption'"),
                       InvalidArgument);
  search.calibration = platt(4.0, -1.0, -2.0);
  CHECK_THROWS_WITH_AS(search_fields({search}, options), doctest::Contains("0 cohort rows"),
                       InvalidArgument);
  search.cohort = {1, 2};
  const FusedHits hits = search_fields({search}, options);
  REQUIRE(hits.labels == std::vector<Label>{0, 1, 2});
  const double level = 0.9 * 0.6;  // of the scores 0 and 0.6
  CHECK(hits.scores[1] == doctest::Approx(probability(4.0 * 0.6 - 1.0 - 2.0 * level)));
  CHECK(hits.normalised[1] == doctest::Approx(hits.scores[1]));
}
