#include <doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "cpp/temporary_folder.h"
#include "store/crc32c.h"
#include "store/file.h"

using namespace gapless;

namespace {

std::string text_of(const std::string& path) {
  const Buffer<std::byte> content = read_file(path);
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

void write_text(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text.data(), text.size());
  file.commit();
}

// Runs `action` and returns the IoError it must throw.
template <typename Action>
IoError io_error_of(Action action) {
  try {
    action();
  } catch (const IoError& error) {
    return error;
  }
  FAIL("no IoError");
  return {"", 0};
}

std::uint32_t bitwise_crc32c(const std::vector<std::uint8_t>& bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78 : 0);
  }
  return ~crc;
}

}  // namespace

TEST_CASE("CRC32C gives the check values of RFC 3720") {
  CHECK(crc32c("", 0) == 0);
  CHECK(crc32c("123456789", 9) == 0xE3069283);
  std::array<std::uint8_t, 32> bytes{};
  CHECK(crc32c(bytes.data(), bytes.size()) == 0x8A9136AA);
  bytes.fill(0xFF);
  CHECK(crc32c(bytes.data(), bytes.size()) == 0x62A8AB43);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  CHECK(crc32c(bytes.data(), bytes.size()) == 0x46DD794E);
}

TEST_CASE("CRC32C by eight equals CRC32C bit by bit, at every length and split") {
  std::vector<std::uint8_t> bytes;
  std::uint32_t state = 1;
  for (std::size_t length = 0; length < 70; ++length) {
    const std::uint32_t expected = bitwise_crc32c(bytes);
    for (std::size_t split = 0; split <= length; ++split) {
      const std::uint32_t head = crc32c(bytes.data(), split);
      REQUIRE(crc32c(bytes.data() + split, length - split, head) == expected);
    }
    state = state * 1664525 + 1013904223;
    bytes.push_back(static_cast<std::uint8_t>(state >> 24));
  }
}

TEST_CASE("a file is read back as written, on a cache line") {
  const TemporaryFolder folder;
  const std::string path = folder.file("data");
  for (const std::size_t size : {0, 1, 63, 64, 65, 100000}) {
    const std::string text(size, 'x');
    write_text(path, text);
    CHECK(text_of(path) == text);
  }
  CHECK(reinterpret_cast<std::uintptr_t>(read_file(path).data()) % 64 == 0);
  CHECK_FALSE(folder.has("data.tmp"));
}

TEST_CASE("without commit the old file stands and nothing is left behind") {
  const TemporaryFolder folder;
  const std::string path = folder.file("data");
  write_text(path, "old");
  {
    AtomicFile file(path);
    file.write("newer", 5);
    CHECK(folder.has("data.tmp"));
    CHECK(text_of(path) == "old");
  }
  CHECK(text_of(path) == "old");
  CHECK_FALSE(folder.has("data.tmp"));
}

TEST_CASE("a stale temporary file of a crashed writer is overwritten") {
  const TemporaryFolder folder;
  write_text(folder.file("data.tmp"), "half of something much longer");
  write_text(folder.file("data"), "new");
  CHECK(text_of(folder.file("data")) == "new");
  CHECK_FALSE(folder.has("data.tmp"));
}

TEST_CASE("errors of the system carry errno and the path") {
  const TemporaryFolder folder;
  const std::string missing = folder.file("missing");
  const IoError absent = io_error_of([&] { read_file(missing); });
  CHECK(absent.code == ENOENT);
  CHECK(std::string(absent.what()).find("cannot open " + missing) != std::string::npos);

  const IoError is_folder = io_error_of([&] { read_file(folder.file(".")); });
  CHECK(is_folder.code == EISDIR);

  const std::string nowhere = folder.file("no/such/data");
  const IoError no_folder = io_error_of([&] { AtomicFile file(nowhere); });
  CHECK(no_folder.code == ENOENT);
  CHECK(std::string(no_folder.what()).find(nowhere + ".tmp") != std::string::npos);

  const std::string taken = folder.file("taken");
  std::filesystem::create_directory(taken);
  const IoError in_the_way = io_error_of([&] { write_text(taken, "text"); });
  CHECK(in_the_way.code == EISDIR);
  CHECK_FALSE(folder.has("taken.tmp"));
}

TEST_CASE("a full disk is reported and the old file stands") {
  if (!std::filesystem::exists("/dev/full")) return;
  const TemporaryFolder folder;
  const std::string path = folder.file("data");
  write_text(path, "old");
  REQUIRE(symlink("/dev/full", folder.file("data.tmp").c_str()) == 0);
  const IoError full = io_error_of([&] { write_text(path, "new"); });
  CHECK(full.code == ENOSPC);
  CHECK(text_of(path) == "old");
  CHECK_FALSE(std::filesystem::is_symlink(folder.file("data.tmp")));
}
