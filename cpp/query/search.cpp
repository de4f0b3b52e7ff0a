#include "query/search.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/runtime.h"
#include "core/thread_pool.h"
#include "query/fuse.h"

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
  bool wants_background(const FieldSearch& search) const {
    return options.fusion.method == FusionMethod::kCalibrated
               ? search.calibration->needs_background()
               : options.fusion.method == FusionMethod::kCohort;
  }

  const std::vector<FieldSearch>& searches;
  const FusedOptions& options;
  std::size_t questions;
  std::size_t default_depth;
  bool by_score;                                // scores decide, so that all candidates need theirs
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
  by_score = !by_rank(options.fusion.norm_in_use()) || options.fusion.complete_ranks;
  check();
  choose_backgrounds();
  exclude = options.exclude;
  for (std::vector<Label>& items : exclude) {
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
  }
}

void Call::check() const {
  std::vector<double> weights;
  std::vector<std::string> names;
  for (std::size_t list = 0; list < searches.size(); ++list) {
    weights.push_back(searches[list].weight);
    names.push_back(name_of(searches[list], list));
  }
  check_fusion(options.fusion, weights, names);
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
    const std::string& where = names[list];
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
    if (!wants_background(search)) continue;
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

// What answering a question takes, kept by each thread for the next one.
struct Scratch {
  RankedLists lists;
  Fuser fuser;
  std::vector<ListTerms> terms;
  Contributions said;
  std::vector<std::vector<std::int32_t>> ordinals;  // by list and item, of completed scores
  std::vector<RankedLists::Item> items;
  std::vector<std::size_t> cells;
  std::vector<Label> labels;
  std::vector<double> scores;
  std::vector<std::int32_t> best;
};

// Questions [first, last) of a call, on one thread.
class Piece {
 public:
  Piece(const Call& call, std::size_t first, std::size_t last);

  void retrieve(std::size_t threads);
  // After retrieve(); appends to `hits`.
  void answer(std::size_t question, FusedHits& hits);

 private:
  void measure_backgrounds(std::size_t list);
  void fill(std::size_t question);
  void complete(std::size_t question, std::size_t list);
  void complete_found(std::size_t question, std::size_t list);
  bool allows(std::size_t list, Label item) const {
    const Filter* filter = call_.searches[list].filter.get();
    return filter == nullptr || filter->allows(item);
  }

  const Call& call_;
  std::size_t first_;
  std::size_t last_;
  Scratch& scratch_;
  std::vector<FieldQueries> fields_;
  std::vector<std::vector<ItemList>> found_;   // by list and question
  std::vector<std::vector<ListTerms>> terms_;  // by list and question, of those with background
};

Scratch& scratch_of_thread() {
  thread_local Scratch scratch;
  return scratch;
}

Piece::Piece(const Call& call, std::size_t first, std::size_t last)
    : call_(call),
      first_(first),
      last_(last),
      scratch_(scratch_of_thread()),
      found_(call.searches.size()),
      terms_(call.searches.size()) {
  fields_.reserve(call.searches.size());
  for (const FieldSearch& search : call.searches) fields_.emplace_back(search, first, last);
  if (scratch_.ordinals.size() < fields_.size()) scratch_.ordinals.resize(fields_.size());
}

void Piece::retrieve(std::size_t threads) {
  const std::vector<Label>* without =
      call_.exclude.empty() ? nullptr : call_.exclude.data() + first_;
  for (std::size_t list = 0; list < fields_.size(); ++list) {
    call_.check_time(list);
    const FieldSearch& search = call_.searches[list];
    found_[list].resize(last_ - first_);
    if (search.weight >= 0.0) {
      fields_[list].retrieve(call_.depth(search), without, threads, found_[list]);
    }
    terms_[list].assign(last_ - first_, {search.weight, {}, {search.calibration, 0.0}});
    if (call_.wants_background(search)) measure_backgrounds(list);
  }
}

// What the scores against background items that are still there say of a list, by question.
void Piece::measure_backgrounds(std::size_t list) {
  const FieldSearch& search = call_.searches[list];
  const std::vector<Label>& items = call_.backgrounds[list];
  const bool cohort = call_.options.fusion.method == FusionMethod::kCohort;
  std::vector<double> scores;
  fields_[list].score_all(items, scores);
  for (std::size_t i = 0; i < last_ - first_; ++i) {
    std::vector<double>& own = scratch_.scores;
    own.clear();
    for (std::size_t j = i * items.size(); j < (i + 1) * items.size(); ++j) {
      if (!std::isnan(scores[j])) own.push_back(scores[j]);
    }
    if (own.size() < 2) {
      throw InvalidArgument(name_of(search, list) + " has " + std::to_string(own.size()) +
                            " cohort rows; '" + (cohort ? "cohort" : "calibrated") +
                            "' needs at least 2, better 1,000: draw a sample of the field's ids, "
                            "or use another method");
    }
    if (cohort) {
      terms_[list][i].cohort = moments(own);
    } else {
      terms_[list][i].calibration.level = quantile_of(own, search.calibration->quantile);
    }
  }
}

// Takes what the lists retrieved for a question.
void Piece::fill(std::size_t question) {
  std::size_t entries = 0;
  for (const auto& lists : found_) entries += lists[question - first_].items.size();
  scratch_.lists.reset(fields_.size(), entries);
  scratch_.terms.clear();
  for (std::size_t list = 0; list < fields_.size(); ++list) {
    const ItemList& found = found_[list][question - first_];
    scratch_.lists.add(list, found.scores.data(), found.items.data(), found.items.size());
    scratch_.terms.push_back(terms_[list][question - first_]);
  }
}

// Exact scores of all items that a list did not retrieve.
void Piece::complete(std::size_t question, std::size_t list) {
  std::vector<RankedLists::Item>& items = scratch_.items;
  std::vector<std::int32_t>& ordinals = scratch_.ordinals[list];
  ordinals.assign(scratch_.lists.items(), -1);
  scratch_.lists.missing(list, items);
  const Label* labels = scratch_.lists.labels();
  std::erase_if(items, [&](RankedLists::Item item) { return !allows(list, labels[item]); });
  if (items.empty()) return;
  scratch_.labels.clear();
  for (const RankedLists::Item item : items) scratch_.labels.push_back(labels[item]);
  fields_[list].score(question, scratch_.labels, scratch_.scores, scratch_.best);
  for (std::size_t i = 0; i < items.size(); ++i) {
    scratch_.lists.complete(list, items[i], scratch_.scores[i]);
    ordinals[items[i]] = scratch_.best[i];
  }
}

// The same of the items that the ranking holds alone, for its explanation.
void Piece::complete_found(std::size_t question, std::size_t list) {
  const std::vector<RankedLists::Item>& items = scratch_.fuser.items();
  Contributions& said = scratch_.said;
  scratch_.ordinals[list].assign(scratch_.lists.items(), -1);
  scratch_.labels.clear();
  scratch_.cells.clear();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Label label = scratch_.lists.labels()[items[i]];
    if (said.ranks[i * fields_.size() + list] != 0 || !allows(list, label)) continue;
    scratch_.labels.push_back(label);
    scratch_.cells.push_back(i);
  }
  if (scratch_.labels.empty()) return;
  fields_[list].score(question, scratch_.labels, scratch_.scores, scratch_.best);
  for (std::size_t i = 0; i < scratch_.cells.size(); ++i) {
    const std::size_t place = scratch_.cells[i];
    said.raw[place * fields_.size() + list] = scratch_.scores[i];
    scratch_.ordinals[list][items[place]] = scratch_.best[i];
  }
}

