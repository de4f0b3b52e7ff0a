#include "query/ranked_lists.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "query/fusion_method.h"

namespace gapless {
namespace {

std::string where(std::size_t rank, std::size_t list) {
  return " at rank " + std::to_string(rank + 1) + " of list " + std::to_string(list);
}

bool in_order(const double* scores, std::size_t count) {
  double before = kLargestScore;
  bool wrong = false;
  for (std::size_t i = 0; i < count; ++i) {
    wrong |= !(scores[i] <= before);  // true for NaN too
    before = scores[i];
  }
  return !wrong && before >= -kLargestScore;
}

[[noreturn]] void refuse_scores(const double* scores, std::size_t count, std::size_t list) {
  std::size_t rank = 0;
  while (rank + 1 < count && std::fabs(scores[rank]) <= kLargestScore &&
         (rank == 0 || scores[rank] <= scores[rank - 1])) {
    ++rank;
  }
  const std::string what = "the score" + where(rank, list);
  if (!std::isfinite(scores[rank])) throw InvalidArgument(what + " is NaN or infinite");
  if (std::fabs(scores[rank]) > kLargestScore) {
    throw InvalidArgument(what + " is " + as_text(scores[rank]) +
                          "; fusion takes at most 1e100 in size: scale the list");
  }
  throw InvalidArgument(what + " is above the one before; sort best first");
}

[[noreturn]] void refuse_twice(std::vector<RankedLists::Item> items, const Label* labels,
                               std::size_t list) {
  std::sort(items.begin(), items.end());
  const auto twice = std::adjacent_find(items.begin(), items.end());
  throw InvalidArgument("id " + std::to_string(labels[*twice]) + " occurs twice in list " +
                        std::to_string(list));
}

}  // namespace

void RankedLists::reset(std::size_t lists, std::size_t entries) {
  if (lists_.size() < lists) lists_.resize(lists);
  count_ = lists;
  for (std::size_t i = 0; i < lists; ++i) {
    lists_[i].items.clear();
    lists_[i].scores.clear();
    lists_[i].retrieved = 0;
  }
  items_ = 0;
  size_ = 0;
  make_room(entries);
}

// Where a label's item stands, or would. Whether it does is as likely as not, so that the loop does
// not branch on it.
std::size_t RankedLists::place(Label label) const {
  std::uint64_t mixed = static_cast<std::uint64_t>(label) * 0x9E3779B97F4A7C15u;
  mixed ^= mixed >> 32;
  std::size_t i = static_cast<std::size_t>(mixed) & (size_ - 1);
  while ((entries_[i] != 0) & (labels_[entries_[i]] != label)) i = (i + 1) & (size_ - 1);
  return i;
}

void RankedLists::make_room(std::size_t more) {
  const std::size_t wanted = std::bit_ceil(2 * (items_ + more) + 16);
  if (wanted <= size_) return;
  size_ = wanted;
  if (entries_.size() < size_) entries_.resize(size_);
  std::fill_n(entries_.begin(), size_, 0U);
  for (std::size_t number = 1; number <= items_; ++number) {
    entries_[place(labels_[number])] = static_cast<std::uint32_t>(number);
  }
}

void RankedLists::add(std::size_t list, const double* scores, const Label* found,
                      std::size_t count) {
  count = static_cast<std::size_t>(std::find(found, found + count, kNoLabel) - found);
  if (!in_order(scores, count)) refuse_scores(scores, count, list);
  make_room(count);
  List& into = lists_[list];
  into.items.resize(count);
  into.scores.assign(scores, scores + count);
  into.retrieved = count;
  if (labels_.size() < 1 + items_ + count) labels_.resize(1 + items_ + count);
  last_.resize(1 + items_);
  last_.resize(1 + items_ + count, 0);  // 0 for those to come
  const auto stamp = static_cast<std::uint32_t>(list + 1);
  bool twice = false;
  for (std::size_t rank = 0; rank < count; ++rank) {
    const std::size_t at = place(found[rank]);
    const bool fresh = entries_[at] == 0;
    items_ += fresh ? 1 : 0;
    const std::uint32_t number = fresh ? static_cast<std::uint32_t>(items_) : entries_[at];
    entries_[at] = number;
    labels_[number] = found[rank];
    twice |= last_[number] == stamp;
    last_[number] = stamp;
    into.items[rank] = number - 1;
  }
  if (twice) refuse_twice(into.items, labels(), list);
}

void RankedLists::complete(std::size_t list, Item item, double score) {
  if (std::isnan(score)) return;
  lists_[list].items.push_back(item);
  lists_[list].scores.push_back(score);
}

void RankedLists::missing(std::size_t list, std::vector<Item>& items) {
  held_.assign(items_, 0);
  for (const Item item : lists_[list].items) held_[item] = 1;
  items.clear();
  for (std::size_t item = 0; item < held_.size(); ++item) {
    if (held_[item] == 0) items.push_back(static_cast<Item>(item));
  }
}

}  // namespace gapless
