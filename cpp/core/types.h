#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace gapless {

using Label = std::int64_t;  // the caller's id of a row; never negative
using Slot = std::uint32_t;  // a row's place in an index; reused after a removal

inline constexpr Label kNoLabel = -1;
inline constexpr Slot kNoSlot = std::numeric_limits<Slot>::max();
inline constexpr std::size_t kMaxSlots = std::size_t{1} << 30;  // leaves two bits for tags
inline constexpr float kNoScore = -std::numeric_limits<float>::infinity();

// A collection labels its rows by item and ordinal: an item may have several rows in one field, and
// its first one bears the item's own key.
inline constexpr int kOrdinalShift = 40;
inline constexpr Label kItemMask = (Label{1} << kOrdinalShift) - 1;

inline Label item_of(Label row) { return row & kItemMask; }
inline Label ordinal_of(Label row) { return row >> kOrdinalShift; }
inline Label row_label(Label item, Label ordinal) { return ordinal << kOrdinalShift | item; }

// One answer. Higher scores are better; equal scores rank by ascending label.
struct Hit {
  float score;
  Label label;
};

inline bool better(const Hit& a, const Hit& b) {
  return a.score != b.score ? a.score > b.score : a.label < b.label;
}

}  // namespace gapless
