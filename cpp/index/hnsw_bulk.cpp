#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/thread_pool.h"
#include "index/bulk_near.h"
#include "index/hnsw.h"
#include "index/hnsw_scratch.h"

namespace gapless {
namespace {

constexpr std::size_t kFewest = 10000;  // rows that go the bulk way
constexpr std::size_t kMostNear = 3;    // near rows that are looked at, times the degree

std::uint64_t hash_row(const LocalRows& rows, std::size_t row) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const std::uint8_t* bytes = rows.bytes.data() + row * rows.dim;
  for (std::size_t j = 0; j < rows.dim; j += sizeof(std::uint64_t)) {
    std::uint64_t eight;
    std::memcpy(&eight, bytes + j, sizeof(eight));
    hash = (hash ^ eight) * 0x100000001b3u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

// Rows on their way into the graph: those linked before and new ones, by number in this order. Only
// heads take part, the first of the rows that equal each other.
class HnswIndex::Bulk {
 public:
  Bulk(HnswIndex& index, GraphView& view, const std::vector<Slot>& fresh, std::size_t threads)
      : index_(index), view_(view), graph_(*view.graph), threads_(threads) {
    for (Slot slot = 0; slot < graph_.capacity && graph_.root != kNoSlot; ++slot) {
      if (graph_.state(slot) == Graph::State::kLinked) slots_.push_back(slot);
    }
    old_ = slots_.size();
    slots_.insert(slots_.end(), fresh.begin(), fresh.end());
    most_ = graph_.pruned();
  }

  void run() {
    decode();
    find_equal();
    choose_links();
    turn_links();
    write_new();
    join();
    refine();
    for (std::size_t i = old_; i < slots_.size(); ++i) {
      if (head_[i] == i) continue;
      Slot head = slots_[head_[i]];
      if (graph_.state(head) == Graph::State::kChained) head = graph_.row(head)[0];
      index_.chain(view_, slots_[i], head);
    }
  }

 private:
  void decode() {
    rows_.resize(slots_.size(), view_.codes->padded_dim());
    parallel_for(slots_.size(), threads_, 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        view_.codes->copy_local(slots_[i], rows_, i);
        rows_.measure(i);
      }
    });
  }

