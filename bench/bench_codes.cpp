// The kernels over coded rows, of every instruction set this machine has: nanoseconds a row with
// the rows in the second-level cache, and rows and gigabytes a second out of memory beside what
// plain reading reaches there. The best of many runs, since other programs only ever slow one down.
//
//   cmake -S . -B build/bench -DGAPLESS_BENCH=ON -DGAPLESS_PYTHON=OFF && cmake --build build/bench
//   build/bench/bench_codes [DIM [MEGABYTES]]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace {

using namespace gapless;

double seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

// Seconds of one call, the best of several batches that last long enough to be measured.
template <typename Call>
double best(Call call) {
  call();
  double found = 1e30;
  for (int round = 0; round < 25; ++round) {
    int calls = 0;
    const double start = seconds();
    do {
      call();
      ++calls;
    } while (seconds() - start < 1e-3);
    found = std::min(found, (seconds() - start) / calls);
  }
  return found;
}

// Rows of every kind of code, and a query against them.
struct Rows {
  Rows(std::size_t dimension, std::size_t number)
      : dim(dimension), count(number), line_bytes((sizeof(LineHead) + dim / 8 + 63) / 64 * 64) {
    std::mt19937 random(1);
    // A byte a dim serves as bytes, as nibbles of twice the rows, and as bf16 of half of them.
    codes.resize(count * dim / 8 + 8);
    for (std::uint64_t& eight : codes) eight = random() * 0x9e3779b97f4a7c15;
    lines.resize(count * line_bytes / 8 + 8);
    for (std::uint64_t& eight : lines) eight = random() * 0x9e3779b97f4a7c15;
    for (std::size_t i = 0; i < count; ++i) {
      const LineHead head = {0.05F, 1e-3F, 1e-4F, static_cast<std::uint16_t>(random() % 1000), 0};
      std::memcpy(line() + i * line_bytes, &head, sizeof(head));
    }
    query.resize(dim);
    for (std::int8_t& x : query) x = static_cast<std::int8_t>(random() % 255 - 127);
    floats.resize(dim);
    for (float& x : floats) x = static_cast<float>(random() % 2001) / 1000 - 1;
    order.resize(count);
    for (Slot& slot : order) slot = static_cast<Slot>(random() % count);
    for (const Slot slot : order) half_order.push_back(slot / 2);
    sums.resize(count);
    scores.resize(count);
    kept.resize(count);
    sum = std::accumulate(query.begin(), query.end(), 0);
  }
  static std::uint8_t* aligned(std::vector<std::uint64_t>& data) {
    const auto address = reinterpret_cast<std::uintptr_t>(data.data());
    return reinterpret_cast<std::uint8_t*>((address + 63) / 64 * 64);
  }
  std::uint8_t* line() { return aligned(lines); }
  std::uint8_t* code() { return aligned(codes); }

  std::size_t dim, count, line_bytes;
  std::vector<std::uint64_t> codes, lines;
  std::vector<std::int8_t> query;
  std::vector<float> floats;
  std::vector<Slot> order, half_order;
  std::vector<std::int32_t> sums;
  std::vector<float> scores;
  std::vector<Slot> kept;
  std::int32_t sum = 0;
};

struct Kernel {
  const char* name;
  double bytes;  // of a row
  void (*run)(const CodeKernels& isa, Rows& rows, const Slot* slots, std::size_t count);
};

std::vector<Kernel> kernels_over(const Rows& of) {
  const auto dim = static_cast<double>(of.dim);
  const auto line = static_cast<double>(of.line_bytes);
  return {
      {"filter_lines", line,
       [](const CodeKernels& isa, Rows& rows, const Slot* slots, std::size_t count) {
         const LineQuery query = {rows.query.data(), rows.sum,  1e-3F,  1e-5F, 0.1F,
                                  nullptr,           kMeanUnit, nullptr};
         isa.filter_lines(query, rows.line(), rows.line_bytes, rows.dim, slots, count, 0.3F,
                          rows.kept.data());
       }},
      {"score_nibbles", dim / 2 + line,
       [](const CodeKernels& isa, Rows& rows, const Slot* slots, std::size_t count) {
         const NibbleQuery query = {rows.query.data(), rows.sum, 1e-3F, 0.1F, nullptr};
         isa.score_nibbles(query, rows.code(), rows.dim / 2, rows.line(), rows.line_bytes, rows.dim,
                           slots, count, rows.scores.data());
       }},
      {"dot_nibbles", dim / 2,
       [](const CodeKernels& isa, Rows& rows, const Slot* slots, std::size_t count) {
         isa.dot_nibbles(rows.query.data(), rows.code(), rows.dim / 2, rows.dim, slots, count,
                         rows.sums.data());
       }},
      {"dot_bytes", dim,
       [](const CodeKernels& isa, Rows& rows, const Slot* slots, std::size_t count) {
         isa.dot_bytes(rows.query.data(), rows.code(), rows.dim, rows.dim, slots, count,
                       rows.sums.data());
       }},
      {"dot_bf16", 2 * dim,
       [](const CodeKernels& isa, Rows& rows, const Slot* slots, std::size_t count) {
         // Half the rows: the storage has a byte a dim.
         isa.dot_bf16(rows.floats.data(), reinterpret_cast<const std::uint16_t*>(rows.code()),
                      rows.dim, rows.dim, slots == nullptr ? nullptr : rows.half_order.data(),
                      slots == nullptr ? count / 2 : count, rows.scores.data());
       }},
  };
}

