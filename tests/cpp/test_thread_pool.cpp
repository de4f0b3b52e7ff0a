#include <doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/thread_pool.h"

using gapless::parallel_for;

namespace {

// True when parallel_for hands out every index of [0, count) exactly once, in pieces <= grain.
bool covers_once(std::size_t count, std::size_t threads, std::size_t grain) {
  std::vector<std::atomic<int>> seen(count);
  std::atomic<bool> small_pieces{true};
  parallel_for(count, threads, grain, [&](std::size_t begin, std::size_t end) {
    if (threads != 1 && count > grain && end - begin > grain) small_pieces = false;
    for (std::size_t i = begin; i < end; ++i) seen.at(i).fetch_add(1);
  });
  return small_pieces && std::all_of(seen.begin(), seen.end(),
                                     [](const std::atomic<int>& times) { return times == 1; });
}

}  // namespace

TEST_CASE("every index is handed out exactly once") {
  for (const std::size_t count : {1, 2, 3, 7, 64, 1000, 10007}) {
    for (const std::size_t threads : {1, 2, 3, 8}) {
      for (const std::size_t grain : {1, 2, 5, 64, 100000}) {
        CAPTURE(count);
        CAPTURE(threads);
        CAPTURE(grain);
        CHECK(covers_once(count, threads, grain));
      }
    }
  }
}

TEST_CASE("no work, no call") {
  parallel_for(0, 4, 1, [](std::size_t, std::size_t) { FAIL("called for an empty range"); });
}

TEST_CASE("a grain of zero counts as one") {
  std::atomic<int> calls{0};
  parallel_for(17, 2, 0, [&](std::size_t begin, std::size_t end) {
    calls.fetch_add(1);
    if (end != begin + 1) calls.store(-1000);
  });
  CHECK(calls == 17);
}

TEST_CASE("one thread means the caller's, in one piece") {
  const std::thread::id caller = std::this_thread::get_id();
  int calls = 0;
  parallel_for(100, 1, 3, [&](std::size_t begin, std::size_t end) {
    ++calls;
    CHECK(begin == 0);
    CHECK(end == 100);
    CHECK(std::this_thread::get_id() == caller);
  });
  CHECK(calls == 1);
}

TEST_CASE("two threads really run at once") {
  // Each piece waits for the other, which only two threads can satisfy.
  std::atomic<int> arrived{0};
  parallel_for(2, 2, 1, [&](std::size_t, std::size_t) {
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("the first exception reaches the caller and the pool lives on") {
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> pieces{0};
    CHECK_THROWS_WITH_AS(parallel_for(1000, 4, 1,
                                      [&](std::size_t begin, std::size_t) {
                                        pieces.fetch_add(1);
                                        if (begin == 3) throw std::out_of_range("piece 3");
                                      }),
                         "piece 3", std::out_of_range);
    CHECK(pieces >= 1);
  }
  CHECK(covers_once(1000, 4, 1));
}

TEST_CASE("a call from inside a piece runs inline") {
  std::atomic<bool> inline_calls{true};
  std::atomic<std::size_t> total{0};
  parallel_for(16, 4, 1, [&](std::size_t, std::size_t) {
    const std::thread::id outer = std::this_thread::get_id();
    int calls = 0;
    parallel_for(50, 4, 1, [&](std::size_t begin, std::size_t end) {
      ++calls;
      total.fetch_add(end - begin);
      if (std::this_thread::get_id() != outer) inline_calls = false;
    });
    if (calls != 1) inline_calls = false;
  });
  CHECK(inline_calls);
  CHECK(total == 16 * 50);
}

TEST_CASE("many callers share the pool") {
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 50; ++round) {
        if (round % 10 == caller) {
          try {
            parallel_for(64, 3, 1, [](std::size_t begin, std::size_t) {
              if (begin == 5) throw std::runtime_error("wanted");
            });
            failures.fetch_add(1);
          } catch (const std::runtime_error&) {
          }
        } else if (!covers_once(257, 3, 4)) {
          failures.fetch_add(1);
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(failures == 0);
}

TEST_CASE("a forked child starts its own workers") {
  REQUIRE(covers_once(1000, 4, 1));  // the parent's workers exist now
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(60);  // a hang ends as a failure
    // Only a second thread lets both pieces go.
    std::atomic<int> arrived{0};
    parallel_for(2, 2, 1, [&](std::size_t, std::size_t) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    _exit(covers_once(1000, 4, 1) ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(covers_once(1000, 4, 1));
}
