#include "index/filter.h"

#include <algorithm>
#include <cstring>

namespace gapless {
namespace {

constexpr std::size_t kKept = 8;        // indexes that a filter keeps resolved
constexpr std::size_t kLookUpCost = 8;  // of finding a label's row, in tests of a row's label

constexpr std::size_t kSparsest = 64;  // labels to one that is allowed, in a list worth packing

// The same filter, of bits.
Filter packed(const Filter& list) {
  Filter made;
  made.kind = Filter::Kind::kBits;
  made.items = list.items;
  made.bits.assign(static_cast<std::size_t>(list.labels.back()) / 8 + 1, 0);
  for (const Label label : list.labels) {
    if (label < 0) continue;
    made.bits[static_cast<std::size_t>(label / 8)] |= static_cast<std::uint8_t>(1 << (label % 8));
  }
  return made;
}

// 64 bits of a packed bitset from bit `first` on; zeros beyond its end.
std::uint64_t bits_from(const std::vector<std::uint8_t>& bits, Label first) {
  const auto byte = static_cast<std::size_t>(first / 8);
  std::uint8_t bytes[9] = {};
  if (byte < bits.size()) {
    std::memcpy(bytes, bits.data() + byte, std::min(sizeof(bytes), bits.size() - byte));
  }
  std::uint64_t word = 0;
  for (int i = 7; i >= 0; --i) word = word << 8 | bytes[i];
  const int shift = static_cast<int>(first % 8);
  return shift == 0 ? word : word >> shift | std::uint64_t{bytes[8]} << (64 - shift);
}

}  // namespace

bool Filter::allows(Label label) const {
  if (label < 0) return false;
  if (items) label = item_of(label);
  if (kind == Kind::kLabels) return std::binary_search(labels.begin(), labels.end(), label);
  const auto byte = static_cast<std::size_t>(label / 8);
  return byte < bits.size() && ((bits[byte] >> (label % 8)) & 1);
}

std::size_t Filter::count() const {
  if (kind == Kind::kLabels) return labels.size();
  std::size_t found = 0;
  for (std::size_t byte = 0; byte < bits.size(); byte += 8) {
    found += static_cast<std::size_t>(std::popcount(bits_from(bits, static_cast<Label>(8 * byte))));
  }
  return found;
}

std::shared_ptr<const SlotFilter> Filter::resolve(const IndexView& view) const {
  const std::uint64_t table = view.rows->id;
  const std::uint64_t changes = view.rows->changes.load(std::memory_order_acquire);
  {
    const std::lock_guard<std::mutex> guard(known_->lock);
    for (const Resolved& of : known_->resolved) {
      if (of.items == items && of.table == table && of.changes == changes) return of.slots;
    }
  }
  auto slots = std::make_shared<const SlotFilter>(*this, view);
  const std::lock_guard<std::mutex> guard(known_->lock);
  std::vector<Resolved>& resolved = known_->resolved;
  std::erase_if(resolved, [&](const Resolved& of) {
    return of.items == items && of.table == table && of.changes <= changes;
  });
  if (resolved.size() == kKept) resolved.erase(resolved.begin());
  resolved.push_back({items, table, changes, slots});
  return slots;
}

// By whichever takes less: finding the rows of what is named, or testing every row.
SlotFilter::SlotFilter(const Filter& filter, const IndexView& view)
    : bits_((view.rows->capacity + 63) / 64, 0) {
  const std::size_t count = filter.count();
  const bool few = count * kLookUpCost <= view.rows->used.load();
  if (!few && filter.kind == Filter::Kind::kBits) {
    test_rows(filter, *view.rows);
  } else if (!few && filter.labels.back() >= 0 &&
             static_cast<std::size_t>(filter.labels.back()) <= kSparsest * count) {
    test_rows(packed(filter), *view.rows);
  } else {
    look_up_all(filter, view);
  }
  for (const std::uint64_t word : bits_) matches_ += static_cast<std::size_t>(std::popcount(word));
}

void SlotFilter::look_up(const Filter& filter, const IndexView& view, Label label) {
  if (filter.items && (label < 0 || label > kItemMask)) return;
  for (Label ordinal = 0;; ++ordinal) {  // those of an item are numbered without holes
    const Slot slot = view.slot(filter.items ? row_label(label, ordinal) : label);
    if (slot == kNoSlot) return;
    set(slot);
    if (!filter.items) return;
  }
}

void SlotFilter::look_up_all(const Filter& filter, const IndexView& view) {
  if (filter.kind == Filter::Kind::kLabels) {
    for (const Label label : filter.labels) look_up(filter, view, label);
    return;
  }
  for (std::size_t byte = 0; byte < filter.bits.size(); byte += 8) {
    const auto first = static_cast<Label>(8 * byte);
    for (std::uint64_t rest = bits_from(filter.bits, first); rest != 0; rest &= rest - 1) {
      look_up(filter, view, first + std::countr_zero(rest));
    }
  }
}

void SlotFilter::test_rows(const Filter& filter, const RowTable& rows) {
  const std::size_t used = rows.used.load(std::memory_order_acquire);
  const Label mask = filter.items ? kItemMask : ~Label{0};
  for (std::size_t word = 0; word * 64 < used; ++word) {
    const std::uint64_t live = acquire(rows.live_bits[word]);
    if (live == 0) continue;
    const auto first = static_cast<Slot>(word * 64);
    // Labels are often numbered on from row to row.
    const Label start = rows.label(first) & mask;
    bool numbered = live == ~std::uint64_t{0} && start >= 0;
    for (Slot i = 1; numbered && i < 64; ++i)
      numbered = (rows.label(first + i) & mask) == start + i;
    std::uint64_t found = 0;
    if (numbered) {
      found = bits_from(filter.bits, start);
    } else {
      for (std::uint64_t rest = live; rest != 0; rest &= rest - 1) {
        const auto i = static_cast<Slot>(std::countr_zero(rest));
        found |= std::uint64_t{filter.allows(rows.label(first + i))} << i;
      }
    }
    bits_[word] = found;
  }
}

std::vector<Slot> SlotFilter::slots() const {
  std::vector<Slot> found;
  found.reserve(matches_);
  for_each<256>(
      [&](const Slot* some, std::size_t count) { found.insert(found.end(), some, some + count); });
  return found;
}

}  // namespace gapless
