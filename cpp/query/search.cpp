#include "query/search.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>

#include "core/error.h"
#include "core/runtime.h"
#include "core/thread_pool.h"

namespace gapless {
namespace {

constexpr std::size_t kDefaultDepth = 100;

std::string name_of(const FieldSearch& search, std::size_t list) {
  const std::string number = "list " + std::to_string(list);
  return search.field.empty() ? number : number + " (field '" + search.field + "')";
}

// One call: what all of its questions share.
struct Call {
  Call(const std::vector<FieldSearch>& given, const FusedOptions& how);

  // Throws Timeout when the time is over; `list` is the one that comes next.
  void check_time(std::size_t list) const;
  std::size_t depth(const FieldSearch& search) const {
    return search.depth == 0 ? default_depth : search.depth;
  }

  const std::vector<FieldSearch>& searches;
  const FusedOptions& options;
  std::size_t questions;
  std::size_t default_depth;
  std::vector<double> weights;
  std::vector<std::vector<Label>> backgrounds;  // by list, items that are scored for every question
  std::vector<std::vector<Label>> exclude;      // ascending
  mutable std::atomic<std::size_t> answered{0};

 private:
  void check() const;
  void choose_backgrounds();

  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

Call::Call(const std::vector<FieldSearch>& given, const FusedOptions& how)
    : searches(given), options(how) {
  if (searches.empty()) throw InvalidArgument("no field to search; give at least one FieldSearch");
  if (options.k == 0) throw InvalidArgument("k is 0; ask for at least 1 result");
  questions = searches[0].questions();
  default_depth = options.depth == 0 ? std::max(options.k, kDefaultDepth) : options.depth;
  for (const FieldSearch& search : searches) weights.push_back(search.weight);
  check();
  choose_backgrounds();
  exclude = options.exclude;
  for (std::vector<Label>& items : exclude) {
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
  }
}

void Call::check() const {
  check_fusion(options.fusion, weights);
  if (!(options.timeout > 0.0)) {
    throw InvalidArgument("timeout is " + std::to_string(options.timeout) +
                          "; give a number of seconds above 0");
  }
  if (!options.exclude.empty() && options.exclude.size() != questions) {
    throw InvalidArgument("exclude is for " + std::to_string(options.exclude.size()) +
                          " questions and there are " + std::to_string(questions) +
                          "; give the items of each");
  }
  for (std::size_t list = 0; list < searches.size(); ++list) {
    const FieldSearch& search = searches[list];
    const std::string where = name_of(search, list);
    if (search.questions() != questions) {
      throw InvalidArgument(where + " has " + std::to_string(search.questions()) +
                            " questions and list 0 has " + std::to_string(questions) +
                            "; give every field a query for each");
    }
    for (std::size_t i = 0; i < questions; ++i) {
      const std::size_t rows = search.firsts[i + 1] - search.firsts[i];
      if (rows == 1 || (rows > 1 && search.rule == RowRule::kMaxSim)) continue;
      throw InvalidArgument(where + " has " + std::to_string(rows) + " query rows for question " +
                            std::to_string(i) +
                            "; give one, or for the rule 'maxsim' at least one");
    }
    if (options.fusion.method != FusionMethod::kCalibrated) continue;
    if (!search.calibration) {
      throw InvalidArgument(where +
                            " has no calibration; 'calibrated' needs one for every field: fit it, "
                            "or use 'cohort' for the whole search");
    }
    check_calibration(*search.calibration, "the calibration of " + where);
  }
}

void Call::choose_backgrounds() {
  backgrounds.resize(searches.size());
  for (std::size_t list = 0; list < searches.size(); ++list) {
    const FieldSearch& search = searches[list];
    const bool asked = options.fusion.method == FusionMethod::kCalibrated
                           ? search.calibration->needs_background()
                           : options.fusion.method == FusionMethod::kCohort;
    if (!asked) continue;
    std::vector<Label>& items = backgrounds[list];
    items = search.cohort;
    if (!search.several) continue;
    for (Label& item : items) item = item_of(item);
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
  }
}

void Call::check_time(std::size_t list) const {
  if (options.timeout == std::numeric_limits<double>::infinity()) return;
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun_;
  if (spent.count() < options.timeout) return;
  char limit[32];
  std::snprintf(limit, sizeof limit, "%g", options.timeout);
  const std::string done =
      questions == 1
          ? std::to_string(list) + " of " + std::to_string(searches.size()) + " lists are searched"
          : std::to_string(answered.load()) + " of " + std::to_string(questions) +
                " questions are answered";
  throw Timeout("the search took longer than timeout = " + std::string(limit) + " s: " + done +
                "; allow more time, or ask for less depth, fewer fields or a smaller batch");
}

// Questions [first, last) of a call, on one thread.
class Piece {
 public:
  Piece(const Call& call, std::size_t first, std::size_t last);

