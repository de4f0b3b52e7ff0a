#pragma once

#include <cstddef>
#include <string>

#include "core/buffer.h"

namespace gapless {

// All of a file, on a 64-byte boundary. IoError when it cannot be opened or read.
Buffer<std::byte> read_file(const std::string& path);

// A file that appears at `path` whole or not at all: it grows as `<path>.tmp` and takes its name in
// commit(), when it is safely on disk. Without commit() the destructor removes it and what stood at
// `path` stands. Calls: write* commit. One thread, and one writer per path at a time.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);

  // fsync, rename, fsync of the folder: after it the file survives a power cut under its name.
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
};

}  // namespace gapless
