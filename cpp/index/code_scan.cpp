#include "index/code_scan.h"

#include <algorithm>

namespace gapless {

void CodeScan::run(const Codes& codes, const SlotFilter& filter, const RowTable& rows,
                   std::size_t most) {
  most_ = most;
  limit_ = kNoScore;
  kept_.clear();
  // Two blocks behind the one whose memory is sent for: one to filter, one to score.
  Block touched, filtered;
  const auto step = [&] {
    score(codes, rows, filtered);
    filtered.count =
        codes.filter(query_, touched.slots.data(), touched.count, limit_, filtered.slots.data());
  };
  filter.for_each<kBlock>([&](const Slot* slots, std::size_t count) {
    codes.touch(slots, count);
    step();
    std::copy_n(slots, count, touched.slots.data());
    touched.count = count;
  });
  step();
  score(codes, rows, filtered);
  refine(codes);
}

void CodeScan::score(const Codes& codes, const RowTable& rows, const Block& block) {
  codes.score(query_, block.slots.data(), block.count, scores_.data());
  for (std::size_t i = 0; i < block.count; ++i) {
    if (!(scores_[i] >= limit_)) continue;
    const Kept kept{scores_[i], block.slots[i], rows.label(block.slots[i])};
    if (kept.label == kNoLabel) continue;
    if (kept_.size() == most_) {
      if (!before(kept, kept_.front())) continue;
      std::pop_heap(kept_.begin(), kept_.end(), before);
      kept_.pop_back();
    }
    kept_.push_back(kept);
    std::push_heap(kept_.begin(), kept_.end(), before);
    if (kept_.size() == most_) limit_ = kept_.front().score;
  }
}

void CodeScan::refine(const Codes& codes) {
  slots_.clear();
  for (const Kept& kept : kept_) slots_.push_back(kept.slot);
  refined_.resize(slots_.size());
  codes.touch_refine(slots_.data(), slots_.size());
  codes.refine(query_, slots_.data(), slots_.size(), refined_.data());
  found_.clear();
  for (std::size_t i = 0; i < slots_.size(); ++i) found_.push_back({refined_[i], slots_[i]});
}

}  // namespace gapless
