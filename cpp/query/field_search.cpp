#include "query/field_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace gapless {
namespace {

constexpr double kNoRow = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kItemsAtOnce =
    16;  // scored by several query rows, so that they stay in cache

struct RuleName {
  const char* name;
  RowRule rule;
};
constexpr std::array<RuleName, 3> kRules = {
    {{"max", RowRule::kMax}, {"mean", RowRule::kMean}, {"maxsim", RowRule::kMaxSim}}};

bool holds(const std::vector<Label>& ascending, Label label) {
  return std::binary_search(ascending.begin(), ascending.end(), label);
}

// What one row's search found, the first `depth` of it.
void take_rows(const float* scores, const Label* rows, std::size_t count, std::size_t depth,
               const std::vector<Label>& without, ItemList& list) {
  list = {};
  for (std::size_t i = 0; i < count && rows[i] != kNoLabel && list.items.size() < depth; ++i) {
    if (!without.empty() && holds(without, rows[i])) continue;
    list.items.push_back(rows[i]);
    list.scores.push_back(scores[i]);
    list.ordinals.push_back(0);
  }
}

// The same as items, each by its best row.
void take_items(const float* scores, const Label* rows, std::size_t count, std::size_t depth,
                const std::vector<Label>& without, ItemList& list) {
  thread_local std::vector<std::pair<Label, std::size_t>> places;
  places.clear();
  for (std::size_t i = 0; i < count && rows[i] != kNoLabel; ++i) {
    const Label item = item_of(rows[i]);
    if (!holds(without, item)) places.emplace_back(item, i);
  }
  std::sort(places.begin(), places.end());
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  places.erase(std::unique(places.begin(), places.end(), same), places.end());
  std::sort(places.begin(), places.end(), [scores](const auto& a, const auto& b) {
    return scores[a.second] != scores[b.second] ? scores[a.second] > scores[b.second]
                                                : a.first < b.first;
  });
  places.resize(std::min(places.size(), depth));
  list = {};
  for (const auto& [item, place] : places) {
    list.items.push_back(item);
    list.scores.push_back(scores[place]);
    list.ordinals.push_back(static_cast<std::int32_t>(ordinal_of(rows[place])));
  }
}

// The score of one item by the rule, of its rows [begin, end) by `rows` query rows from `first` on,
// and its best row.
double by_rule(RowRule rule, const ItemScores& found, std::size_t begin, std::size_t end,
               std::size_t first, std::size_t rows, std::int32_t& ordinal) {
  double total = 0.0;
  float best = -std::numeric_limits<float>::infinity();
  for (std::size_t row = first; row < first + rows; ++row) {
    const float* scores = found.scores.data() + row * found.firsts.back();
    const float* most = std::max_element(scores + begin, scores + end);
    total += rule == RowRule::kMean ? std::accumulate(scores + begin, scores + end, 0.0) /
                                          static_cast<double>(end - begin)
                                    : *most;
    if (*most > best || row == first) {
      best = *most;
      ordinal = static_cast<std::int32_t>(most - (scores + begin));
    }
  }
  return total / static_cast<double>(rows);
}

}  // namespace

RowRule row_rule(const std::string& name) {
  std::string known;
  for (const RuleName& entry : kRules) {
    if (name == entry.name) return entry.rule;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw InvalidArgument("rule '" + name + "' is not known; use one of " + known);
}

FieldQueries::FieldQueries(const FieldSearch& search, std::size_t first, std::size_t last)
    : search_(search),
      first_(first),
      last_(last),
      batch_(search.queries.data() + search.firsts[first] * search.dim(), search.dim(),
             search.firsts[last] - search.firsts[first], search.query_modality,
             search.firsts[first]) {}

std::size_t FieldQueries::token(std::size_t question) const {
  return search_.firsts[question] - search_.firsts[first_];
}

std::size_t FieldQueries::query_rows(std::size_t question) const {
  return search_.firsts[question + 1] - search_.firsts[question];
}

void FieldQueries::search(std::size_t row, std::size_t count, std::size_t k, std::size_t threads,
                          std::vector<float>& scores, std::vector<Label>& labels) {
  SearchOptions how;
  how.k = k;
  how.ef = search_.ef;
  how.filter = search_.filter.get();
  how.threads = threads;
  how.exact_scores = search_.index->keeps_vectors();  // as those of completion are
  scores.resize(count * k);
  labels.resize(count * k);
  search_.index->search(batch_, row, count, how, scores.data(), labels.data());
}

void FieldQueries::retrieve(std::size_t depth, const std::vector<Label>* without,
                            std::size_t threads, std::vector<ItemList>& lists) {
  static const std::vector<Label> kNone;
  const bool alone = search_.rule == RowRule::kMaxSim;  // a question searches many rows
  const std::size_t questions = last_ - first_;
  std::size_t most = 0;
  for (std::size_t i = 0; without != nullptr && i < questions; ++i) {
    most = std::max(most, without[i].size());
  }
  // A deeper list than the field holds would only be padding.
  const std::size_t live = std::max<std::size_t>(1, search_.index->size());
  const std::size_t hoped = search_.several ? 2 : 1;  // rows an item has among the nearest
  const std::size_t k = std::min(live, hoped * std::min(live, depth + most));
  lists.resize(questions);
  if (!alone) search(0, batch_.count(), k, threads, scores_, labels_);
  for (std::size_t i = 0; i < questions; ++i) {
    const std::vector<Label>& left_out = without == nullptr ? kNone : without[i];
    const std::size_t rows = query_rows(first_ + i);
    if (alone) search(token(first_ + i), rows, k, threads, scores_, labels_);
    lists[i] = {};
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t at = (alone ? row : i) * k;
      ItemList near;
      take(scores_.data() + at, labels_.data() + at, k, depth, left_out, near);
      if (labels_[at + k - 1] != kNoLabel) {
        widen(token(first_ + i) + row, k, live, depth, left_out, threads, near);
      }
      if (rows == 1) {
        lists[i] = std::move(near);
      } else {
        lists[i].items.insert(lists[i].items.end(), near.items.begin(), near.items.end());
      }
    }
    if (alone || (search_.several && search_.rule == RowRule::kMean)) {
      rank_by_rule(first_ + i, depth, lists[i]);
    }
  }
}

