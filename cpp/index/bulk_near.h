#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/buffer.h"
#include "index/codes.h"

namespace gapless {

// A row near another, by its number among the rows of a bulk build.
struct Near {
  float score;  // less their squared distance
  std::uint32_t row;
};
inline bool nearer(const Near& a, const Near& b) {
  return a.score != b.score ? a.score > b.score : a.row < b.row;
}

// The nearest known rows of each row, at most `room` of them, nearest first.
struct NearLists {
  NearLists(std::size_t rows, std::size_t most)
      : room(most), near(rows * most), counts(rows, 0), limits(rows, -1e30f) {}

  const Near* begin(std::size_t i) const { return near.data() + i * room; }
  // Merges rows that are sorted and differ from each other.
  void merge(std::size_t i, const Near* found, std::size_t count, std::vector<Near>& scratch);

  std::size_t room;
  std::vector<Near> near;
  std::vector<std::uint32_t> counts;
  std::vector<float> limits;  // what a row must score to get into a list
};

// How the rows are parted into leaves, in which all of them are compared.
struct Parting {
  std::size_t leaf = 1024;    // rows of a leaf, at most
  std::size_t pivots = 512;   // of one split, at most
  std::size_t fan_out = 8;    // leaves that a row goes to, by the first split
  std::size_t fan_below = 1;  // and by each split of what is still too large
  std::size_t kept = 64;      // of the nearest in a leaf
  std::uint64_t seed = 0;
};

// Adds what one parting of `members` (numbers of rows) finds; list i is of members[i]. The same
// whatever the threads: a list holds the nearest of all rows that were offered to it.
void find_near(const LocalRows& rows, const std::vector<std::uint32_t>& members,
               const Parting& parting, std::size_t threads, NearLists& lists);

}  // namespace gapless
