#include <algorithm>

#include "core/error.h"
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
  parallel_for(rows_.slots(), 0, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t s = begin; s < end; ++s) {
      const auto slot = static_cast<Slot>(s);
      if (rows_.label(slot) == kNoLabel) continue;
      for (int level = 0; level <= levels_[slot]; ++level) repair_links(slot, level);
    }
  });
  for (const Slot slot : tombstones_) {
    std::fill(links(slot, 0), links(slot, 0) + degree(0), kNoSlot);
    upper_links_[slot].reset();
    levels_[slot] = 0;
    rows_.recycle(slot);
  }
  tombstones_.clear();
  choose_entry();
}

void HnswIndex::repair_links(Slot slot, int level) {
  Slot* row = links(slot, level);
  const std::size_t most = degree(level);
  std::size_t count = 0;
  bool dead = false;
  for (; count < most && row[count] != kNoSlot; ++count) {
    dead = dead || rows_.label(row[count]) == kNoLabel;
  }
  if (!dead) return;
  // Live rows reached through tombstones only; a chain of tombstones is followed to its end, up to
  // a bound that a row's neighbourhood cannot use up.
  std::vector<Slot> found(row, row + count);
  const std::size_t bound = 8 * most;
  for (std::size_t i = 0; i < found.size() && found.size() < bound; ++i) {
    if (rows_.label(found[i]) != kNoLabel) continue;
    const Slot* next = links(found[i], level);
    for (std::size_t j = 0; j < most && next[j] != kNoSlot; ++j) {
      if (next[j] == slot) continue;
      if (std::find(found.begin(), found.end(), next[j]) == found.end()) found.push_back(next[j]);
    }
  }
  std::erase_if(found, [this](Slot s) { return rows_.label(s) == kNoLabel; });
  std::vector<float> scores(2 * found.size());
  const Scorer score{rows_, nullptr, rows_.vector(slot), 0.0f};
  score(found.data(), found.size(), scores.data(), scores.data() + found.size());
  std::vector<Candidate> nearest;
  nearest.reserve(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) nearest.push_back({scores[i], found[i]});
  std::sort(nearest.begin(), nearest.end(),
            [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  const std::vector<Slot> chosen = select(nearest, most);
  std::fill(row, row + most, kNoSlot);
  std::copy(chosen.begin(), chosen.end(), row);
}

void HnswIndex::choose_entry() {
  if (entry_ != kNoSlot && rows_.label(entry_) != kNoLabel) return;
  entry_ = kNoSlot;
  top_level_ = -1;
  for (Slot slot = 0; slot < rows_.slots(); ++slot) {
    if (rows_.label(slot) == kNoLabel || levels_[slot] <= top_level_) continue;
    entry_ = slot;
    top_level_ = levels_[slot];
  }
}

namespace {

struct GraphHeader {
  std::uint64_t m;
  std::uint64_t ef_construction;
  std::uint64_t seed;
  std::uint64_t draws;
  std::uint64_t entry;
};

}  // namespace

void HnswIndex::append_sections(SectionWriter& sections) const {
  sections.record("graph",
                  GraphHeader{options_.m, options_.ef_construction, options_.seed, draws_, entry_});
  sections.borrow("levels", levels_.data(), rows_.slots());
  sections.borrow("links", base_links_.data(), rows_.slots() * degree(0));
  std::vector<char> upper;
  for (Slot slot = 0; slot < rows_.slots(); ++slot) {
    const auto* from = reinterpret_cast<const char*>(upper_links_[slot].get());
    if (from != nullptr) {
      upper.insert(upper.end(), from, from + levels_[slot] * options_.m * sizeof(Slot));
    }
  }
  sections.own("uplinks", std::move(upper));
}

std::unique_ptr<HnswIndex> HnswIndex::restore(std::size_t dim, const SectionReader& reader) {
  const auto header = reader.record<GraphHeader>("graph");
  std::unique_ptr<HnswIndex> index;
  try {
    index = std::make_unique<HnswIndex>(dim,
                                        HnswOptions{header.m, header.ef_construction, header.seed});
  } catch (const InvalidArgument& error) {
    throw Corruption{"graph", error.what()};
  }
  index->restore_rows(reader);
  index->restore_graph(reader);
  return index;
}

void HnswIndex::restore_graph(const SectionReader& reader) {
  const auto header = reader.record<GraphHeader>("graph");
  draws_ = header.draws;
  const std::size_t slots = rows_.slots();
  const auto* levels = reader.array<std::uint8_t>("levels", slots);
  const auto* base = reader.array<Slot>("links", slots * degree(0));
  std::size_t upper_levels = 0;
  for (std::size_t slot = 0; slot < slots; ++slot) upper_levels += levels[slot];
  const auto* upper = reader.array<Slot>("uplinks", upper_levels * options_.m);

  levels_.resize(slots, 0);
  base_links_.resize(slots * degree(0), kNoSlot);
  upper_links_.resize(slots);
  const auto check = [&](const char* section, const Slot* row, std::size_t most, int level) {
    for (std::size_t i = 0; i < most && row[i] != kNoSlot; ++i) {
      if (row[i] < slots && rows_.label(row[i]) != kNoLabel && levels[row[i]] >= level) continue;
      throw Corruption{section, "a link leads to slot " + std::to_string(row[i]) +
                                    ", which is not on level " + std::to_string(level)};
    }
  };
  for (Slot slot = 0; slot < slots; ++slot) {
    const int level = levels[slot];
    if (level > kMaxLevel) throw Corruption{"levels", "level " + std::to_string(level)};
    levels_[slot] = levels[slot];
    const Slot* row = base + slot * degree(0);
    check("links", row, degree(0), 0);
    std::copy(row, row + degree(0), links(slot, 0));
    if (level == 0) continue;
    const std::size_t size = static_cast<std::size_t>(level) * options_.m;
    for (int l = 1; l <= level; ++l) check("uplinks", upper + (l - 1) * options_.m, options_.m, l);
    upper_links_[slot] = std::make_unique<Slot[]>(size);
    std::copy(upper, upper + size, upper_links_[slot].get());
    upper += size;
  }
  if (rows_.size() == 0) return;
  if (header.entry >= slots || rows_.label(static_cast<Slot>(header.entry)) == kNoLabel) {
    throw Corruption{"graph",
                     "the entry is slot " + std::to_string(header.entry) + ", which holds no row"};
  }
  entry_ = static_cast<Slot>(header.entry);
  top_level_ = levels_[entry_];
}

}  // namespace gapless
