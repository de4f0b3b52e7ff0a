#include "index/bulk_near.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <numeric>
#include <random>

#include "core/publish.h"
#include "core/thread_pool.h"
#include "kernels/kernels.h"

namespace gapless {
namespace {

constexpr std::size_t kTile = 64;
constexpr std::size_t kDeepest = 16;  // splits of splits

using Members = std::vector<std::uint32_t>;  // places in the list of members
using Tile = std::array<float, kTile * kTile>;

// Some rows that face others, in the form that their products with these take.
class Facing {
 public:
  void take(const LocalRows& rows, std::size_t first, std::size_t count) {
    values_.allocate(kTile * rows.dim);
    count_ = count;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* bytes = rows.bytes.data() + (first + i) * rows.dim;
      std::int8_t* to = values_.data() + i * rows.dim;
      std::int32_t sum = 0;
      for (std::size_t j = 0; j < rows.dim; ++j) {
        to[j] = static_cast<std::int8_t>(bytes[j] - 128);
        sum += to[j];
      }
      sums_[i] = 128 * sum;
      scale_[i] = rows.scale[first + i];
      square_[i] = rows.square[first + i];
    }
  }

  // out[i * kTile + j] = score of facing row i with row first + j. That of a with b has the bits of
  // that of b with a.
  void score(const LocalRows& rows, std::size_t first, std::size_t count, Tile& out) const {
    // In order, but by slots: else rows would be sent for that are in cache.
    static constexpr std::array<Slot, kTile> kInOrder = [] {
      std::array<Slot, kTile> order{};
      for (Slot i = 0; i < kTile; ++i) order[i] = i;
      return order;
    }();
    std::int32_t products[kTile];
    const float* scale = rows.scale.data() + first;
    const float* square = rows.square.data() + first;
    for (std::size_t i = 0; i < count_; ++i) {
      kernels().codes->dot_bytes(values_.data() + i * rows.dim,
                                 rows.bytes.data() + first * rows.dim, rows.dim, rows.dim,
                                 kInOrder.data(), count, products);
      for (std::size_t j = 0; j < count; ++j) {
        const float product = scale_[i] * scale[j] * static_cast<float>(products[j] - sums_[i]);
        out[i * kTile + j] = 2.0f * product - (square_[i] + square[j]);
      }
    }
  }

 private:
  Buffer<std::int8_t> values_;
  std::array<std::int32_t, kTile> sums_{};
  std::array<float, kTile> scale_{};
  std::array<float, kTile> square_{};
  std::size_t count_ = 0;
};

// What is found in a leaf, for one of its rows.
struct Found {
  float limit;
  std::uint32_t count;
};

struct Scratch {
  LocalRows rows;
  Facing facing;
  Tile tile;
  Tile turned;
  std::vector<std::uint32_t> numbers;
  std::vector<Near> best;
  std::vector<Near> near;
  std::vector<Near> merged;
  std::vector<Found> found;
};

class Finder {
 public:
  Finder(const LocalRows& rows, const Members& numbers, const Parting& parting, std::size_t threads,
         NearLists& lists)
      : rows_(rows), numbers_(numbers), parting_(parting), threads_(threads), lists_(lists) {}