double read_bandwidth(Rows& rows) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(rows.code());
  const std::size_t count = rows.count * rows.dim / 8;
  volatile std::uint64_t sink = 0;
  const double time = best([&] {
    std::uint64_t sums[8] = {};
    for (std::size_t i = 0; i + 8 <= count; i += 8) {
      for (std::size_t k = 0; k < 8; ++k) sums[k] ^= words[i + k];
    }
    sink = std::accumulate(sums, sums + 8, std::uint64_t{0});
  });
  return static_cast<double>(rows.count * rows.dim) / time;
}

void time_coding(const CodeKernels& isa, std::size_t dim) {
  Rows rows(dim, 1);
  const std::vector<float> y = rows.floats;
  std::vector<std::int8_t> high(dim), low(dim);
  std::vector<std::uint8_t> bits(dim / 8), nibbles(dim / 2), bytes(dim);
  const std::size_t block = dim & (~dim + 1);
  const double ns = 1e9;
  const double turned = best([&] {
    std::copy(y.begin(), y.end(), rows.floats.begin());
    isa.hadamard(rows.floats.data(), block, dim / block);
  });
  const double query = best([&] { isa.encode_query(y.data(), dim, high.data(), low.data()); });
  const double row =
      best([&] { isa.encode_row(y.data(), dim, bits.data(), nibbles.data(), bytes.data()); });
  const double plain = best([&] { isa.encode_bytes(y.data(), dim, bytes.data()); });
  std::printf(
      "  hadamard %.0f ns, encode_query %.0f ns, encode_row %.0f ns, encode_bytes %.0f ns\n",
      turned * ns, query * ns, row * ns, plain * ns);
}

}  // namespace

int main(int argc, char** argv) {
  const auto dim = static_cast<std::size_t>(argc > 1 ? std::atoi(argv[1]) : 384);
  const auto megabytes = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 256);
  if (dim == 0 || dim % kCodeDims != 0 || megabytes == 0) {
    std::fprintf(stderr, "usage: bench_codes [DIM, a multiple of %zu [MEGABYTES]]\n", kCodeDims);
    return 2;
  }
  Rows near(dim, 131072 / dim);
  Rows far(dim, (megabytes << 20) / dim);
  const double bandwidth = read_bandwidth(far);
  std::printf("dim %zu; reading %zu MB: %.1f GB/s\n", dim, megabytes, bandwidth * 1e-9);
  for (const Kernels* isa : available_kernels()) {
    if (isa->codes == available_kernels().front()->codes && isa != available_kernels().front()) {
      continue;
    }
    std::printf("%s (codes of %s)\n", isa->name, isa->codes->name);
    for (const Kernel& kernel : kernels_over(near)) {
      const double hot =
          best([&] { kernel.run(*isa->codes, near, near.order.data(), near.count); });
      // In the order they lie, as many as there is storage for.
      const bool wide = std::string(kernel.name) == "dot_bf16";
      const double streamed =
          best([&] { kernel.run(*isa->codes, far, nullptr, far.count); }) / (wide ? 0.5 : 1.0);
      const double rows = static_cast<double>(far.count) / streamed;
      std::printf(
          "  %-14s hot %6.2f ns/row; streamed %7.1f Mrows/s, %5.1f GB/s, %3.0f %% of reading\n",
          kernel.name, hot / static_cast<double>(near.count) * 1e9, rows * 1e-6,
          rows * kernel.bytes * 1e-9, 100 * rows * kernel.bytes / bandwidth);
    }
    time_coding(*isa->codes, dim);
  }
}