  void retrieve(std::size_t threads);
  // After retrieve().
  FusedHits answer(std::size_t question);

 private:
  void fill_table(std::size_t question);
  void measure_background(std::size_t question, std::size_t list);
  void complete(std::size_t question, const std::vector<std::size_t>& items);

  const Call& call_;
  std::size_t first_;
  std::size_t last_;
  std::vector<FieldQueries> fields_;
  std::vector<std::vector<ItemList>> lists_;  // by list and question
  RankTable table_;
  std::vector<std::int32_t> ordinals_;  // (items, lists), of what is completed
  std::vector<Label> wanted_;
  std::vector<std::size_t> cells_;
  std::vector<double> scores_;
  std::vector<std::int32_t> best_;
};

Piece::Piece(const Call& call, std::size_t first, std::size_t last)
    : call_(call), first_(first), last_(last), lists_(call.searches.size()) {
  fields_.reserve(call.searches.size());
  for (const FieldSearch& search : call.searches) fields_.emplace_back(search, first, last);
}

void Piece::retrieve(std::size_t threads) {
  const std::vector<Label>* without =
      call_.exclude.empty() ? nullptr : call_.exclude.data() + first_;
  for (std::size_t list = 0; list < fields_.size(); ++list) {
    call_.check_time(list);
    const FieldSearch& search = call_.searches[list];
    lists_[list].resize(last_ - first_);
    if (search.weight < 0.0) continue;
    fields_[list].retrieve(call_.depth(search), without, threads, lists_[list]);
  }
}

void Piece::fill_table(std::size_t question) {
  table_ = {};
  table_.lists = fields_.size();
  table_.cohorts.resize(table_.lists);
  table_.calibrations.resize(table_.lists);
  for (std::size_t list = 0; list < table_.lists; ++list) {
    const ItemList& found = lists_[list][question - first_];
    table_.add_list(list, found.scores.data(), found.items.data(), found.items.size());
    if (call_.options.fusion.method == FusionMethod::kCalibrated) {
      table_.calibrations[list].map = call_.searches[list].calibration;
    }
    const FusionMethod method = call_.options.fusion.method;
    if (method == FusionMethod::kCohort || (method == FusionMethod::kCalibrated &&
                                            call_.searches[list].calibration->needs_background())) {
      measure_background(question, list);
    }
  }
}

// What the question's scores against background items that are still there say of the list.
void Piece::measure_background(std::size_t question, std::size_t list) {
  const bool cohort = call_.options.fusion.method == FusionMethod::kCohort;
  fields_[list].score(question, call_.backgrounds[list], scores_, best_);
  const auto gone = [](double score) { return std::isnan(score); };
  scores_.erase(std::remove_if(scores_.begin(), scores_.end(), gone), scores_.end());
  if (scores_.size() < 2) {
    throw InvalidArgument(name_of(call_.searches[list], list) + " has " +
                          std::to_string(scores_.size()) + " cohort rows; '" +
                          (cohort ? "cohort" : "calibrated") +
                          "' needs at least 2, better 1,000: draw a sample of the field's ids, or "
                          "use another method");
  }
  if (cohort) {
    table_.cohorts[list] = moments(scores_);
  } else {
    table_.calibrations[list].level = quantile_of(scores_, table_.calibrations[list].map->quantile);
  }
}

// Exact scores of items, which are rows of the table, in the lists that did not retrieve them.
void Piece::complete(std::size_t question, const std::vector<std::size_t>& items) {
  for (std::size_t list = 0; list < table_.lists; ++list) {
    const Filter* filter = call_.searches[list].filter.get();
    wanted_.clear();
    cells_.clear();
    for (const std::size_t item : items) {
      const std::size_t cell = item * table_.lists + list;
      if (table_.ranks[cell] != 0) continue;
      if (filter != nullptr && !filter->allows(table_.labels[item])) continue;
      wanted_.push_back(table_.labels[item]);
      cells_.push_back(cell);
    }
    if (wanted_.empty()) continue;
    fields_[list].score(question, wanted_, scores_, best_);
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      table_.raw[cells_[i]] = scores_[i];
      ordinals_[cells_[i]] = best_[i];
    }
  }
}

FusedHits Piece::answer(std::size_t question) {
  call_.check_time(fields_.size());
  fill_table(question);
  ordinals_.assign(table_.items() * table_.lists, -1);
  const bool ranks_alone = uses_ranks(call_.options.fusion.method);
  if (!ranks_alone) {
    std::vector<std::size_t> all(table_.items());
    for (std::size_t item = 0; item < all.size(); ++item) all[item] = item;
    complete(question, all);
  }
  const Fused fused = fuse(table_, call_.weights, call_.options.fusion, call_.options.k);
  if (ranks_alone) complete(question, fused.items);
  FusedHits hits;
  hits.lists = table_.lists;
  hits.scores = fused.scores;
  for (const std::size_t item : fused.items) {
    hits.labels.push_back(table_.labels[item]);
    for (std::size_t list = 0; list < table_.lists; ++list) {
      const std::size_t cell = item * table_.lists + list;
      const auto rank = static_cast<std::size_t>(table_.ranks[cell]);
      hits.ranks.push_back(table_.ranks[cell]);
      hits.raw.push_back(static_cast<float>(table_.raw[cell]));
      hits.normalised.push_back(fused.normalised[cell]);
      hits.rows.push_back(rank == 0 ? ordinals_[cell]
                                    : lists_[list][question - first_].ordinals[rank - 1]);
    }
  }
  hits.offsets.push_back(hits.labels.size());
  call_.answered.fetch_add(1, std::memory_order_relaxed);
  return hits;
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

FusedHits joined(std::vector<FusedHits>& parts, std::size_t lists) {
  if (parts.size() == 1) return std::move(parts[0]);
  FusedHits hits;
  hits.lists = lists;
  for (const FusedHits& part : parts) {
    append(hits.scores, part.scores);
    append(hits.labels, part.labels);
    append(hits.ranks, part.ranks);
    append(hits.raw, part.raw);
    append(hits.normalised, part.normalised);
    append(hits.rows, part.rows);
    hits.offsets.push_back(hits.labels.size());
  }
  return hits;
}

}  // namespace

FusedHits search_fields(const std::vector<FieldSearch>& searches, const FusedOptions& options) {
  const Call call(searches, options);
  const std::size_t workers = options.threads == 0 ? runtime().cores : options.threads;
  // Every thread answers pieces of the batch from end to end, so that none waits for another
  // between two fields. A piece is large enough for the walks of several queries to overlap.
  const std::size_t grain = std::clamp<std::size_t>(call.questions / (8 * workers), 1, 32);
  std::vector<FusedHits> parts(call.questions);
  parallel_for(call.questions, options.threads, grain, [&](std::size_t first, std::size_t last) {
    for (std::size_t begin = first; begin < last; begin += grain) {  // all at once on one thread
      Piece piece(call, begin, std::min(last, begin + grain));
      piece.retrieve(call.questions == 1 ? std::max<std::size_t>(1, options.threads) : 1);
      for (std::size_t q = begin; q < std::min(last, begin + grain); ++q)
        parts[q] = piece.answer(q);
    }
  });
  return joined(parts, searches.size());
}

}  // namespace gapless
