#include <algorithm>
#include <mutex>

#include "core/thread_pool.h"
#include "index/hnsw.h"

namespace gapless {
namespace {

// Tombstones are cleared away when they are this share of the live rows, and at least so many.
constexpr std::size_t kTombstoneShare = 8;
constexpr std::size_t kTombstonesKept = 64;

}  // namespace

void HnswIndex::erase(const std::vector<Slot>& slots) {
  tombstones_.insert(tombstones_.end(), slots.begin(), slots.end());
  const std::size_t most = std::max(kTombstonesKept, rows_.size() / kTombstoneShare);
  // With no live row left, new ones would find nothing to link to.
  if (rows_.size() == 0 || tombstones_.size() > most) repair();
}

void HnswIndex::settle() {
  if (!tombstones_.empty()) repair();
}

// Links the live neighbours of removed rows to each other and frees the removed rows' slots. Each
// live row rewrites only its own links and reads only those of tombstones, so rows need no locks.
void HnswIndex::repair() {
  if (tombstones_.size() > rows_.size()) {  // little is left to mend
    rebuild();
    return;
  }
  std::vector<Slot> lost;
  std::mutex lost_lock;
  parallel_for(rows_.slots(), 0, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t s = begin; s < end; ++s) {
      const auto slot = static_cast<Slot>(s);
      if (rows_.label(slot) == kNoLabel) continue;
      for (int level = 1; level <= levels_[slot]; ++level) repair_links(slot, level);
      if (repair_links(slot, 0)) continue;
      const std::lock_guard<std::mutex> lock(lost_lock);
      lost.push_back(slot);
    }
  });
  free_tombstones();
  choose_entry();
  link_all(lost, 0);
}

void HnswIndex::rebuild() {
  std::vector<Slot> live;
  for (Slot slot = 0; slot < rows_.slots(); ++slot) {
    if (rows_.label(slot) == kNoLabel) continue;
    open_slot(slot, levels_[slot]);
    live.push_back(slot);
  }
  free_tombstones();
  entry_ = kNoSlot;
  top_level_ = -1;
  link_all(live, 0);
}

void HnswIndex::free_tombstones() {
  for (const Slot slot : tombstones_) {
    open_slot(slot, 0);
    rows_.recycle(slot);
  }
  tombstones_.clear();
}

// False when the row was among so many removed ones that its old links do not lead out.
bool HnswIndex::repair_links(Slot slot, int level) {
  const Slot* row = links(slot, level);
  const std::size_t most = degree(level);
  std::size_t count = 0;
  bool dead = false;
  for (; count < most && row[count] != kNoSlot; ++count) {
    dead = dead || rows_.label(row[count]) == kNoLabel;
  }
  if (!dead) return true;
  // Live rows reached through tombstones only; a chain of tombstones is followed to its end, within
  // reason.
  std::vector<Slot> found(row, row + count);
  const std::size_t bound = 8 * most;
  std::size_t i = 0;
  for (; i < found.size() && found.size() < bound; ++i) {
    if (rows_.label(found[i]) != kNoLabel) continue;
    const Slot* next = links(found[i], level);
    for (std::size_t j = 0; j < most && next[j] != kNoSlot; ++j) {
      if (next[j] == slot) continue;
      if (std::find(found.begin(), found.end(), next[j]) == found.end()) found.push_back(next[j]);
    }
  }
  const bool followed = i == found.size();
  std::erase_if(found, [this](Slot s) { return rows_.label(s) == kNoLabel; });
  return rewrite_links(slot, level, found) > 0 && followed;
}

// The highest row that leads anywhere, or the only one there is.
void HnswIndex::choose_entry() {
  const auto leads = [this](Slot slot) {
    return rows_.label(slot) != kNoLabel && (links(slot, 0)[0] != kNoSlot || rows_.size() == 1);
  };
  if (entry_ != kNoSlot && leads(entry_)) return;
  entry_ = kNoSlot;
  top_level_ = -1;
  for (Slot slot = 0; slot < rows_.slots(); ++slot) {
    if (!leads(slot) || levels_[slot] <= top_level_) continue;
    entry_ = slot;
    top_level_ = levels_[slot];
  }
}

}  // namespace gapless