  void run() {
    Members all(numbers_.size());
    std::iota(all.begin(), all.end(), 0u);
    if (all.size() <= parting_.leaf) {
      compare(all.data(), all.size());
      return;
    }
    std::vector<Members> parts = split(all, parting_.fan_out, parting_.seed);
    std::stable_sort(parts.begin(), parts.end(),
                     [](const Members& a, const Members& b) { return a.size() > b.size(); });
    parallel_for(parts.size(), threads_, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        descend(std::move(parts[i]), 1, parting_.seed + 1000 * i + 1);
      }
    });
  }

 private:
  static Scratch& scratch() {
    thread_local Scratch of_thread;
    return of_thread;
  }

  void gather(const std::uint32_t* members, std::size_t count, LocalRows& to) const {
    to.resize(count, rows_.dim);
    for (std::size_t i = 0; i < count; ++i) to.take(i, rows_, numbers_[members[i]]);
  }

  void descend(Members members, std::size_t depth, std::uint64_t seed) {
    if (members.size() <= parting_.leaf) {
      compare(members.data(), members.size());
      return;
    }
    std::vector<Members> parts;
    if (depth < kDeepest) parts = split(members, parting_.fan_below, seed);
    const auto whole = [&](const Members& part) { return part.size() > members.size() * 9 / 10; };
    if (parts.empty() || std::any_of(parts.begin(), parts.end(), whole)) {
      // Rows that pivots do not tell apart.
      for (std::size_t i = 0; i < members.size(); i += parting_.leaf) {
        compare(members.data() + i, std::min(parting_.leaf, members.size() - i));
      }
      return;
    }
    Members().swap(members);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      descend(std::move(parts[i]), depth + 1, seed * 31 + i);
    }
  }

  // Gives each member to the pivots nearest to it, among a sample of the members.
  std::vector<Members> split(const Members& members, std::size_t fan_out, std::uint64_t seed) {
    const std::size_t wanted = 2 * members.size() * fan_out / parting_.leaf + 2;
    const std::size_t count = std::min({parting_.pivots, wanted, members.size()});
    const std::size_t fan = std::min(fan_out, count);
    std::mt19937_64 random(seed);
    Members sample;
    std::sample(members.begin(), members.end(), std::back_inserter(sample), count, random);
    LocalRows pivots;
    gather(sample.data(), count, pivots);
    std::vector<std::uint32_t> chosen(members.size() * fan);
    parallel_for(members.size(), threads_, kTile, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; i += kTile) {
        choose(pivots, members.data() + i, std::min(kTile, end - i), fan, &chosen[i * fan]);
      }
    });
    std::vector<Members> parts(count);
    for (std::size_t i = 0; i < members.size(); ++i) {
      for (std::size_t f = 0; f < fan; ++f) parts[chosen[i * fan + f]].push_back(members[i]);
    }
    return parts;
  }

  void choose(const LocalRows& pivots, const std::uint32_t* members, std::size_t count,
              std::size_t fan, std::uint32_t* chosen) const {
    Scratch& use = scratch();
    gather(members, count, use.rows);
    use.facing.take(use.rows, 0, count);
    use.best.assign(count * fan, {-2e30f, 0});
    for (std::size_t first = 0; first < pivots.scale.size(); first += kTile) {
      const std::size_t width = std::min(kTile, pivots.scale.size() - first);
      use.facing.score(pivots, first, width, use.tile);
      for (std::size_t i = 0; i < count; ++i) {
        Near* best = use.best.data() + i * fan;
        for (std::size_t j = 0; j < width; ++j) {
          const float score = use.tile[i * kTile + j];
          if (score <= best[fan - 1].score) continue;
          std::size_t at = fan - 1;
          for (; at > 0 && best[at - 1].score < score; --at) best[at] = best[at - 1];
          best[at] = {score, static_cast<std::uint32_t>(first + j)};
        }
      }
    }
    for (std::size_t i = 0; i < count * fan; ++i) chosen[i] = use.best[i].row;
  }

  // Compares all members of a leaf with each other.
  void compare(const std::uint32_t* members, std::size_t count) {
    if (count < 2) return;
    Scratch& use = scratch();
    gather(members, count, use.rows);
    use.numbers.resize(count);
    for (std::size_t i = 0; i < count; ++i) use.numbers[i] = numbers_[members[i]];
    use.near.resize(count * found_room());
    use.found.resize(count);
    for (std::size_t i = 0; i < count; ++i) use.found[i] = {acquire(lists_.limits[members[i]]), 0};
    for (std::size_t a = 0; a < count; a += kTile) {
      const std::size_t tall = std::min(kTile, count - a);
      use.facing.take(use.rows, a, tall);
      for (std::size_t b = a; b < count; b += kTile) {
        const std::size_t wide = std::min(kTile, count - b);
        use.facing.score(use.rows, b, wide, use.tile);
        if (a == b) {
          for (std::size_t i = 0; i < tall; ++i) use.tile[i * kTile + i] = -2e30f;
        } else {
          for (std::size_t i = 0; i < tall; ++i) {
            for (std::size_t j = 0; j < wide; ++j) {
              use.turned[j * kTile + i] = use.tile[i * kTile + j];
            }
          }
          for (std::size_t j = 0; j < wide; ++j) {
            offer(use, b + j, use.turned.data() + j * kTile, a, tall);
          }
        }
        for (std::size_t i = 0; i < tall; ++i) {
          offer(use, a + i, use.tile.data() + i * kTile, b, wide);
        }
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      Near* near = use.near.data() + i * found_room();
      const std::size_t found = keep_best(near, use.found[i].count);
      std::sort(near, near + found, nearer);
      const std::lock_guard<std::mutex> lock(locks_[members[i] % locks_.size()]);
      lists_.merge(members[i], near, found, use.merged);
    }
  }

  std::size_t found_room() const { return 2 * parting_.kept + kTile; }

  std::size_t keep_best(Near* near, std::size_t count) const {
    if (count <= parting_.kept) return count;
    std::nth_element(near, near + parting_.kept - 1, near + count, nearer);
    return parting_.kept;
  }

  void offer(Scratch& use, std::size_t i, const float* scores, std::size_t first,
             std::size_t count) const {
    Found& found = use.found[i];
    std::uint32_t places[kTile];
    const std::size_t passed = kernels().at_least(scores, count, found.limit, places);
    if (passed == 0) return;
    Near* near = use.near.data() + i * found_room();
    for (std::size_t k = 0; k < passed; ++k) {
      near[found.count++] = {scores[places[k]], use.numbers[first + places[k]]};
    }
    if (found.count + kTile <= found_room()) return;
    found.count = static_cast<std::uint32_t>(keep_best(near, found.count));
    found.limit = near[parting_.kept - 1].score;
  }

  const LocalRows& rows_;
  const Members& numbers_;
  const Parting& parting_;
  std::size_t threads_;
  NearLists& lists_;
  std::array<std::mutex, 1024> locks_;
};

}  // namespace

void NearLists::merge(std::size_t i, const Near* found, std::size_t count,
                      std::vector<Near>& scratch) {
  Near* list = near.data() + i * room;
  const std::size_t before = counts[i];
  scratch.clear();
  std::size_t a = 0;
  std::size_t b = 0;
  while (scratch.size() < room && (a < before || b < count)) {
    if (b == count || (a < before && nearer(list[a], found[b]))) {
      scratch.push_back(list[a++]);
    } else {
      if (a < before && list[a].row == found[b].row) ++a;  // known already, at the same score
      scratch.push_back(found[b++]);
    }
  }
  std::copy(scratch.begin(), scratch.end(), list);
  counts[i] = static_cast<std::uint32_t>(scratch.size());
  if (scratch.size() == room) publish(limits[i], list[room - 1].score);
}

void find_near(const LocalRows& rows, const std::vector<std::uint32_t>& members,
               const Parting& parting, std::size_t threads, NearLists& lists) {
  Finder(rows, members, parting, threads, lists).run();
}

}  // namespace gapless
