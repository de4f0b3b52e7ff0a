#include "core/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/runtime.h"

namespace gapless {
namespace {

constexpr std::size_t kMaxThreads = 256;

thread_local bool inside_piece = false;

// One parallel_for: its pieces are claimed by an atomic counter. Shared by the caller and the
// workers, since a worker may look at it after the caller has gone.
struct Job {
  std::size_t count = 0;
  std::size_t grain = 1;
  const std::function<void(std::size_t, std::size_t)>* body = nullptr;
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::condition_variable finished;
  std::size_t helpers = 0;  // workers inside `work`
  bool closed = false;      // the caller has left; no worker may enter
  std::exception_ptr failure;

  void work() {
    const bool outer = inside_piece;
    inside_piece = true;
    for (;;) {
      const std::size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) break;
      try {
        (*body)(begin, std::min(count, begin + grain));
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!failure) failure = std::current_exception();
        next.store(count, std::memory_order_relaxed);
      }
    }
    inside_piece = outer;
  }
};

class ThreadPool {
 public:
  // Asks for helpers. There may be fewer, or none, when the system has no thread or memory left:
  // the caller does the work that nobody else takes.
  void offer(const std::shared_ptr<Job>& job, std::size_t helpers) {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      while (workers_ < helpers) {
        std::thread(&ThreadPool::run, this).detach();
        ++workers_;
      }
    } catch (const std::system_error&) {
      helpers = workers_;
    }
    try {
      for (std::size_t i = 0; i < helpers; ++i) jobs_.push_back(job);
    } catch (const std::bad_alloc&) {
    }
    if (helpers == 1) {
      wake_.notify_one();
    } else {
      wake_.notify_all();
    }
  }

 private:
  void run() {
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [this] { return !jobs_.empty(); });
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      {
        const std::lock_guard<std::mutex> lock(job->mutex);
        if (job->closed) continue;
        ++job->helpers;
      }
      job->work();
      const std::lock_guard<std::mutex> lock(job->mutex);
      if (--job->helpers == 0) job->finished.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::size_t workers_ = 0;
};

// Never destroyed: workers are detached and may outlive static destruction. A forked child has
// none of the threads, so it starts afresh and leaves the old pool as it stands.
std::atomic<ThreadPool*> current_pool{nullptr};

void replace_pool() { current_pool.store(new ThreadPool, std::memory_order_release); }

ThreadPool& pool() {
  static const bool kReady = [] {
    replace_pool();
    pthread_atfork(nullptr, nullptr, [] {
      inside_piece = false;
      replace_pool();
    });
    return true;
  }();
  static_cast<void>(kReady);
  return *current_pool.load(std::memory_order_acquire);
}

}  // namespace

void parallel_for(std::size_t count, std::size_t threads, std::size_t grain,
                  const std::function<void(std::size_t begin, std::size_t end)>& body) {
  if (count == 0) return;
  grain = std::max<std::size_t>(1, grain);
  const std::size_t pieces = (count + grain - 1) / grain;
  const std::size_t asked = threads == 0 ? runtime().cores : std::min(threads, kMaxThreads);
  const std::size_t wanted = std::min(pieces, asked);
  if (wanted <= 1 || inside_piece) {
    body(0, count);
    return;
  }
  const auto job = std::make_shared<Job>();
  job->count = count;
  job->grain = grain;
  job->body = &body;
  pool().offer(job, wanted - 1);
  job->work();
  // The exception leaves with the caller: a worker may drop the job later than the caller is done
  // with what the exception says.
  std::exception_ptr failure;
  {
    std::unique_lock<std::mutex> lock(job->mutex);
    job->closed = true;
    job->finished.wait(lock, [&] { return job->helpers == 0; });
    failure = std::exchange(job->failure, nullptr);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace gapless
