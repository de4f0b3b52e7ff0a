#include "query/search.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace gapless {
namespace {

constexpr std::size_t kDefaultDepth = 100;

std::string name_of(const FieldSearch& search, std::size_t list) {
  const std::string number = "list " + std::to_string(list);
  return search.field.empty() ? number : number + " (field '" + search.field + "')";
}

// The query's scores against the background rows that are still there.
std::vector<double> background_scores(const FieldSearch& search, std::size_t list,
                                      const char* method) {
  std::vector<float> scores(search.cohort.size());
  search.index->score(search.query.data(), search.query.size(), search.query_modality,
                      search.cohort.data(), search.cohort.size(), scores.data());
  std::vector<double> present;
  for (const float score : scores) {
    if (!std::isnan(score)) present.push_back(score);
  }
  if (present.size() < 2) {
    throw InvalidArgument(name_of(search, list) + " has " + std::to_string(present.size()) +
                          " cohort rows; '" + method +
                          "' needs at least 2, better 1,000: draw a sample of the field's ids, or "
                          "use another method");
  }
  return present;
}

ListCalibration list_calibration(const FieldSearch& search, std::size_t list) {
  ListCalibration found{search.calibration, 0.0};
  if (found.map->needs_background()) {
    found.level = quantile_of(background_scores(search, list, "calibrated"), found.map->quantile);
  }
  return found;
}

void check_calibrations(const std::vector<FieldSearch>& searches) {
  for (std::size_t list = 0; list < searches.size(); ++list) {
    const std::string where = name_of(searches[list], list);
    if (!searches[list].calibration) {
      throw InvalidArgument(where +
                            " has no calibration; 'calibrated' needs one for every field: fit it, "
                            "or use 'cohort' for the whole search");
    }
    check_calibration(*searches[list].calibration, "the calibration of " + where);
  }
}

// Exact scores for the items that a list does not hold.
void complete(const FieldSearch& search, std::size_t list, RankTable& table) {
  std::vector<Label> missing;
  std::vector<std::size_t> cells;
  for (std::size_t item = 0; item < table.items(); ++item) {
    const std::size_t cell = item * table.lists + list;
    if (table.ranks[cell] != 0) continue;
    if (search.filter && !search.filter->allows(table.labels[item])) continue;
    missing.push_back(table.labels[item]);
    cells.push_back(cell);
  }
  if (missing.empty()) return;
  std::vector<float> scores(missing.size());
  search.index->score(search.query.data(), search.query.size(), search.query_modality,
                      missing.data(), missing.size(), scores.data());
  for (std::size_t i = 0; i < cells.size(); ++i) table.raw[cells[i]] = scores[i];
}

}  // namespace

FusedHits search_fields(const std::vector<FieldSearch>& searches, std::size_t k, std::size_t depth,
                        const FusionOptions& options) {
  if (searches.empty()) throw InvalidArgument("no field to search; give at least one FieldSearch");
  if (k == 0) throw InvalidArgument("k is 0; ask for at least 1 result");
  std::vector<double> weights;
  for (const FieldSearch& search : searches) weights.push_back(search.weight);
  check_fusion(options, weights);
  if (options.method == FusionMethod::kCalibrated) check_calibrations(searches);

  // A deeper list than the largest field holds would only be padding.
  std::size_t largest = 1;
  for (const FieldSearch& search : searches) largest = std::max(largest, search.index->size());
  depth = std::min(depth == 0 ? std::max(k, kDefaultDepth) : depth, largest);

  RankTable table;
  table.lists = searches.size();
  table.cohorts.resize(table.lists);
  table.calibrations.resize(table.lists);
  std::vector<float> scores(depth);
  std::vector<Label> labels(depth);
  for (std::size_t list = 0; list < table.lists; ++list) {
    const FieldSearch& search = searches[list];
    SearchOptions how;
    how.k = depth;
    how.ef = search.ef;
    how.query_modality = search.query_modality;
    how.filter = search.filter.get();
    how.exact_scores = search.index->keeps_vectors();  // as those of completion are
    search.index->search(search.query.data(), search.query.size(), 1, how, scores.data(),
                         labels.data());
    const std::vector<double> exact(scores.begin(), scores.end());
    table.add_list(list, exact.data(), labels.data(), depth);
    if (options.method == FusionMethod::kCohort) {
      table.cohorts[list] = moments(background_scores(search, list, "cohort"));
    } else if (options.method == FusionMethod::kCalibrated) {
      table.calibrations[list] = list_calibration(search, list);
    }
  }
  for (std::size_t list = 0; list < table.lists; ++list) complete(searches[list], list, table);

  const Fused fused = fuse(table, weights, options, k);
  FusedHits hits;
  hits.lists = table.lists;
  hits.scores = fused.scores;
  for (const std::size_t item : fused.items) {
    hits.labels.push_back(table.labels[item]);
    for (std::size_t cell = item * table.lists; cell < (item + 1) * table.lists; ++cell) {
      hits.ranks.push_back(table.ranks[cell]);
      hits.raw.push_back(static_cast<float>(table.raw[cell]));
      hits.normalised.push_back(fused.normalised[cell]);
    }
  }
  return hits;
}

}  // namespace gapless