  void find_equal() {
    constexpr std::size_t kLooked = 8;  // different rows of one hash
    std::vector<std::pair<std::uint64_t, std::uint32_t>> hashes(slots_.size());
    parallel_for(slots_.size(), threads_, 1024, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        hashes[i] = {hash_row(rows_, i), static_cast<std::uint32_t>(i)};
      }
    });
    std::sort(hashes.begin(), hashes.end());
    head_.resize(slots_.size());
    std::vector<std::uint32_t> heads;
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      if (i == 0 || hashes[i].first != hashes[i - 1].first) heads.clear();
      const std::uint32_t row = hashes[i].second;
      const auto equal = [&](std::uint32_t other) {
        return row >= old_ && index_.same_row(view_, slots_[other], slots_[row]);
      };
      const auto found = std::find_if(heads.begin(), heads.end(), equal);
      head_[row] = found == heads.end() ? row : *found;
      if (found == heads.end() && heads.size() < kLooked) heads.push_back(row);
    }
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      if (head_[i] == i) members_.push_back(i);
    }
  }

  // For each member the rows that it links to, by the rule that a walk's finds are chosen by.
  void choose_links() {
    NearLists near(members_.size(), std::clamp(index_.options_.ef_construction, std::size_t{16},
                                               kMostNear * graph_.degree));
    Parting parting;
    parting.kept = std::min(parting.kept, near.room);
    parting.seed = index_.options_.seed;
    find_near(rows_, members_, parting, threads_, near);
    links_.resize(members_.size() * most_);
    counts_.resize(members_.size());
    parallel_for(members_.size(), threads_, 64, [&](std::size_t begin, std::size_t end) {
      ScratchLease scratch(index_);
      std::vector<Slot> numbers;
      for (std::size_t i = begin; i < end; ++i) {
        numbers.assign(1, members_[i]);
        for (std::size_t k = 0; k < near.counts[i]; ++k) numbers.push_back(near.begin(i)[k].row);
        gather(numbers, scratch->local);
        const std::vector<Slot> kept = index_.select(*scratch, numbers, most_, 0);
        std::copy(kept.begin(), kept.end(), links_.begin() + i * most_);
        counts_[i] = static_cast<std::uint32_t>(kept.size());
      }
    });
  }

  void gather(const std::vector<Slot>& numbers, LocalRows& to) const {
    to.resize(numbers.size(), rows_.dim);
    for (std::size_t k = 0; k < numbers.size(); ++k) to.take(k, rows_, numbers[k]);
  }

  // Whom each member is linked to by.
  void turn_links() {
    std::vector<std::uint32_t> place(slots_.size());  // among the members
    for (std::uint32_t i = 0; i < members_.size(); ++i) place[members_[i]] = i;
    const auto each_link = [&](const auto& body) {
      for (std::size_t i = 0; i < members_.size(); ++i) {
        for (std::size_t k = 0; k < counts_[i]; ++k) body(i, place[links_[i * most_ + k]]);
      }
    };
    starts_.assign(members_.size() + 1, 0);
    each_link([&](std::size_t, std::uint32_t to) { ++starts_[to + 1]; });
    std::partial_sum(starts_.begin(), starts_.end(), starts_.begin());
    back_.resize(starts_.back());
    std::vector<std::size_t> at(starts_.begin(), starts_.end() - 1);
    each_link([&](std::size_t from, std::uint32_t to) { back_[at[to]++] = members_[from]; });
  }

  // Numbers of the rows that member i is to be linked to, in either direction.
  std::vector<Slot> wanted(std::size_t i) const {
    const auto first = links_.begin() + i * most_;
    std::vector<Slot> numbers(first, first + counts_[i]);
    numbers.insert(numbers.end(), back_.begin() + starts_[i], back_.begin() + starts_[i + 1]);
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    return numbers;
  }

  void sort_by_distance(std::size_t member, std::vector<Slot>& numbers, Scratch& scratch) const {
    numbers.insert(numbers.begin(), members_[member]);
    gather(numbers, scratch.sorted);
    scratch.distances.resize(numbers.size());
    scratch.sorted.distances(0, 0, numbers.size(), scratch.distances.data());
    std::vector<Near> order;
    for (std::size_t k = 1; k < numbers.size(); ++k) {
      order.push_back({-scratch.distances[k], numbers[k]});
    }
    std::sort(order.begin(), order.end(), nearer);
    for (std::size_t k = 0; k < order.size(); ++k) numbers[k + 1] = order[k].row;
  }

  // Gives the new rows their links. No reader comes to them yet.
  void write_new() {
    parallel_for(members_.size(), threads_, 64, [&](std::size_t begin, std::size_t end) {
      ScratchLease scratch(index_);
      for (std::size_t i = begin; i < end; ++i) {
        if (members_[i] < old_) continue;
        std::vector<Slot> numbers = wanted(i);
        if (numbers.size() > graph_.degree) {
          sort_by_distance(i, numbers, *scratch);
          numbers.resize(std::min(numbers.size(), 1 + kMostNear * graph_.degree));
          gather(numbers, scratch->local);
          numbers = index_.select(*scratch, numbers, most_, 0);
        }
        Slot* row = graph_.row(slots_[members_[i]]);
        for (std::size_t k = 0; k < numbers.size(); ++k) publish(row[k], slots_[numbers[k]]);
      }
    });
  }

  // Makes the new rows part of the graph: links from the rows of before lead to them.
  void join() {
    for (const std::uint32_t member : members_) {
      if (member >= old_) publish(graph_.states[slots_[member]], Graph::State::kLinked);
    }
    parallel_for(old_, threads_, 64, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) add_links(slots_[i], wanted(i));
    });
    if (graph_.root == kNoSlot) graph_.root = slots_[members_[0]];
    const std::vector<Slot> lost = index_.regrow_tree(graph_);
    index_.choose_routers(graph_);
    index_.relink(view_, lost, threads_);
    index_.routers_from_ = graph_.linked;
  }

  // What lay in no part with a row is found by walking from what did.
  void refine() {
    parallel_for(members_.size(), threads_, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const Slot slot = slots_[members_[i]];
        if (members_[i] < old_ || graph_.state(slot) != Graph::State::kLinked) continue;
        index_.refine_links(view_, slot);
      }
    });
  }

  void add_links(Slot slot, const std::vector<Slot>& numbers) {
    Slot* row = graph_.row(slot);
    Slot* const end = std::find(row, row + graph_.degree, kNoSlot);
    std::vector<Slot> links(row, end);
    const std::size_t before = links.size();
    for (const Slot number : numbers) {
      const Slot to = slots_[number];
      const auto is = [to](Slot link) { return (link & Graph::kSlotMask) == to; };
      if (std::none_of(row, end, is)) links.push_back(to);
    }
    if (links.size() > graph_.degree) {
      index_.rewrite_links(view_, slot, std::move(links), most_);
      return;
    }
    for (std::size_t k = before; k < links.size(); ++k) publish(row[k], links[k]);
  }

  HnswIndex& index_;
  GraphView& view_;
  Graph& graph_;
  std::size_t threads_;
  std::size_t old_;
  std::size_t most_;  // links chosen for a row, before those that lead back
  std::vector<Slot> slots_;
  LocalRows rows_;
  std::vector<std::uint32_t> head_;
  std::vector<std::uint32_t> members_;
  std::vector<Slot> links_;  // most_ for each member, of which it has counts_
  std::vector<std::uint32_t> counts_;
  std::vector<std::size_t> starts_;  // of each member's part of back_
  std::vector<std::uint32_t> back_;
};

bool HnswIndex::goes_bulk(const Graph& graph, std::size_t count) const {
  return count >= kFewest && count >= graph.linked;
}

// Links many rows at once: those near each other are found by comparing all rows of small parts
// that overlap, as in PiPNN (arXiv 2602.21247), and a short walk then finds what lay in no part
// with them. Takes some 2.5 KB of memory per row meanwhile.
void HnswIndex::link_bulk(GraphView& view, const std::vector<Slot>& fresh, std::size_t threads) {
  Bulk(*this, view, fresh, threads).run();
}

}  // namespace gapless
