#include <algorithm>

#include "core/error.h"
#include "index/hnsw.h"

namespace gapless {
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
  const auto check = [&](const char* section, Slot slot, const Slot* row, int level) {
    const Slot* const end = row + degree(level);
    const Slot* const used = std::find(row, end, kNoSlot);
    if (std::any_of(used, end, [](Slot link) { return link != kNoSlot; })) {
      throw Corruption{section, "slot " + std::to_string(slot) + " has links after their end"};
    }
    for (const Slot* link = row; link != used; ++link) {
      const bool there = *link < slots && *link != slot && rows_.label(*link) != kNoLabel &&
                         levels[*link] >= level && std::find(row, link, *link) == link;
      if (there) continue;
      throw Corruption{section, "slot " + std::to_string(slot) + " links to " +
                                    std::to_string(*link) + ", itself, twice, or not on level " +
                                    std::to_string(level)};
    }
  };
  for (Slot slot = 0; slot < slots; ++slot) {
    const int level = levels[slot];
    if (level > kMaxLevel) throw Corruption{"levels", "level " + std::to_string(level)};
    levels_[slot] = levels[slot];
    const Slot* row = base + slot * degree(0);
    check("links", slot, row, 0);
    std::copy(row, row + degree(0), links(slot, 0));
    if (level == 0) continue;
    const std::size_t size = static_cast<std::size_t>(level) * options_.m;
    for (int l = 1; l <= level; ++l) check("uplinks", slot, upper + (l - 1) * options_.m, l);
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
