// The way from a label to its slot, beside a writer that moves it.
#include <doctest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "core/publish.h"
#include "index/label_table.h"

using namespace gapless;

namespace {

constexpr std::size_t kSlots = 4096;

struct Bearers {
  std::vector<Label> labels = std::vector<Label>(kSlots, kNoLabel);
  Label operator()(Slot slot) const { return acquire(labels[slot]); }
};

}  // namespace

TEST_CASE("a label table agrees with a map under random adds, moves and removals") {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    LabelTable table(600);
    Bearers bearers;
    std::map<Label, Slot> held;
    std::vector<Slot> free;
    for (Slot slot = kSlots; slot > 0; --slot) free.push_back(slot - 1);
    // Labels that are multiples of a power of two crowd together in a weak hash.
    const Label step = Label{1} << (random() % 40);
    while (table.has_room(1)) {
      const Label label = step * static_cast<Label>(random() % 500);
      const auto at = held.find(label);
      if (at == held.end()) {
        const Slot slot = free.back();
        free.pop_back();
        bearers.labels[slot] = label;
        table.add(label, slot);
        held[label] = slot;
      } else if (random() % 2 == 0) {
        const Slot slot = free.back();
        free.pop_back();
        bearers.labels[slot] = label;
        table.move(label, at->second, slot);
        bearers.labels[at->second] = kNoLabel;
        free.push_back(at->second);
        at->second = slot;
      } else {
        table.remove(label, at->second);
        bearers.labels[at->second] = kNoLabel;
        free.push_back(at->second);
        held.erase(at);
      }
    }
    for (Label i = 0; i < 500; ++i) {
      const auto at = held.find(step * i);
      REQUIRE(table.find(step * i, bearers) == (at == held.end() ? kNoSlot : at->second));
    }
  }
}

TEST_CASE("readers never miss a label that is only moved, nor find one that is not theirs") {
  constexpr Label kLasting = 64;
  LabelTable table(kSlots);
  Bearers bearers;
  std::vector<Slot> at(kLasting);
  for (Label label = 0; label < kLasting; ++label) {
    at[label] = static_cast<Slot>(label);
    bearers.labels[label] = label;
    table.add(label, at[label]);
  }
  std::atomic<bool> done{false};
  std::atomic<int> missed{0};
  std::atomic<int> looked{0};
  std::vector<std::thread> readers;
  for (unsigned reader = 0; reader < 3; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937 random(reader);
      while (!done) {
        const auto label = static_cast<Label>(random() % kLasting);
        if (table.find(label, bearers) == kNoSlot) missed.fetch_add(1);
        if (table.find(kLasting + 5000, bearers) != kNoSlot) missed.fetch_add(1);
        looked.fetch_add(1);
      }
    });
  }
  while (looked < 100) std::this_thread::yield();
  std::mt19937 random(9);
  Slot next = kLasting;
  for (int move = 0; move < 20000; ++move) {
    const auto label = static_cast<Label>(random() % kLasting);
    // A slot that nobody bears; one that was left long ago may serve again.
    while (bearers.labels[next] != kNoLabel) next = (next + 1) % kSlots;
    publish(bearers.labels[next], label);
    table.move(label, at[label], next);
    publish(bearers.labels[at[label]], kNoLabel);
    at[label] = next;
    next = (next + 1) % kSlots;
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(missed == 0);
}
