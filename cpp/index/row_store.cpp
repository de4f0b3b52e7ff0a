#include "index/row_store.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "core/error.h"
#include "kernels/kernels.h"

namespace gapless {

void unit_rows(const float* in, std::size_t count, std::size_t dim, float* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const double norm = kernels().normalise(in + i * dim, out + i * dim, dim);
    if (std::isfinite(norm) && norm > 0.0) continue;
    const char* what = norm == 0.0 ? "is zero" : "holds NaN or infinity";
    throw InvalidVector("row " + std::to_string(i) + " " + what +
                        "; a direction is needed: drop the row or mend it");
  }
}

std::size_t RowStore::memory_bytes() const {
  return vectors_.bytes() + labels_.bytes() + slots_.bytes() + free_.capacity() * sizeof(Slot);
}

std::vector<Label> RowStore::sorted_labels() const {
  std::vector<Label> found;
  found.reserve(size());
  for (Slot slot = 0; slot < slots(); ++slot) {
    if (labels_[slot] != kNoLabel) found.push_back(labels_[slot]);
  }
  std::sort(found.begin(), found.end());
  return found;
}

void RowStore::reserve(std::size_t count) {
  const std::size_t before = slots();
  const std::size_t after = slots_after(count);
  if (after >= kMaxSlots) throw InvalidArgument("an index holds at most 2^30 rows");
  slots_.reserve(size() + count);
  free_.reserve(after);  // so that recycle() cannot fail either
  vectors_.resize(after * stride_, 0.0f);
  labels_.resize(after, kNoLabel);  // last: it is what slots() counts
  // Lowest slot last, since `put` takes from the back: rows fill the store in order.
  free_.insert(free_.begin(), after - before, kNoSlot);
  for (std::size_t i = 0; i < after - before; ++i) free_[i] = static_cast<Slot>(after - 1 - i);
}

Slot RowStore::put(Label label, const float* unit_row) {
  if (free_.empty()) reserve(1);
  const Slot slot = free_.back();
  free_.pop_back();
  std::memcpy(vectors_.data() + slot * stride_, unit_row, dim_ * sizeof(float));
  labels_[slot] = label;
  slots_.assign(label, slot);
  return slot;
}

Slot RowStore::drop(Label label) {
  const Slot slot = slots_.find(label);
  labels_[slot] = kNoLabel;
  slots_.erase(label);
  return slot;
}

void RowStore::restore(const float* vectors, const Label* labels, std::size_t count) {
  if (count >= kMaxSlots) throw Corruption{"labels", "more than 2^30 rows"};
  labels_.resize(count, kNoLabel);
  vectors_.resize(count * stride_, 0.0f);
  if (count == 0) return;
  std::memcpy(vectors_.data(), vectors, count * stride_ * sizeof(float));
  for (std::size_t i = count; i > 0; --i) {
    const auto slot = static_cast<Slot>(i - 1);
    const Label label = labels[slot];
    if (label == kNoLabel) {
      free_.push_back(slot);
      continue;
    }
    const float* row = vector(slot);
    const float square = kernels().dot(row, row, dim_);
    if (!(std::fabs(square - 1.0f) < 1e-3f)) {
      throw Corruption{"vectors", "row " + std::to_string(slot) + " is not of unit length"};
    }
    if (label < 0 || label == std::numeric_limits<Label>::max() || slots_.find(label) != kNoSlot) {
      throw Corruption{"labels", "label " + std::to_string(label) + " is no id, or occurs twice"};
    }
    labels_[slot] = label;
    slots_.assign(label, slot);
  }
}

}  // namespace gapless
