#include "store/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "core/error.h"

namespace gapless {
namespace {

// Linux moves at most 2 GiB a call and macOS refuses more, so both are asked for less.
constexpr std::size_t kLargestCall = std::size_t{1} << 30;

[[noreturn]] void fail(const char* action, const std::string& path, int code) {
  throw IoError(
      std::string("cannot ") + action + " " + path + ": " + std::system_category().message(code),
      code);
}

// Closes a descriptor that has nothing left to lose.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : value_(::open(path.c_str(), flags | O_CLOEXEC)) {
    if (value_ < 0) fail("open", path, errno);
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

void sync(int descriptor, const std::string& path) {
  if (::fsync(descriptor) != 0) fail("sync", path, errno);
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Buffer<std::byte> read_file(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  struct stat facts;
  if (::fstat(file.get(), &facts) != 0) fail("read", path, errno);
  if (!S_ISREG(facts.st_mode)) fail("read", path, S_ISDIR(facts.st_mode) ? EISDIR : EINVAL);
  const auto size = static_cast<std::size_t>(facts.st_size);
  Buffer<std::byte> content;
  content.resize(size, std::byte{0});
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got =
        ::read(file.get(), content.data() + done, std::min(size - done, kLargestCall));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) break;  // it has shrunk since; the caller finds out by its checksums
    done += static_cast<std::size_t>(got);
  }
  content.resize(done, std::byte{0});
  return content;
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), temporary_(path + ".tmp") {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("create", temporary_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!committed_) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const auto* at = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(descriptor_, at, std::min(bytes, kLargestCall));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("write", temporary_, errno);
    at += put;
    bytes -= static_cast<std::size_t>(put);
  }
}

void AtomicFile::commit() {
  sync(descriptor_, temporary_);
  // Network file systems report a full disk here, so this close is checked.
  const int closed = ::close(descriptor_);
  const int code = errno;
  descriptor_ = -1;
  if (closed != 0) fail("write", temporary_, code);
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename to", path_, errno);
  committed_ = true;
  const std::string folder = folder_of(path_);
  sync(Descriptor(folder, O_RDONLY).get(), folder);
}

}  // namespace gapless