void FieldQueries::take(const float* scores, const Label* rows, std::size_t count,
                        std::size_t depth, const std::vector<Label>& without,
                        ItemList& list) const {
  (search_.several ? take_items : take_rows)(scores, rows, count, depth, without, list);
}

// Searches deeper until `depth` items are there, or the field has no more.
void FieldQueries::widen(std::size_t row, std::size_t k, std::size_t live, std::size_t depth,
                         const std::vector<Label>& without, std::size_t threads, ItemList& list) {
  while (list.items.size() < depth && k < live) {
    k = std::min(live, 2 * k);
    search(row, 1, k, threads, wide_scores_, wide_labels_);
    take(wide_scores_.data(), wide_labels_.data(), k, depth, without, list);
    if (wide_labels_.back() == kNoLabel) return;
  }
}

// Makes a list of candidates the best of them by the rule.
void FieldQueries::rank_by_rule(std::size_t question, std::size_t depth, ItemList& list) {
  std::sort(list.items.begin(), list.items.end());
  list.items.erase(std::unique(list.items.begin(), list.items.end()), list.items.end());
  const std::vector<Label> items = std::move(list.items);
  std::vector<double> scores;
  std::vector<std::int32_t> ordinals;
  score(question, items, scores, ordinals);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!std::isnan(scores[i])) order.push_back(i);  // else removed meanwhile
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(order.size(), depth));
  list = {};
  for (const std::size_t i : order) {
    list.items.push_back(items[i]);
    list.scores.push_back(scores[i]);
    list.ordinals.push_back(ordinals[i]);
  }
}

void FieldQueries::score(std::size_t question, const std::vector<Label>& items,
                         std::vector<double>& scores, std::vector<std::int32_t>& ordinals) {
  scores.assign(items.size(), kNoRow);
  ordinals.assign(items.size(), -1);
  const std::size_t rows = query_rows(question);
  if (!search_.several) {
    row_scores_.resize(rows * items.size());
    search_.index->score(batch_, token(question), rows, items.data(), items.size(),
                         row_scores_.data());
    for (std::size_t i = 0; i < items.size(); ++i) {
      double total = 0.0;
      for (std::size_t row = 0; row < rows; ++row) total += row_scores_[row * items.size() + i];
      scores[i] = total / static_cast<double>(rows);
      ordinals[i] = std::isnan(scores[i]) ? -1 : 0;
    }
    return;
  }
  const std::size_t at_once = rows == 1 ? items.size() : kItemsAtOnce;
  for (std::size_t begin = 0; begin < items.size(); begin += at_once) {
    const std::size_t count = std::min(at_once, items.size() - begin);
    search_.index->score_items(batch_, token(question), rows, items.data() + begin, count,
                               item_scores_);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t from = item_scores_.firsts[i];
      const std::size_t to = item_scores_.firsts[i + 1];
      if (from == to) continue;
      scores[begin + i] =
          by_rule(search_.rule, item_scores_, from, to, 0, rows, ordinals[begin + i]);
    }
  }
}

void FieldQueries::score_all(const std::vector<Label>& items, std::vector<double>& scores) {
  const std::size_t questions = last_ - first_;
  scores.clear();
  if (search_.rule == RowRule::kMaxSim) {
    std::vector<double> own;
    std::vector<std::int32_t> ordinals;
    for (std::size_t question = first_; question < last_; ++question) {
      score(question, items, own, ordinals);
      scores.insert(scores.end(), own.begin(), own.end());
    }
    return;
  }
  if (!search_.several) {
    row_scores_.resize(questions * items.size());
    search_.index->score(batch_, 0, questions, items.data(), items.size(), row_scores_.data());
    scores.assign(row_scores_.begin(), row_scores_.end());
    return;
  }
  search_.index->score_items(batch_, 0, questions, items.data(), items.size(), item_scores_);
  scores.assign(questions * items.size(), kNoRow);
  std::int32_t ordinal = 0;
  for (std::size_t q = 0; q < questions; ++q) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::size_t from = item_scores_.firsts[i];
      const std::size_t to = item_scores_.firsts[i + 1];
      if (from == to) continue;
      scores[q * items.size() + i] = by_rule(search_.rule, item_scores_, from, to, q, 1, ordinal);
    }
  }
}

}  // namespace gapless
