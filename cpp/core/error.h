#pragma once

#include <stdexcept>
#include <string>

// Each class has a namesake in python/gapless/errors.py; bindings/errors.cpp pairs them.
namespace gapless {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct InvalidArgument : Error {
  using Error::Error;
};
struct InvalidVector : InvalidArgument {
  using InvalidArgument::InvalidArgument;
};
struct DuplicateId : InvalidArgument {
  using InvalidArgument::InvalidArgument;
};
struct UnknownId : InvalidArgument {
  using InvalidArgument::InvalidArgument;
};

// The time that the caller allowed is over.
struct Timeout : Error {
  using Error::Error;
};

// Damage found in a file. The layer that knows the path adds it by catching `Corruption`.
struct CorruptFile : Error {
  using Error::Error;
};
struct Corruption {
  std::string section;
  std::string what;
};

// The operating system refused: `code` is its errno.
struct IoError : Error {
  IoError(const std::string& what, int error_code) : Error(what), code(error_code) {}
  int code;
};

}  // namespace gapless
