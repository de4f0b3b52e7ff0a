#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <numeric>

#include "core/thread_pool.h"
#include "index/bulk_near.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

std::size_t knob(const char* name, std::size_t usual) {
  const char* set = std::getenv(name);
  return set == nullptr ? usual : static_cast<std::size_t>(std::atol(set));
}
double now() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
struct Clock {
  double last = now();
  void lap(const char* what) {
    const double t = now();
    if (knob("LAPS", 0)) std::fprintf(stderr, "    %-10s %.2f\n", what, t - last);
    last = t;
  }
};

// FNV-1a over eight bytes at a time, and mixed at the end.
std::uint64_t hash_row(const LocalRows& rows, std::size_t row) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const std::uint8_t* bytes = rows.bytes.data() + row * rows.dim;
  for (std::size_t j = 0; j < rows.dim; j += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, bytes + j, 8);
    hash = (hash ^ eight) * 0x100000001b3u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

bool HnswIndex::goes_bulk(const Graph& graph, std::size_t count) const {
  constexpr std::size_t kFewest = 10000;
  return count >= kFewest && count >= graph.linked;
}

// Rows that equal another one: the first of each kind stands for the others. Gives for each place
// in `rows` that of its head.
std::vector<std::uint32_t> HnswIndex::find_equal(const GraphView& view,
                                                 const std::vector<Slot>& slots,
                                                 const LocalRows& rows, std::size_t threads) const {
  constexpr std::size_t kLooked = 8;  // heads of one hash
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes(slots.size());
  parallel_for(slots.size(), threads, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      hashes[i] = {hash_row(rows, i), static_cast<std::uint32_t>(i)};
    }
  });
  std::sort(hashes.begin(), hashes.end());
  std::vector<std::uint32_t> head(slots.size());
  std::iota(head.begin(), head.end(), 0u);
  std::vector<std::uint32_t> heads;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (i == 0 || hashes[i].first != hashes[i - 1].first) heads.clear();
    const std::uint32_t row = hashes[i].second;
    const auto found = std::find_if(heads.begin(), heads.end(), [&](std::uint32_t other) {
      return same_row(view, slots[other], slots[row]);
    });
    if (found != heads.end()) {
      head[row] = *found;
    } else if (heads.size() < kLooked) {
      heads.push_back(row);
    }
  }
  return head;
}