void Piece::answer(std::size_t question, FusedHits& hits) {
  const FusionOptions& fusion = call_.options.fusion;
  call_.check_time(fields_.size());
  fill(question);
  const auto counts = [&](std::size_t list) {
    return call_.by_score && call_.searches[list].weight != 0.0;
  };
  for (std::size_t list = 0; list < fields_.size(); ++list) {
    if (counts(list)) complete(question, list);
  }
  scratch_.fuser.merge(scratch_.lists, scratch_.terms, fusion, call_.options.k);
  scratch_.fuser.contributions(scratch_.lists, fusion, scratch_.said);
  for (std::size_t list = 0; list < fields_.size(); ++list) {
    if (!counts(list)) complete_found(question, list);
  }
  const Contributions& said = scratch_.said;
  const std::vector<RankedLists::Item>& items = scratch_.fuser.items();
  hits.scores.insert(hits.scores.end(), scratch_.fuser.scores().begin(),
                     scratch_.fuser.scores().end());
  hits.ranks.insert(hits.ranks.end(), said.ranks.begin(), said.ranks.end());
  hits.normalised.insert(hits.normalised.end(), said.normalised.begin(), said.normalised.end());
  for (const double score : said.raw) hits.raw.push_back(static_cast<float>(score));
  for (std::size_t i = 0; i < items.size(); ++i) {
    hits.labels.push_back(scratch_.lists.labels()[items[i]]);
    for (std::size_t list = 0; list < fields_.size(); ++list) {
      const auto rank = static_cast<std::size_t>(said.ranks[i * fields_.size() + list]);
      hits.rows.push_back(rank == 0 ? scratch_.ordinals[list][items[i]]
                                    : found_[list][question - first_].ordinals[rank - 1]);
    }
  }
  hits.offsets.push_back(hits.labels.size());
  call_.answered.fetch_add(1, std::memory_order_relaxed);
}

template <typename T>
void append(std::vector<T>& to, const std::vector<T>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

FusedHits joined(std::vector<FusedHits>& parts, std::size_t lists) {
  FusedHits hits;
  if (parts.size() == 1) hits = std::move(parts[0]);
  hits.lists = lists;
  if (parts.size() == 1) return hits;
  for (const FusedHits& part : parts) {
    for (std::size_t i = 1; i < part.offsets.size(); ++i) {
      hits.offsets.push_back(hits.labels.size() + part.offsets[i]);
    }
    append(hits.scores, part.scores);
    append(hits.labels, part.labels);
    append(hits.ranks, part.ranks);
    append(hits.raw, part.raw);
    append(hits.normalised, part.normalised);
    append(hits.rows, part.rows);
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
  const std::size_t inner = call.questions == 1 ? std::max<std::size_t>(1, options.threads) : 1;
  std::vector<FusedHits> parts((call.questions + grain - 1) / grain);
  parallel_for(parts.size(), options.threads, 1, [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      const std::size_t first = i * grain;
      const std::size_t last = std::min(call.questions, first + grain);
      Piece piece(call, first, last);
      piece.retrieve(inner);
      for (std::size_t question = first; question < last; ++question) {
        piece.answer(question, parts[i]);
      }
    }
  });
  return joined(parts, searches.size());
}

}  // namespace gapless