// Links many rows at once: those near each other are found by comparing all rows of small parts
// that overlap, as in PiPNN (arXiv 2602.21247), instead of by a walk for each.
void HnswIndex::link_bulk(GraphView& view, const std::vector<Slot>& fresh, std::size_t threads) {
  Graph& graph = *view.graph;
  Clock clock;
  // The rows of before come first, so that they are the heads of new ones that equal them.
  std::vector<Slot> slots;
  for (Slot slot = 0; slot < graph.capacity && graph.root != kNoSlot; ++slot) {
    if (graph.state(slot) == Graph::State::kLinked) slots.push_back(slot);
  }
  const std::size_t old = slots.size();
  slots.insert(slots.end(), fresh.begin(), fresh.end());
  LocalRows rows;
  rows.resize(slots.size(), view.codes->padded_dim());
  parallel_for(slots.size(), threads, 256, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      view.codes->copy_local(slots[i], rows, i);
      rows.measure(i);
    }
  });
  clock.lap("copy");
  const std::vector<std::uint32_t> head = find_equal(view, slots, rows, threads);
  std::vector<std::uint32_t> members;
  for (std::uint32_t i = 0; i < slots.size(); ++i) {
    if (head[i] == i) members.push_back(i);
  }
  clock.lap("equal");

  const std::size_t most = graph.degree * knob("FILL", 75) / 100;
  Parting parting;
  parting.leaf = knob("LEAF", 1024);
  parting.pivots = knob("PIVOTS", 512);
  parting.fan_out = knob("FAN", 4);
  parting.fan_below = knob("FANB", 1);
  parting.kept = knob("KEPT", 64);
  std::vector<Slot> forward(members.size() * most, kNoSlot);  // numbers of rows
  {
    NearLists near(members.size(), knob("ROOM", 64));
    for (std::size_t r = 0; r < knob("REPS", 2); ++r) {
      parting.seed = options_.seed + 7919 * r;
      find_near(rows, members, parting, threads, near);
    }
    clock.lap("near");
    // Samples: rows that are few have far links.
    std::vector<std::vector<std::uint32_t>> places;  // in members, by level
    std::vector<NearLists> levels;
    const std::size_t shrink = knob("SHRINK", 8);
    std::vector<std::uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0u);
    std::uint64_t state = options_.seed + 99;
    for (std::size_t i = order.size(); i > 1; --i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      std::swap(order[i - 1], order[(state >> 33) % i]);
    }
    std::vector<std::uint32_t> place_of(members.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) place_of[order[i]] = i;
    if (shrink > 1) {
      for (std::size_t n = members.size() / shrink; n > knob("SMALL", 200); n /= shrink) {
        std::vector<std::uint32_t> sample(order.begin(), order.begin() + n);
        for (auto& x : sample) x = members[x];
        levels.emplace_back(n, knob("LROOM", 32));
        Parting of = parting;
        of.kept = knob("LROOM", 32);
        of.seed += 31 * n;
        find_near(rows, sample, of, threads, levels.back());
      }
    }
    clock.lap("levels");
    parallel_for(members.size(), threads, 64, [&](std::size_t begin, std::size_t end) {
      ScratchLease scratch(*this);
      std::vector<Near> all;
      std::vector<Slot> numbers;
      for (std::size_t i = begin; i < end; ++i) {
        all.assign(near.begin(i), near.begin(i) + near.counts[i]);
        for (const NearLists& level : levels) {
          const std::size_t p = place_of[i];
          if (p >= level.counts.size()) break;
          all.insert(all.end(), level.begin(p), level.begin(p) + level.counts[p]);
        }
        std::sort(all.begin(), all.end(), nearer);
        numbers.assign(1, members[i]);
        for (const Near& one : all) {
          if (one.row != numbers.back()) numbers.push_back(one.row);
        }
        scratch->local.resize(numbers.size(), rows.dim);
        for (std::size_t k = 0; k < numbers.size(); ++k) scratch->local.take(k, rows, numbers[k]);
        const std::vector<Slot> kept = select(*scratch, numbers, most, 0);
        std::copy(kept.begin(), kept.end(), forward.begin() + i * most);
      }
    });
    clock.lap("forward");
  }
  // Links back.
  std::vector<std::uint32_t> member_of(slots.size());
  for (std::uint32_t i = 0; i < members.size(); ++i) member_of[members[i]] = i;
  std::vector<std::size_t> starts(members.size() + 1, 0);
  for (const Slot number : forward) {
    if (number != kNoSlot) ++starts[member_of[number] + 1];
  }
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  std::vector<std::uint32_t> back(starts.back());
  {
    std::vector<std::size_t> at(starts.begin(), starts.end() - 1);
    for (std::size_t i = 0; i < members.size(); ++i) {
      for (std::size_t k = 0; k < most && forward[i * most + k] != kNoSlot; ++k) {
        back[at[member_of[forward[i * most + k]]]++] = members[i];
      }
    }
  }
  clock.lap("back");
  const std::size_t most_looked = knob("LOOKED", 3) * graph.degree;
  std::atomic<std::size_t> edges{0};
  parallel_for(members.size(), threads, 64, [&](std::size_t begin, std::size_t end) {
    ScratchLease scratch(*this);
    std::vector<Near> all;
    std::vector<Slot> numbers;
    for (std::size_t i = begin; i < end; ++i) {
      if (members[i] < old) continue;
      numbers.clear();
      for (std::size_t k = 0; k < most && forward[i * most + k] != kNoSlot; ++k) {
        numbers.push_back(forward[i * most + k]);
      }
      numbers.insert(numbers.end(), back.begin() + starts[i], back.begin() + starts[i + 1]);
      std::sort(numbers.begin(), numbers.end());
      numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
      if (numbers.size() > graph.degree) {
        LocalRows& sorted = scratch->sorted;
        sorted.resize(numbers.size() + 1, rows.dim);
        sorted.take(0, rows, members[i]);
        for (std::size_t k = 0; k < numbers.size(); ++k) sorted.take(k + 1, rows, numbers[k]);
        scratch->distances.resize(numbers.size() + 1);
        sorted.distances(0, 0, numbers.size() + 1, scratch->distances.data());
        all.clear();
        for (std::uint32_t k = 0; k < numbers.size(); ++k) {
          all.push_back({-scratch->distances[k + 1], k});
        }
        std::sort(all.begin(), all.end(), nearer);
        if (all.size() > most_looked) all.resize(most_looked);
        scratch->local.resize(all.size() + 1, rows.dim);
        scratch->local.take(0, sorted, 0);
        std::vector<Slot> ordered{members[i]};
        for (std::size_t k = 0; k < all.size(); ++k) {
          scratch->local.take(k + 1, sorted, all[k].row + 1);
          ordered.push_back(numbers[all[k].row]);
        }
        numbers = select(*scratch, ordered, graph.degree * knob("FILL2", 75) / 100, 0);
      }
      edges += numbers.size();
      Slot* row = graph.row(slots[members[i]]);
      for (std::size_t k = 0; k < numbers.size(); ++k) row[k] = slots[numbers[k]];
    }
  });
  clock.lap("final");
  for (const std::uint32_t member : members) {
    if (member >= old) publish(graph.states[slots[member]], Graph::State::kLinked);
  }
  if (graph.root == kNoSlot) {
    graph.root = slots[members[0]];
    publish(graph.routers[0], graph.root);
  }
  const std::vector<Slot> lost = regrow_tree(graph);
  choose_routers(graph);
  routers_from_ = graph.linked;
  clock.lap("tree");
  if (knob("LAPS", 0)) {
    std::fprintf(stderr, "    lost %zu of %zu, degree %.1f\n", lost.size(), members.size(),
                 static_cast<double>(edges.load()) / static_cast<double>(members.size()));
  }
  std::atomic<std::size_t> chained{0};
  parallel_for(lost.size(), threads, 16, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      Slot* row = graph.row(lost[i]);
      std::fill(row, row + graph.stride, kNoSlot);
      chained += !link_one(view, lost[i]);
    }
  });
  graph.linked -= chained;
  clock.lap("lost");
  for (std::size_t i = old; i < slots.size(); ++i) {
    if (head[i] != i) chain(view, slots[i], slots[head[i]]);
  }
  clock.lap("chain");
}

}  // namespace gapless
